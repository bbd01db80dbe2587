"""A server under load for minutes, with releases swapped and events posted: what fails, and whether memory grows.

    python benchmarks/soak.py --home FOLDER [--items 20000] [--users 10000] [--candidates 500] [--minutes 10]
                              [--workers 2] [--share 0.8] [--swap-every 60]

Makes the home as `serve.py` does, unless one is there, and a twin of its release. Measures how many recommendations a
second the server gives as fast as it goes, with an event for every tenth, then asks at a share of that rate, posts as
many events, and promotes the twin and the first release by turns. Memory is that of all processes of the server (PSS:
each has its part of shared pages), read every five seconds; growth compares the median of the last fifth with that of
the second fifth, when every cache is warm. Prints one JSON object.
"""

import argparse
import json
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from serve import WARM_UP, Client, Server, as_fast_as_it_goes, at_rate, request, serving
from serving_world import WorldSize, build

from ranking.serving.releases import MANIFEST, SUMS, Manifest, Releases

EVERY_S = 5.0  # readings of memory
REQUESTS = 10  # an event
TWIN = "twin"


def twin(releases: Releases) -> str:
    """A second release with the files of the current one."""
    first = releases.current()

    def make(folder: Path) -> Manifest:
        shutil.copytree(first.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST, SUMS))
        return first.manifest.model_copy(update={"id": TWIN})

    return releases.publish(TWIN, make).id


def post(client: Client, number: int, users: int) -> None:
    """One of many events; RuntimeError unless the server takes it and its features."""
    user, item = number * 37 % users, number * 101 % 997
    receipt = client.post("/v1/events", {"user_id": f"u{user:05}", "item_id": f"i{item:07}", "kind": "click"})
    if receipt["accepted"] != 1 or receipt["fallbacks"]:
        raise RuntimeError(f"event: {receipt}")


class Beside:
    """What goes on while requests are asked: swaps, events and readings of memory."""

    def __init__(
        self, server: Server, releases: Releases, *, users: int, events_per_s: float, swap_every_s: float
    ) -> None:
        self._server, self._releases = server, releases
        self._users, self._events_per_s, self._swap_every_s = users, events_per_s, swap_every_s
        self._done = threading.Event()
        self.swaps, self.events, self.faults = 0, 0, list[str]()
        self.memory_mb: list[float] = []
        works = (self._swap, self._post, self._read)
        self._threads = [threading.Thread(target=self._guarded, args=(one,)) for one in works]

    def __enter__(self) -> "Beside":
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for one in self._threads:
            one.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.faults.append(repr(error))

    def _swap(self) -> None:
        names = (TWIN, self._releases.current().id)
        while not self._done.wait(self._swap_every_s):
            self._releases.promote(names[self.swaps % 2])
            self.swaps += 1

    def _post(self) -> None:
        client = Client(self._server.port)
        while not self._done.wait(1 / self._events_per_s):
            try:
                post(client, self.events, self._users)
            except RuntimeError as error:
                self.faults.append(str(error))
            self.events += 1

    def _read(self) -> None:
        while not self._done.wait(EVERY_S):
            self.memory_mb.append(self._server.memory_mb())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    WorldSize.add_arguments(parser)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--swap-every", type=float, default=60)
    asked = parser.parse_args()
    size = WorldSize.of(asked)
    settings = build(asked.home, size)
    releases = Releases.of(settings)
    first = releases.current().id
    twin(releases)

    def plain(number: int) -> dict[str, object]:
        return request(number, size.users)

    def some_events(client: Client, number: int) -> None:
        if number % REQUESTS == 0:
            post(client, number, size.users)

    with serving(asked.home, asked.workers) as server:
        for number in range(WARM_UP * asked.workers):
            Client(server.port).post("/v1/recommendations", plain(number))
        peak = as_fast_as_it_goes(server.port, plain, at_once=2 * asked.workers, seconds=20, between=some_events)
        rate = asked.share * peak
        beside = Beside(
            server, releases, users=size.users, events_per_s=max(rate / REQUESTS, 0.2), swap_every_s=asked.swap_every
        )
        started = time.perf_counter()
        with beside:
            taken = at_rate(server.port, plain, rate=rate, seconds=60 * asked.minutes)
        seconds = time.perf_counter() - started
    releases.promote(first)
    fifth = max(len(beside.memory_mb) // 5, 1)
    before, after = (statistics.median(one) for one in (beside.memory_mb[fifth : 2 * fifth], beside.memory_mb[-fifth:]))
    p50, p99 = np.percentile(taken, [50, 99])
    found = {
        "name": f"soak, {asked.workers} workers",
        "minutes": round(seconds / 60, 1),
        "peak_per_s": round(peak, 1),
        "rate_per_s": round(rate, 1),
        "requests": len(taken),
        "errors": len(beside.faults),
        "faults": beside.faults[:3],
        "swaps": beside.swaps,
        "events": beside.events,
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "memory_mb": [round(before), round(after)],
        "memory_growth": round(after / before - 1, 3),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
