import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from validation import embeddings
from validation.run import validate

N, DIMENSION = 40, 16
SUITE = embeddings.suite("text_embeddings", dimension=DIMENSION, expected=N)


def vectors(n: int = N, *, seed: int = 0) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(n, DIMENSION))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def table(rows: npt.NDArray[np.float32] | list[list[float] | None], ids: list[str] | None = None) -> pa.Table:
    ids = [f"i{n}" for n in range(len(rows))] if ids is None else ids
    return pa.table({"item_id": ids, "vector": pa.array(list(rows), pa.list_(pa.float32()))})


def test_good_vectors_pass_as_lists_of_fixed_and_of_any_length() -> None:
    any_length = table(vectors())
    fixed = any_length.set_column(1, "vector", any_length["vector"].cast(pa.list_(pa.float32(), DIMENSION)))
    assert validate(any_length, SUITE).failed() == []
    assert validate(fixed, SUITE).failed() == []


def test_each_bad_vector_is_named() -> None:
    rows: list[list[float] | None] = vectors().tolist()
    faults = {
        "dimension": [*rows[:-1], rows[-1][:-1]],  # type: ignore[index]
        "norm": [*rows[:-1], [2.0 * number for number in rows[-1] or []]],
        "is_finite": [*rows[:-1], [float("nan")] + [0.0] * (DIMENSION - 1)],
    }
    for column, faulty in faults.items():
        [line] = validate(table(faulty), SUITE).failed()
        assert line.startswith(f"text_embeddings.{column}: ")
        assert "1 of 40 rows" in line
    [line] = validate(table([*rows[:-1], None]), SUITE).failed()
    assert line.startswith("text_embeddings.dimension: expect_column_values_to_not_be_null: 1 of 40 rows")


def test_an_item_stands_once() -> None:
    [line] = validate(table(vectors(), ["i0", *(f"i{n}" for n in range(N - 1))]), SUITE).failed()
    assert line.startswith("text_embeddings.item_id: expect_column_values_to_be_unique")


def test_vectors_that_all_point_one_way_are_collapsed() -> None:
    one_way = vectors() * 0.01 + vectors(1, seed=1)
    one_way /= np.linalg.norm(one_way, axis=1, keepdims=True)
    [line] = validate(table(one_way), SUITE).failed()
    assert line.startswith("text_embeddings.mean_cosine_to_centroid: ")


def test_vectors_that_use_few_directions_are_collapsed() -> None:
    plane = vectors()
    plane[:, 2:] = 0
    plane /= np.linalg.norm(plane, axis=1, keepdims=True)
    [line] = validate(table(plane), SUITE).failed()
    assert line.startswith("text_embeddings.effective_rank: ")
    assert validate(table(plane[:10]), embeddings.suite("few", dimension=DIMENSION, expected=10)).failed() == []


def test_enough_of_the_expected_items_must_have_a_vector() -> None:
    def suite(expected: int, coverage: float = 0.9) -> list[str]:
        limits = embeddings.Limits(coverage=coverage)
        made = embeddings.suite("image_embeddings", dimension=DIMENSION, expected=expected, limits=limits)
        return validate(table(vectors()), made).failed()

    assert suite(44) == []
    assert suite(80, coverage=0.5) == []
    [line] = suite(45)
    assert line == "image_embeddings: expect_table_row_count_to_be_between (min_value=41): observed 40"


def test_no_vectors_pass_where_none_are_expected() -> None:
    nothing = embeddings.suite("audio_embeddings", dimension=DIMENSION, expected=0)
    assert validate(table([]), nothing).failed() == []
    assert not validate(table([]), SUITE).passed


def test_vectors_that_are_not_normalised_must_only_not_be_zero() -> None:
    raw = embeddings.suite("audio_embeddings", dimension=DIMENSION, expected=N, unit_norm=False)
    long = vectors() * 7
    assert validate(table(long), raw).failed() == []
    long[3] = 0
    [line] = validate(table(long), raw).failed()
    assert line.startswith("audio_embeddings.norm: ")


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_the_effective_rank_of_equal_spread_over_some_directions_is_their_number(rank: int) -> None:
    both_ways = np.concatenate([np.eye(DIMENSION)[:rank], -np.eye(DIMENSION)[:rank]]).astype(np.float32)
    assert embeddings.effective_rank(both_ways) == pytest.approx(rank)
    assert embeddings.effective_rank(both_ways[:, :rank]) == pytest.approx(rank)
    assert embeddings.effective_rank(np.ones((5, DIMENSION), np.float32)) == 0
