"""Two releases that take turns a hundred times while threads ask and events come in."""

import threading
import time
from math import inf

from feature_repo.serving_settings import Golden
from ranking.serving.engine import Engine
from ranking.serving.payloads import Request

SWAPS = 100
ASKERS = 2


def test_no_request_notices_a_hundred_swaps(home, world):
    releases = world.publish(home, "second")
    engine = Engine(home.model_copy(update={"golden": Golden(users=1)}))
    engine.load()
    answers, failures, done = [], [], threading.Event()
    served = [("first", time.perf_counter())]  # by which release and since when, at the latest
    promoted = []  # when its time may have ended

    def until_done(step):
        number = 0
        while not done.is_set():
            number += 1
            try:
                step(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was dropped
                failures.append(error)
            time.sleep(0.02)

    def asks():
        def step(number):
            user = (f"u{number % 30:02}", "nobody")[number % 10 == 0]
            started = time.perf_counter()
            answer = engine.recommend(Request(user_id=user, k=5))
            answers.append((answer, user, started, time.perf_counter()))

        until_done(step)

    def posts():
        def step(number):
            event = {"event_id": f"n{number}", "user_id": f"v{number % 50}", "item_id": f"i{number % 36:02}"}
            receipt = engine.accept([{**event, "kind": "click"}])
            assert (receipt.accepted, receipt.fallbacks) == (1, [])
            time.sleep(0.05)

        until_done(step)

    threads = [threading.Thread(target=asks) for _ in range(ASKERS)] + [threading.Thread(target=posts)]
    for thread in threads:
        thread.start()
    for number in range(SWAPS):
        following = ("second", "first")[number % 2]
        promoted.append(time.perf_counter())
        releases.promote(following)
        deadline = time.monotonic() + 60
        while engine.loaded.release.id != following:
            assert time.monotonic() < deadline and not engine.refused, engine.refused
            time.sleep(0.002)
        served.append((following, time.perf_counter()))
        engine.wait()
        before = len(answers)
        while len(answers) <= before + ASKERS and not failures:  # so that some are asked and answered in its time alone
            time.sleep(0.002)
    done.set()
    for thread in threads:
        thread.join()

    assert not failures, failures[:3]
    assert engine.loading.counts() == {"served": SWAPS + 1, "refused": 0}
    assert engine.golden.counts() == {"passed": (SWAPS + 1) * 4, "failed": 0}
    assert len(answers) > SWAPS
    # a release may answer from its promotion on, until the next one is seen to have taken its place
    since = [at for _, at in served]
    turns = [(name, at, end) for (name, _), at, end in zip(served, [0.0, *promoted], [*since[1:], inf], strict=True)]
    for answer, user, started, ended in answers:
        assert len(answer.items) == 5
        assert answer.fallbacks in ([], ["unknown_user"])
        assert not {item.item_id for item in answer.items} & world.seen(user)
        current = {name for name, begins, ends in turns if begins <= ended and started <= ends}
        assert answer.release in current
    alone = [
        (answer, name)
        for answer, _, started, ended in answers
        for (name, at), end in zip(served, [*promoted, inf], strict=True)
        if at <= started and ended <= end
    ]
    assert {name for _, name in alone} == {"first", "second"}
    assert all(answer.release == name for answer, name in alone)
    accepted = engine.traffic.events()["accepted"]
    assert all(f"v{number % 50}" in engine.loaded.histories for number in range(1, accepted + 1))
