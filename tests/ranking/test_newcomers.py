"""Whether the alignment has a say about new items is decided by what came true."""

import numpy as np
import pytest

from ranking.candidates.cold_start import ColdStartConfig
from ranking.rankers.space import Space
from ranking.representation.content import UNKNOWN_TIME
from ranking.splits import Protocol, Split, split
from ranking.strategy.newcomers import tune_cold_start
from ranking.types import IdIndex, Interactions

USERS, ITEMS = 60, 80
TASTE = np.eye(2, dtype=np.float32)[np.arange(ITEMS) % 2]
ALWAYS = np.full(ITEMS, UNKNOWN_TIME)


def two_tastes(users: int = USERS) -> Split:
    """Even users like even items, odd ones odd items: 8 of the first half, and later 4 of the second."""
    draw = np.random.default_rng(3)
    even = np.hstack([draw.integers(0, ITEMS // 4, (users, 8)), draw.integers(ITEMS // 4, ITEMS // 2, (users, 4))]) * 2
    n = even.size
    unknown = np.full(n, None, object)
    log = Interactions(
        users=IdIndex(tuple(f"u{code:02}" for code in range(users))),
        items=IdIndex(tuple(f"i{code:02}" for code in range(ITEMS))),
        user=np.tile(np.arange(users, dtype=np.int32), 12),
        item=(even + (np.arange(users) % 2)[:, None]).T.ravel().astype(np.int32),
        occurred_at=np.arange(n),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=unknown,
        place=unknown,
    )
    return split(log, Protocol.P2, share=1 / 3)


def space_where(knowing: str) -> Space:
    """One opinion knows every item's taste, the other takes each new item for the opposite."""
    mistaken = TASTE.copy()
    mistaken[ITEMS // 2 :] = TASTE[ITEMS // 2 :, ::-1]
    of = {"aligned": mistaken, "predicted": mistaken} | {knowing: TASTE}
    return Space(of["aligned"], {}, np.zeros(ITEMS, np.float32), of["predicted"], TASTE)


@pytest.mark.parametrize(("knowing", "weight"), [("aligned", 1.0), ("predicted", 0.0)])
def test_the_alignment_has_a_say_where_it_helps(knowing: str, weight: float) -> None:
    chosen = tune_cold_start(ColdStartConfig(), two_tastes(), space=space_where(knowing), created_at=ALWAYS)
    assert chosen == ColdStartConfig(alignment_weight=weight)


def test_with_too_few_to_ask_it_has() -> None:
    division = two_tastes(users=20)
    chosen = tune_cold_start(ColdStartConfig(), division, space=space_where("predicted"), created_at=ALWAYS)
    assert chosen.alignment_weight == 1.0
