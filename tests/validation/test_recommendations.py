import numpy as np
import pyarrow as pa
import pytest

from validation import recommendations
from validation.run import validate

K = 3
SUITE = recommendations.suite(k=K)


def rankings(**changed: list[object]) -> pa.Table:
    """Two users' lists of three, in one protocol, by two models; `changed` replaces the first values of a column."""
    lists = [(model, user) for model in ("a", "b") for user in ("u1", "u2")]
    columns: dict[str, list[object]] = {
        "protocol": ["p1"] * 12,
        "model": [model for model, _ in lists for _ in range(K)],
        "user_id": [user for _, user in lists for _ in range(K)],
        "item_id": ["x", "y", "z"] * 4,
        "rank": [1, 2, 3] * 4,
        "score": [0.9, 0.5, 0.5] * 4,
        "seen": [False] * 12,
    }
    for column, values in changed.items():
        columns[column] = [*values, *columns[column][len(values) :]]
    return pa.table(columns)


def test_good_rankings_pass_in_any_order_of_rows() -> None:
    assert validate(rankings(), SUITE).failed() == []
    shuffled = rankings().take(np.random.default_rng(0).permutation(12))
    assert validate(shuffled, SUITE).failed() == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"item_id": ["y"]}, "recommendations.protocol, model, user_id, item_id: expect_compound_columns_to_be_unique"),
        ({"seen": [True]}, "recommendations.seen: expect_column_values_to_be_in_set"),
        ({"seen": [None]}, "recommendations.seen: expect_column_values_to_not_be_null"),
        ({"score": [0.9, 0.4, 0.5]}, "recommendations.score_rises: expect_column_values_to_be_in_set"),
        ({"score": [float("inf")]}, "recommendations.score: expect_column_values_to_be_between"),
        ({"item_id": [""]}, "recommendations.item_id: expect_column_values_to_not_be_in_set"),
        ({"rank": [1, 2, 2]}, "recommendations.rank, place_in_list: expect_column_pair_values_to_be_equal"),
    ],
)
def test_each_fault_is_named(changed: dict[str, list[object]], named: str) -> None:
    [line] = validate(rankings(**changed), SUITE).failed()
    assert line.startswith(named)


def test_ranks_start_at_1_and_end_at_k() -> None:
    for ranks in ([2, 3, 4], [0, 1, 2]):
        lines = validate(rankings(rank=ranks), SUITE).failed()
        assert [line.partition(":")[0] for line in lines] == [
            "recommendations.rank",
            "recommendations.rank, place_in_list",
        ]


def test_a_score_that_is_not_a_number_fails() -> None:
    lines = validate(rankings(score=[float("nan")]), SUITE).failed()
    assert lines[0].startswith("recommendations.score: expect_column_values_to_not_be_null: 1 of 12 rows")


def test_what_tells_lists_apart_is_an_argument() -> None:
    of_one_model = rankings().slice(0, 6).drop_columns(["protocol", "model"])
    assert validate(of_one_model, recommendations.suite(k=K, list_of=["user_id"])).failed() == []
    assert not validate(of_one_model, SUITE).passed
