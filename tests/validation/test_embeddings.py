import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.settings import Suites
from validation import embeddings
from validation.drift import Profile
from validation.embeddings import Space
from validation.run import validate

N, DIMENSION = 40, 16
LIMITS = Suites()
SUITE = embeddings.suite("text_embeddings", Space(DIMENSION, N), LIMITS)


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
    assert line.startswith("text_embeddings.mean_pairwise_cosine: ")


def test_vectors_that_use_few_directions_are_collapsed() -> None:
    plane = vectors()
    plane[:, 2:] = 0
    plane /= np.linalg.norm(plane, axis=1, keepdims=True)
    [line] = validate(table(plane), SUITE).failed()
    assert line.startswith("text_embeddings.effective_rank: ")
    assert validate(table(plane[:10]), embeddings.suite("few", Space(DIMENSION, 10), LIMITS)).failed() == []


def test_enough_of_the_expected_items_must_have_a_vector() -> None:
    def failed(expected: int, coverage: float = 0.9) -> list[str]:
        made = embeddings.suite("image_embeddings", Space(DIMENSION, expected, coverage=coverage), LIMITS)
        return validate(table(vectors()), made).failed()

    assert failed(44) == []
    assert failed(80, coverage=0.5) == []
    [line] = failed(45)
    assert line == (
        "image_embeddings: expect_table_row_count_to_be_between (min_value=41): observed 40; 90% of 45 must have a "
        "vector; mend what rejected.json beside the table names, or lower `coverage` under [suites]"
    )


def test_no_vectors_pass_where_none_are_expected() -> None:
    nothing = embeddings.suite("audio_embeddings", Space(DIMENSION, 0), LIMITS)
    assert validate(table([]), nothing).failed() == []
    assert not validate(table([]), SUITE).passed


def test_vectors_that_are_not_normalised_must_only_not_be_zero() -> None:
    raw = embeddings.suite("audio_embeddings", Space(DIMENSION, N, unit_norm=False), LIMITS)
    long = vectors() * 7
    assert validate(table(long), raw).failed() == []
    long[3] = 0
    [line] = validate(table(long), raw).failed()
    assert line.startswith("audio_embeddings.norm: ")


def test_a_placeholder_of_most_items_is_told_with_value_limit_and_remedy() -> None:
    rows = vectors()
    rows[:30] = rows[0]
    [line] = validate(table(rows), SUITE).failed()
    assert line == (
        "text_embeddings.duplicate_share: expect_column_values_to_be_between (max_value=0.3): observed 0.75; "
        "many items share one picture, sound or text (a placeholder?): leave it out, or raise `duplicates` "
        "under [suites]"
    )


def test_users_may_all_be_alike() -> None:
    alike = embeddings.suite("user_vectors", Space(DIMENSION, N, spread=False), LIMITS)
    assert validate(table(np.repeat(vectors(1), N, axis=0)), alike).failed() == []


def test_limits_are_those_of_the_configuration() -> None:
    strict = embeddings.suite("text_embeddings", Space(DIMENSION, N), Suites(effective_rank=100))
    [line] = validate(table(vectors()), strict).failed()
    assert "(min_value=100.0)" in line


def test_vectors_that_drifted_from_the_last_release_are_told_and_what_to_do() -> None:
    many = vectors(300)
    before = Profile.of(vectors(300, seed=1), "encoder")
    space = Space(DIMENSION, 300, before=before)
    assert validate(table(many), embeddings.suite("image_embeddings", space, LIMITS)).failed() == []
    placeholder = many.copy()
    placeholder[:85] = many[0]
    report = validate(table(placeholder), embeddings.suite("image_embeddings", space, LIMITS, notes=("against r1",)))
    psi, ks = report.failed()
    assert psi.startswith("image_embeddings.drift_psi: expect_column_values_to_be_between (max_value=0.2): observed ")
    assert "run once with a higher drift_psi under [suites]" in psi
    assert ks.startswith("image_embeddings.drift_ks: ")
    assert report.to_json()["notes"] == ["against r1"]


def test_every_failure_of_a_vector_suite_has_a_remedy() -> None:
    space = Space(DIMENSION, N, before=Profile.of(vectors(300), "encoder"))
    assert all(one.remedy for one in embeddings.suite("s", space, LIMITS).expectations)


def test_numbers_about_the_table_are_reported_when_it_passes_too() -> None:
    told = {outcome.columns: outcome.observed for outcome in validate(table(vectors()), SUITE).outcomes}
    assert told[("duplicate_share",)] == 0
    assert 10 < float(str(told[("effective_rank",)])) < DIMENSION
