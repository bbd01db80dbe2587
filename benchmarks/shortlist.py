"""What a shortlist costs and keeps: candidates and pages of a home's users, by shortlist and by the whole catalogue.

    python benchmarks/shortlist.py --home HOME [--users 100] [--first 100,200,300,500]

looked: items on the shortlist. candidates: share of the whole catalogue's candidates that the shortlist has too. page:
share of the whole catalogue's first 10 items, ranked, that are among the shortlist's first 10. ms: of the processor for
candidates, median over the users, one thread; `whole` is the same of the whole catalogue in the same run.

Prints one JSON object.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

from feature_repo.settings import Settings
from ranking.candidates.shortlist import ShortlistConfig
from ranking.candidates.threads import one_blas_thread_for_good
from ranking.serving.answer import Loaded, answer
from ranking.serving.engine import Engine
from ranking.serving.payloads import Context, Request

PAGE = 10


def looking(loaded: Loaded, config: ShortlistConfig) -> Loaded:
    """The release with another shortlist."""
    hybrid = loaded.hybrid
    other = type(hybrid)(
        replace(hybrid.config, shortlist=config),
        items=hybrid.items,
        created_at=hybrid.created_at,
        generators=hybrid.generators,
        knowledge=hybrid.knowledge,
        vocabulary=hybrid.vocabulary,
        ranker=hybrid.ranker,
        routes=hybrid.routes,
    )
    return replace(loaded, hybrid=other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--first", default="100,200,300,500")
    asked = parser.parse_args()
    one_blas_thread_for_good()
    engine = Engine(Settings(home=asked.home))
    engine.load()
    loaded, now = engine.loaded, engine.now()
    n_items = len(loaded.hybrid.created_at)
    users = loaded.histories.some(asked.users)

    def ask(release: Loaded) -> tuple[list[set[int]], list[list[str]], list[int], float]:
        candidates, pages, looked, took = [], [], [], []
        for user in users:
            made = answer(release, Request(user_id=user, k=PAGE, context=Context(device="mobile")), now=now)
            query = made.made.asked.query
            started = time.thread_time()
            found = release.hybrid.retrieve(query)
            took.append(1e3 * (time.thread_time() - started))
            candidates.append({*found.item[0].tolist()} - {-1})
            pages.append([one.item_id for one in made.response.items])
            looked.append(n_items if found.looked is None else found.looked.shape[1])
        return candidates, pages, looked, statistics.median(took)

    whole_candidates, whole_pages, _, ms = ask(looking(loaded, ShortlistConfig(whole=n_items)))
    rows = {}
    for first in map(int, asked.first.split(",")):
        candidates, pages, looked, took = ask(looking(loaded, ShortlistConfig(whole=0, first=first)))
        shared = [
            len(one & other) / len(other) for one, other in zip(candidates, whole_candidates, strict=True) if other
        ]
        same = [len({*one} & {*other}) / len(other) for one, other in zip(pages, whole_pages, strict=True) if other]
        rows[first] = {
            "looked": round(statistics.mean(looked)),
            "candidates": round(statistics.mean(shared), 4),
            "page": round(statistics.mean(same), 4),
            "ms": round(took, 2),
        }
    print(json.dumps({"items": n_items, "users": len(users), "whole_ms": round(ms, 2), "by_first": rows}, indent=2))


if __name__ == "__main__":
    main()
