import numpy as np
import numpy.typing as npt
import pytest

from feature_repo.settings import Suites
from validation import aligned_space
from validation.run import validate

N, DIMENSION = 40, 16
LIMITS = Suites()


def rows(seed: int, towards: float = 0.0) -> npt.NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(N, DIMENSION))
    drawn[:, 0] += towards
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def failed(vectors: dict[str, npt.NDArray[np.float32]], limits: Suites = LIMITS) -> list[str]:
    table = aligned_space.measured(vectors)
    return validate(table, aligned_space.suite(table, limits)).failed()


def test_modalities_around_one_middle_pass() -> None:
    assert failed({"text": rows(0), "image": rows(1), "audio": rows(2)}) == []


def test_modalities_far_apart_are_named_with_value_limit_and_remedy() -> None:
    [line] = failed({"text": rows(0, 4), "image": rows(1, -4)})
    assert line.startswith("aligned_space.image_text_modality_gap: ")
    assert "(max_value=0.8): observed 1." in line
    assert line.endswith("or raise `modality_gap` under [suites]")
    assert failed({"text": rows(0, 4), "image": rows(1, -4)}, Suites(modality_gap=2)) == []


def test_a_modality_that_collapsed_is_named() -> None:
    flat = rows(3)
    flat[:, 2:] = 0
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    [line] = failed({"text": rows(0), "image": flat})
    assert line.startswith("aligned_space.image_effective_rank: ")
    [line] = failed({"text": rows(0), "image": rows(1, 40)}, Suites(modality_gap=2))
    assert line.startswith("aligned_space.image_mean_pairwise_cosine: ")


@pytest.mark.parametrize("items", [0, 19])
def test_what_few_items_have_is_not_judged(items: int) -> None:
    few = rows(1, 40)
    few[items:] = 0
    assert failed({"text": rows(0), "image": few}) == []
    assert failed({}) == []
