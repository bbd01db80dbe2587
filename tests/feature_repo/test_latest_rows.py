"""Rows that count, found in one pass over rows in any order: equal to a plain search."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.latest_rows import LEAST, NONE, LatestRows

N_KEYS = 3
keys, moments = st.integers(0, N_KEYS - 1), st.integers(-5, 5)
Row = tuple[int, int, int, int]  # key, event, created, number


def found(asked: Sequence[tuple[int, int]], rows: Sequence[Row], ttl: int, hides: bool, part: int) -> list[int]:
    key, moment = np.array(asked, np.int64).reshape(-1, 2).T
    latest = LatestRows(key, moment, N_KEYS)
    for start in range(0, len(rows), part):
        of_row, event, created, number = np.array(rows[start : start + part], np.int64).T
        latest.see(of_row, np.maximum(event, created) if hides else event, event, created, number)
    return latest.numbers(ttl).tolist()


@given(
    asked=st.lists(st.tuples(keys, moments), max_size=12),
    stamps=st.lists(st.tuples(keys, moments, moments | st.just(int(LEAST))), max_size=25),
    ttl=st.sampled_from([0, 1, 3]),
    hides=st.booleans(),
    part=st.integers(1, 30),
    data=st.data(),
)
def test_the_row_that_counts_is_that_of_a_plain_search(
    asked: list[tuple[int, int]],
    stamps: list[tuple[int, int, int]],
    ttl: int,
    hides: bool,
    part: int,
    data: st.DataObject,
) -> None:
    asked = sorted(asked)
    rows = data.draw(st.permutations([(*row, number) for number, row in enumerate(stamps)]))

    def plain(key: int, moment: int) -> int:
        seen = [row[1:] for row in rows if row[0] == key and (max(row[1], row[2]) if hides else row[1]) <= moment]
        event, _, number = max(seen, default=(0, 0, int(NONE)))
        return number if not ttl or moment - event <= ttl else int(NONE)

    assert found(asked, rows, ttl, hides, part) == [plain(*one) for one in asked]


def test_of_equal_events_the_one_created_last_counts_and_then_the_one_of_the_greatest_number() -> None:
    rows = [(0, 1, 3, 7), (0, 1, 2, 9), (1, 1, 2, 4), (1, 1, 2, 6), (2, 1, int(LEAST), 8), (2, 1, 0, 5)]
    for part in (1, len(rows)):
        for order in (rows, rows[::-1]):
            assert found([(0, 3), (1, 3), (2, 3)], order, 0, True, part) == [7, 6, 5]


def test_a_key_with_all_the_entity_rows_is_searched_like_one_with_few() -> None:
    n = 10_000
    asked = [(0, moment) for moment in range(n)] + [(2, 7)]
    rows = [(0, event, 0, event) for event in range(5, n, 10)] + [(2, 7, 0, n)]
    assert found(asked, rows, 0, False, 64) == [
        (moment - 5) // 10 * 10 + 5 if moment > 4 else -1 for moment in range(n)
    ] + [n]
