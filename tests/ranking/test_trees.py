"""The contract of the tree ranker on slates whose answer is known: what is wanted is where `wanted` is high."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.errors import ArtifactError
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.standardised import standardise, standardise_known
from ranking.rankers.trees import Trees, TreesConfig

SIZE, SLATES = 20, 60
CONFIG = TreesConfig(
    objectives=("binary", "lambdarank"),
    seeds=(0, 1),
    trees=30,
    leaves=7,
    min_rows_in_leaf=5,
    negatives=1.0,
    feature_fraction=1.0,
    threads=1,
)


def slates_of(seed: int, n: int = SLATES) -> tuple[FeatureMatrix, np.ndarray, np.ndarray]:
    """Slates in which the two items of highest `signal` are relevant; `noise` says nothing, `gaps` is half NaN."""
    draw = np.random.default_rng(seed)
    signal = draw.normal(size=(n, SIZE)).astype(np.float32)
    labels = signal >= np.sort(signal, axis=1)[:, -2:-1]
    gaps = np.where(draw.random(signal.size) < 0.5, np.nan, draw.normal(size=signal.size))
    columns = {"noise": draw.normal(size=signal.size), "signal": signal.ravel(), "gaps": gaps}
    matrix = FeatureMatrix.of(
        {name: column.astype(np.float32) for name, column in columns.items()}, dict.fromkeys(columns, Part.BEHAVIOUR)
    )
    return matrix, labels.ravel(), np.full(n, SIZE, np.int64)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return Trees.fit(*slates_of(0), config=CONFIG)


def test_a_planted_rule_is_learned_and_holds_on_new_slates(trees):
    features, labels, groups = slates_of(1)
    best = trees.score(features, groups).reshape(-1, SIZE).argmax(axis=1)
    assert labels.reshape(-1, SIZE)[np.arange(SLATES), best].mean() > 0.9


def test_scores_are_float32_finite_and_one_a_row(trees):
    features, _, groups = slates_of(1)
    scores = trees.score(features, groups)
    assert (scores.dtype, scores.shape) == (np.float32, (SLATES * SIZE,))
    assert np.isfinite(scores).all()


def test_no_slates_have_no_scores(trees):
    features, _, _ = slates_of(1)
    nothing = FeatureMatrix(features.names, features.values[:0], features.parts)
    assert trees.score(nothing, np.empty(0, np.int64)).shape == (0,)


def test_the_same_slates_teach_the_same_trees(trees):
    features, _, groups = slates_of(1)
    again = Trees.fit(*slates_of(0), config=CONFIG)
    assert np.array_equal(again.score(features, groups), trees.score(features, groups))


def test_a_batch_scores_as_its_single_slates_do(trees):
    features, _, groups = slates_of(1)
    alone = [
        trees.score(
            FeatureMatrix(features.names, features.values[start : start + SIZE], features.parts), np.array([SIZE])
        )
        for start in range(0, len(features), SIZE)
    ]
    np.testing.assert_allclose(np.concatenate(alone), trees.score(features, groups), atol=1e-6)


def test_columns_are_found_by_name_in_whatever_order_they_stand(trees):
    features, _, groups = slates_of(1)
    turned = FeatureMatrix(features.names[::-1], features.values[:, ::-1], features.parts)
    assert np.array_equal(trees.score(turned, groups), trees.score(features, groups))


def test_a_missing_column_is_named(trees):
    features, _, groups = slates_of(1)
    lacking = FeatureMatrix(("noise", "gaps"), features.values[:, [0, 2]], features.parts)
    with pytest.raises(KeyError, match="signal"):
        trees.score(lacking, groups)


def test_saved_and_loaded_trees_give_equal_scores(trees, tmp_path: Path):
    trees.save(tmp_path)
    features, _, groups = slates_of(1)
    loaded = Trees.load(tmp_path)
    assert (loaded.config, loaded.names) == (trees.config, trees.names)
    assert np.array_equal(loaded.score(features, groups), trees.score(features, groups))


@pytest.mark.parametrize("file", ["trees.json", "trees-0.txt", "trees-3.txt"])
@pytest.mark.parametrize("damage", ["missing", "empty", "rubbish"])
def test_a_damaged_file_is_an_artifact_error(trees, tmp_path: Path, file: str, damage: str):
    trees.save(tmp_path)
    (tmp_path / file).unlink()
    if damage != "missing":
        (tmp_path / file).write_text("" if damage == "empty" else "no model\n")
    with pytest.raises(ArtifactError, match="build the release again"):
        Trees.load(tmp_path)


def test_slates_without_a_positive_are_ignored():
    features, labels, groups = slates_of(0)
    more, _, _ = slates_of(9, n=30)  # whatever they hold: nothing in them is wanted
    both = FeatureMatrix(features.names, np.concatenate([features.values, more.values]), features.parts)
    wanted = np.concatenate([labels, np.zeros(len(more), bool)])
    taught = Trees.fit(both, wanted, np.full(SLATES + 30, SIZE, np.int64), config=CONFIG)
    asked, _, sizes = slates_of(1)
    assert np.array_equal(
        taught.score(asked, sizes), Trees.fit(features, labels, groups, config=CONFIG).score(asked, sizes)
    )


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_sample_of_the_negatives_keeps_every_positive(monkeypatch, share: float):
    from lightgbm import Dataset

    taught = []
    monkeypatch.setattr("lightgbm.Dataset", lambda *given, **named: taught.append(given) or Dataset(*given, **named))
    features, labels, groups = slates_of(0)
    config = TreesConfig(seeds=(0,), trees=1, min_rows_in_leaf=5, negatives=share, threads=1, objectives=("binary",))
    Trees.fit(features, labels, groups, config=config)
    [(values, wanted)] = taught
    assert wanted.sum() == labels.sum()
    assert {row.tobytes() for row in features.values[labels]} <= {row.tobytes() for row in values}
    assert (wanted == 0).mean() * len(wanted) == pytest.approx(share * (~labels).sum(), rel=0.15)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), max_size=6))
def test_standardise_equals_a_plain_loop(slates: list[list[int]]):
    expected: list[float] = []
    for slate in slates:
        mean = sum(slate) / max(len(slate), 1)
        deviation = (sum((one - mean) ** 2 for one in slate) / max(len(slate), 1)) ** 0.5
        expected += [(one - mean) / deviation if len(set(slate)) > 1 else 0.0 for one in slate]
    flat = np.array([one for slate in slates for one in slate], np.float64)
    sizes = np.array([len(slate) for slate in slates], np.int64)
    np.testing.assert_allclose(standardise(flat, sizes), expected, atol=1e-9)


@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.sampled_from([np.float32, np.float64]),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_missing_value_counts_as_zero_or_not_at_all(sizes: list[int], kind, counts: bool, seed: int):
    draw = np.random.default_rng(seed)
    values = draw.integers(-3, 4, (sum(sizes), 3)).astype(kind)
    values[draw.random(values.shape) < 0.4] = np.nan
    expected = np.full(values.shape, np.nan if counts else 0.0)
    for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
        for column in range(3):
            told = values[stop - size : stop, column].astype(np.float64)
            known = ~np.isnan(told)
            filled = np.nan_to_num(told) if counts else told[known]
            deviation = filled.std() if len(filled) else 0.0
            scale = 1 / deviation if deviation > 1e-9 else 0.0
            expected[stop - size : stop, column][known] = (told[known] - filled.mean()) * scale if known.any() else 0
    found = (standardise if counts else standardise_known)(values, np.array(sizes, np.int64))
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.floats(-1e6, 1e6), st.integers(0, 99))
def test_scores_that_differ_by_the_noise_of_float32_only_are_equal(level: float, seed: int):
    noise = np.random.default_rng(seed).uniform(-1, 1, 50) * abs(level) * np.finfo(np.float32).eps
    assert not standardise(level + noise, np.array([20, 30])).any()
    assert not standardise_known((level + noise).astype(np.float32)[:, None], np.array([20, 30])).any()
