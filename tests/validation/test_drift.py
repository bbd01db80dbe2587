import numpy as np
import numpy.typing as npt
import pytest

from validation.drift import ENOUGH, SAMPLE, Profile, drift


def vectors(n: int, *, seed: int = 0, shift: float = 0.0) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(n, 32)) + shift).astype(np.float32)


def test_the_same_vectors_have_not_drifted_and_other_samples_hardly() -> None:
    before = Profile.of(vectors(2000), "a")
    assert drift(before, before) == (0, 0)
    stability, distance = drift(before, Profile.of(vectors(2000, seed=1), "a"))
    assert stability < 0.03
    assert distance < 0.05


def test_vectors_that_moved_have_drifted() -> None:
    stability, distance = drift(Profile.of(vectors(2000), "a"), Profile.of(vectors(2000, seed=1, shift=0.8), "a"))
    assert stability > 0.2
    assert distance > 0.15


def test_one_vector_in_the_place_of_a_fifth_of_them_is_drift() -> None:
    rows = vectors(2000)
    rows[:450] = rows[0]
    assert drift(Profile.of(vectors(2000), "a"), Profile.of(rows, "a"))[0] > 0.2


def test_a_profile_is_small() -> None:
    assert Profile.of(vectors(SAMPLE + 5), "a").values.shape == (SAMPLE, 16)


@pytest.mark.parametrize(
    ("dimension", "made_by", "count", "said"),
    [
        (32, "a", ENOUGH, None),
        (32, "b", ENOUGH, "made by b (32 numbers), in the last release by a (32)"),
        (16, "a", ENOUGH, "made by a (16 numbers), in the last release by a (32)"),
        (32, "a", 5, "5 vectors, 300 in the last release; 200 of both are needed"),
    ],
)
def test_what_cannot_be_compared_is_said(dimension: int, made_by: str, count: int, said: str | None) -> None:
    assert Profile.of(vectors(300), "a").incomparable(dimension, made_by, count) == said
