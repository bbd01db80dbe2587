"""The whole path on a checkerboard: fitted on past windows, it ranks a user's own camp first, and knows no future."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feature_repo.schema import Modality
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.generator import NOT_OFFERED
from ranking.candidates.history import Feedback
from ranking.candidates.popular import Popular, PopularConfig
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.errors import ArtifactError
from ranking.metrics import hits_of, ndcg
from ranking.rankers.blend import BlendConfig
from ranking.rankers.features import Part
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import request_rows
from ranking.rankers.trees import TreesConfig
from ranking.splits import Protocol, Split, split
from ranking.strategy.fit import MIN_QUERIES, Window, divisions, fit_ranker, place_items, vocabulary_of
from ranking.strategy.generators import (
    GENERATORS,
    GeneratorConfigs,
    fit_generators,
    load_generators,
    save_generators,
)
from ranking.strategy.grids import TUNERS
from ranking.strategy.hybrid import Hybrid, HybridConfig
from ranking.strategy.tuned import TunedModels, tune_models
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

K = 10
RANKER = BlendConfig(TreesConfig(objectives=("lambdarank",), trees=30, min_rows_in_leaf=5, threads=1))


@pytest.fixture(scope="module")
def hybrid(checkerboard, past) -> Hybrid:
    """Learned from the two earlier windows, to answer the latest."""
    asked, *earlier = past
    vocabulary = vocabulary_of(earlier)
    slates = [window.slates(checkerboard.content, checkerboard.users, vocabulary) for window in earlier]
    space = place_items(asked.alignment, asked.mapping, checkerboard.content)
    train, created_at = asked.division.train, checkerboard.content.created_at
    return Hybrid(
        HybridConfig(candidates=30, ranker=RANKER),
        items=train.items,
        created_at=created_at,
        generators=fit_generators(train, GeneratorConfigs(), space=space, created_at=created_at),
        knowledge=Knowledge.fit(train, checkerboard.content, space, checkerboard.users),
        vocabulary=vocabulary,
        ranker=fit_ranker(slates, [window.division for window in earlier], RANKER),
    )


@pytest.fixture(scope="module")
def asked(past) -> Split:
    return past[0].division


@pytest.fixture(scope="module")
def ranked(hybrid, checkerboard, asked):
    return hybrid.recommend(asked.queries, checkerboard.features, users=asked.train.users, k=K)


def newcomers(n_items: int, n: int = 2) -> Queries:
    return Queries.from_interactions(
        Interactions(
            IdIndex(()),
            IdIndex(tuple(f"i{one}" for one in range(n_items))),
            *(np.empty(0, kind) for kind in (np.int32, np.int32, np.int64, np.float32, bool, object, object)),
        ),
        np.full(n, UNKNOWN, np.int32),
        np.full(n, 10**15, np.int64),
    )


def test_own_camp_comes_first_and_beats_what_is_popular(ranked, asked):
    own = ranked.item % 2 == asked.queries.user[:, None] % 2
    assert own.mean() > 0.95
    popular, _ = full_ranking(Popular(PopularConfig()).fit(asked.train), asked.queries, k=K)
    wanted = np.diff(asked.relevant.indptr)
    ours, theirs = (ndcg(hits_of(items, asked.relevant), wanted, K).mean() for items in (ranked.item, popular))
    assert ours > 1.3 * theirs


def test_seen_items_are_never_recommended(ranked, asked):
    assert not hits_of(ranked.item, asked.queries.matrix().astype(bool)).any()


def test_answers_are_distinct_items_best_first_each_at_its_place_among_the_candidates(ranked):
    assert (ranked.item.dtype, ranked.score.dtype) == (np.int32, np.float32)
    assert ranked.item.shape == ranked.score.shape == ranked.place.shape
    assert all(len(set(row)) == len(row) for row in ranked.item.tolist())
    assert (np.diff(ranked.score, axis=1) <= 0).all()
    assert np.array_equal(np.take_along_axis(ranked.slates.candidates.item, ranked.place, axis=1), ranked.item)


def test_the_same_request_has_the_same_answer(hybrid, checkerboard, asked, ranked):
    again = hybrid.recommend(asked.queries, checkerboard.features, users=asked.train.users, k=K)
    assert np.array_equal(again.item, ranked.item)
    assert np.array_equal(again.score, ranked.score)


def test_a_batch_is_answered_as_its_single_queries_are(hybrid, checkerboard, asked, ranked):
    for row in range(0, len(asked.queries), 7):
        alone = hybrid.recommend(asked.queries.rows(row, row + 1), checkerboard.features, users=asked.train.users, k=K)
        assert np.array_equal(alone.item[0], ranked.item[row])
        np.testing.assert_allclose(alone.score[0], ranked.score[row], atol=1e-3)


def test_fewer_candidates_than_asked_for_leave_unknown_places(hybrid, checkerboard, asked):
    found = hybrid.recommend(asked.queries.rows(0, 3), checkerboard.features, users=asked.train.users, k=60)
    assert found.item.shape == (3, 30)  # as many as the path looks at
    few = replace(found.slates.candidates, item=found.slates.candidates.item.copy())
    few.item[:, 4:] = UNKNOWN
    rows = asked.queries.rows(0, 3)
    stored = checkerboard.features(request_rows(few, rows, asked.train.users, asked.train.items))
    short = hybrid.order(few, rows, stored, k=6)
    assert (short.item[:, :4] >= 0).all()
    assert (short.item[:, 4:] == UNKNOWN).all()
    assert (short.score[:, 4:] == NOT_OFFERED).all()


def test_newcomers_get_what_is_popular(hybrid, checkerboard, asked):
    queries = newcomers(60)
    found = hybrid.recommend(queries, checkerboard.features, users=asked.train.users, k=3)
    popular = next(one for one in hybrid.generators if one.name == "popular_windowed")
    wanted, _ = full_ranking(popular, queries, k=3)
    assert np.array_equal(found.item, wanted)


def test_nobody_asked_nobody_answered(hybrid, checkerboard, asked):
    found = hybrid.recommend(asked.queries.rows(0, 0), checkerboard.features, users=asked.train.users, k=K)
    assert found.item.shape == (0, K)


def test_a_saved_hybrid_answers_alike(hybrid, checkerboard, asked, ranked, tmp_path: Path):
    hybrid.save(tmp_path)
    loaded = Hybrid.load(tmp_path)
    assert (loaded.config, loaded.items, loaded.vocabulary) == (hybrid.config, hybrid.items, hybrid.vocabulary)
    again = loaded.recommend(asked.queries, checkerboard.features, users=asked.train.users, k=K)
    assert np.array_equal(again.item, ranked.item)
    assert np.array_equal(again.score, ranked.score)


@pytest.mark.parametrize("file", ["hybrid.json", "generators.json", "space.safetensors", "trees.json"])
def test_a_hybrid_with_a_missing_file_names_it(hybrid, tmp_path: Path, file: str):
    hybrid.save(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ArtifactError, match=file):
        Hybrid.load(tmp_path)


def test_an_unknown_generator_is_refused_with_those_known(tmp_path: Path):
    (tmp_path / "generators.json").write_text('["ease", "oracle"]')
    with pytest.raises(ArtifactError, match=r"oracle.*known are.*aligned"):
        load_generators(tmp_path)


def test_all_generators_propose_and_each_has_its_name(hybrid):
    names = [one.name for one in hybrid.generators]
    assert len(set(names)) == len(names)
    # for large catalogues; adds nothing to the others; where asked for
    assert set(names) == GENERATORS.keys() - {"ease_sparse", "aligned_session", "sasrec"}


# the past, and nothing but the past


def events_of(log: Interactions) -> set[tuple[int, int, int]]:
    return set(zip(log.user.tolist(), log.item.tolist(), log.occurred_at.tolist(), strict=True))


@pytest.mark.parametrize("protocol", list(Protocol))
def test_no_window_sees_its_own_future(checkerboard, protocol: Protocol):
    divided = divisions(checkerboard.log, protocol, 3)
    assert len(divided) == 3
    whole = events_of(checkerboard.log)
    for one in divided:
        train, test = events_of(one.train), events_of(one.test)
        assert train < whole  # each division is of the training part before it
        assert test <= whole - train
        for row, user in enumerate(one.queries.user.tolist()):
            known, held = one.train.occurred_at[one.train.user == user], one.test.occurred_at[one.test.user == user]
            assert known.max(initial=-1) < held.min()  # no two events of this log share a moment
            assert one.queries.at[row] == held.min()
            history = slice(one.queries.indptr[row], one.queries.indptr[row + 1])
            assert (one.queries.occurred_at[history] < one.queries.as_of[row]).all()
        if one.cutoff is not None:
            assert one.train.occurred_at.max() < one.cutoff <= one.test.occurred_at.min()
        whole = train


def test_windows_are_of_the_protocol_that_is_asked(checkerboard):
    for protocol in Protocol:
        assert {one.protocol for one in divisions(checkerboard.log, protocol, 3)} == {protocol}


def test_where_one_cutoff_leaves_few_users_each_users_latest_events_are_taken(checkerboard):
    few = checkerboard.log.where(checkerboard.log.user < MIN_QUERIES - 1)
    first, *inner = divisions(few, Protocol.P1, 3)
    assert first.protocol is Protocol.P1
    assert [one.protocol for one in inner] == [Protocol.P2, Protocol.P2]
    assert all(one.train.occurred_at.max() < first.cutoff for one in inner)
    assert all(one.test.occurred_at.max() < first.cutoff for one in inner)


def test_a_log_too_short_for_windows_gives_those_that_there_are(checkerboard):
    assert divisions(checkerboard.log.where(np.zeros(len(checkerboard.log), bool)), Protocol.P2, 3) == []
    first_six = np.sort([np.flatnonzero(checkerboard.log.user == user)[:6] for user in range(60)], axis=None)
    found = divisions(checkerboard.log.where(first_six), Protocol.P2, 3)
    assert len(found) == 2  # one of six, one of five; of four none is held out
    assert all(len(one.queries) for one in found)


def test_an_item_whose_only_signal_lies_after_the_cutoff_gets_no_lift(checkerboard):
    """The same past and two futures: in the second, everybody takes item 7 and nothing else."""
    log = checkerboard.log
    cutoff = split(log, Protocol.P1, min_users=1).cutoff
    log = log.where((log.item != 7) | (log.occurred_at >= cutoff))
    later = log.occurred_at >= split(log, Protocol.P1, min_users=1).cutoff
    craze = replace(log, item=np.where(later, 7, log.item).astype(np.int32))
    asked = [split(one, Protocol.P1, min_users=1) for one in (log, craze)]
    assert asked[0].cutoff == asked[1].cutoff
    assert not (asked[1].train.item == 7).any()
    assert (asked[1].test.item == 7).all()
    plain, crazed = (checkerboard.windows([one])[0] for one in asked)
    both, row, its_row = np.intersect1d(asked[0].queries.user, asked[1].queries.user, return_indices=True)
    assert len(both) > 30
    for name in ("item", "fused", "rank", "score"):
        mine, its = getattr(plain.candidates, name)[row], getattr(crazed.candidates, name)[its_row]
        np.testing.assert_array_equal(mine, its)
    vocabulary = vocabulary_of([plain])
    matrices = [window.slates(checkerboard.content, checkerboard.users, vocabulary) for window in (plain, crazed)]
    of_both = [np.isin(one.row, chosen) for one, chosen in zip(matrices, (row, its_row), strict=True)]
    assert matrices[0].features.names == matrices[1].features.names
    np.testing.assert_array_equal(matrices[0].features.values[of_both[0]], matrices[1].features.values[of_both[1]])


# windows


def test_a_saved_window_gives_the_same_slates(past, checkerboard, tmp_path: Path):
    past[1].save(tmp_path)
    loaded = Window.load(tmp_path, past[1].division, past[1].mapping)
    vocabulary = vocabulary_of(past)
    mine, its = (window.slates(checkerboard.content, checkerboard.users, vocabulary) for window in (past[1], loaded))
    assert its.features.names == mine.features.names
    np.testing.assert_array_equal(its.features.values, mine.features.values)
    np.testing.assert_array_equal(its.groups, mine.groups)
    assert loaded.configs == past[1].configs


def test_leaving_a_modality_out_leaves_candidates_and_behaviour_as_they_are(past, checkerboard):
    vocabulary = vocabulary_of(past)
    whole = past[0].slates(checkerboard.content, checkerboard.users, vocabulary)
    lacking = past[0].blind(whole, checkerboard.content, Modality.TEXT)
    np.testing.assert_array_equal(lacking.candidates.item, whole.candidates.item)
    assert set(whole.features.names) - set(lacking.features.names) == {"text_similarity"}
    mixed = ("ease_semantic_", "scarce_")  # of behaviour and of where the items lie
    behaviour = [
        name
        for name in whole.features.names
        if whole.features.parts[name] is Part.BEHAVIOUR and not name.startswith(mixed)
    ]
    for name in (*behaviour, "context_hour", "image_similarity"):
        np.testing.assert_array_equal(lacking.features.select([name]), whole.features.select([name]), err_msg=name)
    moved = (
        "aligned_score",
        "aligned_recent_score",
        "ease_semantic_score",
        "cold_start_score",
        "content_similarity",
        "device_fit",
    )
    for name in moved:  # all that goes by where the items lie, the fit to the surroundings among it
        assert name in lacking.features.names
    assert not np.array_equal(
        lacking.features.select(["aligned_score"]), whole.features.select(["aligned_score"]), equal_nan=True
    )


def test_leaving_the_only_modality_out_leaves_nothing_of_content(past, checkerboard):
    text = replace(
        checkerboard.content,
        vectors={Modality.TEXT: checkerboard.content.vectors[Modality.TEXT]},
        present={Modality.TEXT: checkerboard.content.present[Modality.TEXT]},
    )
    space = place_items(past[0].alignment, past[0].mapping, text, without=frozenset({Modality.TEXT}))
    assert not space.fused.any()
    assert not space.predicted.any()


# tuning


def test_tuned_models_are_the_best_of_their_trials_and_go_to_the_generators(asked):
    steps: list[tuple[int, int]] = []
    tuned = tune_models(asked, budget=2, progress=lambda done, total: steps.append((done, total)))
    assert tuned.trials == 2
    assert set(tuned.validation_ndcg) == set(tuned.baselines())
    assert len(steps) == len(tuned.baselines())
    configs = tuned.generators()
    assert (configs.ials, configs.ials_scaled) == (tuned.ials, tuned.ials_scaled)
    assert (configs.item_knn, configs.ease) == (tuned.item_knn, tuned.ease_all)
    assert configs.ease.memory.feedback is Feedback.ALL
    assert configs.ease_positive.memory.feedback is Feedback.POSITIVE
    assert tuned.ease in (tuned.ease_all, tuned.ease_positive)


def test_untuned_models_name_every_baseline():
    assert set(TunedModels().baselines()) == set(TUNERS)


def test_a_sequential_generator_is_among_them_where_it_is_configured(checkerboard, past, tmp_path):
    asked = past[0]
    space = place_items(asked.alignment, asked.mapping, checkerboard.content)
    configs = GeneratorConfigs(sasrec=SasrecConfig(dim=8, length=5, epochs=1))
    train, created_at = asked.division.train, checkerboard.content.created_at
    generators = fit_generators(train, configs, space=space, created_at=created_at)
    assert "sasrec" in [one.name for one in generators]
    save_generators(generators, tmp_path)
    for one, loaded in zip(generators, load_generators(tmp_path), strict=True):
        np.testing.assert_array_equal(loaded.score(asked.division.queries), one.score(asked.division.queries))
