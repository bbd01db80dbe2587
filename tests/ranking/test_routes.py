"""Short histories: truncated as told, weighed by a gate that can be checked by hand, or left to a better model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED
from ranking.candidates.popular import Popular, PopularConfig
from ranking.evaluation.routes_report import read, report_of, routes_tables, write
from ranking.rankers.blend import BlendConfig
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.linear import LinearConfig
from ranking.rankers.slates import Slates
from ranking.rankers.standardised import standardise
from ranking.rankers.trees import TreesConfig
from ranking.splits import Protocol
from ranking.strategy.choice import BANDS, HYBRID, band_of, choose, chosen_for
from ranking.strategy.committee import Committee
from ranking.strategy.first_events import drawn_users, first_events, latecomers
from ranking.strategy.fit import newcomers, place_items
from ranking.strategy.gate import EXPERTS, KNOTS, PLAIN, Gate, GateConfig, Opinions, ndcg_of, said_by
from ranking.strategy.generators import GeneratorConfigs, fit_generators
from ranking.strategy.hybrid import RANKER_ALONE, HybridConfig, find, rank
from ranking.strategy.routes import Routes, RoutesConfig, Told, learn_newcomers, only_long, singles_ndcg
from ranking.types import UNKNOWN, IdIndex, Interactions

SMALL = BlendConfig(TreesConfig(trees=10, min_rows_in_leaf=2, negatives=1.0, threads=1), LinearConfig(negatives=1.0))


def log_of(events: list[tuple[int, int, bool]], users: int = 6, items: int = 12) -> Interactions:
    """One event a moment: (user, item, positive)."""
    user, item, positive = (np.array(column) for column in zip(*events, strict=True))
    nothing = np.full(len(events), None, object)
    return Interactions(
        users=IdIndex(tuple(f"u{one:02}" for one in range(users))),
        items=IdIndex(tuple(f"i{one:02}" for one in range(items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=np.arange(len(events), dtype=np.int64) * 10,
        weight=np.ones(len(events), np.float32),
        positive=positive.astype(bool),
        device=nothing,
        place=nothing,
    )


events = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11), st.booleans()), min_size=1, max_size=60)


@given(events, st.integers(0, 3), st.booleans())
def test_a_truncated_history_holds_the_first_events_and_none_of_what_came_later(found, seed, late):
    log = log_of(found)
    known, held = latecomers(log, 0.4) if late else (log, drawn_users(log, 0.4, seed=seed))
    division = first_events(known, held, counts=(0, 1, 3))
    queries = division.queries
    for row in range(len(queries)):
        mine = slice(*queries.indptr[row : row + 2])
        own = log.where(log.user == queries.user[row])
        count = mine.stop - mine.start
        assert count in (0, 1, 3)
        assert own.item[:count].tolist() == queries.item[mine].tolist()
        assert (queries.occurred_at[mine] < queries.as_of[row]).all()
        assert queries.at[row] == own.occurred_at[count]
        later = set(own.item[count:][own.positive[count:]].tolist()) - set(own.item[:count].tolist())
        assert set(division.relevant[row].indices.tolist()) == later != set()
    assert not held[division.train.user].any()
    if late and held.any():
        assert (division.train.occurred_at < log.occurred_at[held[log.user]].min()).all()


def test_the_latest_quarter_of_the_users_are_the_newcomers():
    log = log_of([(0, 0, True), (1, 1, True), (2, 2, True), (0, 3, True), (3, 4, True), (0, 5, True), (3, 6, True)])
    known, held = latecomers(log, 0.25)
    assert np.flatnonzero(held).tolist() == [3]
    assert known.item.tolist() == [0, 1, 2, 3, 4, 6]  # not what the first user did after the last one came


def test_nobody_is_asked_where_too_few_came_late():
    assert newcomers(log_of([(0, 0, True), (1, 1, True), (0, 2, True), (1, 3, True)]), RoutesConfig()) is None


def test_a_single_user_is_never_held_out():
    log = log_of([(0, 0, True), (0, 1, True)])
    assert not drawn_users(log, 0.5).any()
    assert not latecomers(log, 0.5)[1].any()


def slates_of(
    lengths: list[int], scores: np.ndarray, names: tuple[str, ...], features: np.ndarray | None = None
) -> Slates:
    """Slates of the same five items; scores: [generators, q, 5]."""
    scores = np.moveaxis(scores, 0, 2).astype(np.float32)
    q = len(lengths)
    place = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable") + 1
    item = np.tile(np.arange(5, dtype=np.int32), (q, 1))
    candidates = Candidates(names, item, np.full((q, 5), 0.01, np.float32), place.astype(np.int32), scores)
    matrix = FeatureMatrix(
        ("x",), (scores[:, :, 0] if features is None else features).reshape(-1, 1), {"x": Part.BEHAVIOUR}
    )
    return Slates(candidates, np.full(q, 5), np.repeat(np.arange(q), 5), matrix)


def test_the_gate_weighs_opinions_as_calculated_by_hand():
    popular, ease = [4, 3, 2, 1, 0], [0, 0, 0, 0, 5]
    slates = slates_of([0], np.array([[popular], [ease]], float), ("popular", "ease"))
    said = said_by(slates, np.array([0, 1, 0, 0, 0], np.float32))
    assert said.shape == (1, 5, len(EXPERTS))
    np.testing.assert_allclose(said[0, :, 0], np.array([2, 1, 0, -1, -2]) / np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(said[0, :, 3], [-0.5, -0.5, -0.5, -0.5, 2], atol=1e-6)
    np.testing.assert_allclose(said[0, :, 4], [-0.5, 2, -0.5, -0.5, -0.5], atol=1e-6)
    assert not said[0, :, [1, 2]].any()  # no content, no session: no opinion
    weights = {"popularity": (1.0, 0.0), "content": (9.0, 9.0), "session": (9.0, 9.0), "collaborative": (0.5, 1.0)}
    gate = Gate((0, 3), weights | {"ranker": (2.0, 0.0)})
    half = gate.score(said, np.array([1]))  # log 2 is half of log 4: weights .5, .75 and 1
    wanted = 0.5 * said[0, :, 0] + 0.75 * said[0, :, 3] + 1.0 * said[0, :, 4]
    np.testing.assert_allclose(half[0], wanted, atol=1e-6)


def test_opinions_of_slates_of_different_sizes_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    names = ("popular", "ease", "aligned", "sequel")
    scores = rng.normal(size=(3, 6, len(names))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = NOT_OFFERED
    scores[:, :, 2] = NOT_OFFERED  # of content nobody says anything
    item = np.tile(np.arange(6, dtype=np.int32), (3, 1))
    item[0, 4:] = item[2, 1:] = UNKNOWN
    sizes, lengths = np.array([4, 6, 1]), np.array([0, 4, 30])
    matrix = FeatureMatrix.nothing(11)
    found = Candidates(names, item, np.zeros((3, 6), np.float32), np.zeros(scores.shape, np.int32), scores)
    slates = Slates(found, sizes, np.repeat(np.arange(3), sizes), matrix)
    ranker = rng.normal(size=11).astype(np.float32)
    said = said_by(slates, ranker)
    gate = Gate.before()
    weighed = gate.score(said, lengths)
    assert not said[:, :, 1][item != UNKNOWN].any()
    assert np.isneginf(said[item == UNKNOWN]).all() and np.isneginf(weighed[item == UNKNOWN]).all()
    for row, stop in enumerate(np.cumsum(sizes)):
        mine = slice(stop - sizes[row], stop)
        alone = Slates(found.take(np.array([row])), sizes[[row]], np.zeros(sizes[row], np.int64), matrix)
        assert np.array_equal(said_by(alone, ranker[mine])[0], said[row])
        assert np.array_equal(gate.score(said[[row]], lengths[[row]])[0], weighed[row])
        plain = said[row, : sizes[row]].astype(float) @ gate.at(lengths[[row]])[0]
        np.testing.assert_allclose(weighed[row, : sizes[row]], plain, atol=1e-6)
        first = np.where(np.isfinite(scores[row, :, 0]), scores[row, :, 0], np.inf)[: sizes[row]]
        filled = np.where(np.isfinite(first), first, first.min() if np.isfinite(first.min()) else 0).astype(float)
        assert np.allclose(said[row, : sizes[row], 0], standardise(filled, sizes[[row]]), atol=1e-6)


def test_the_gate_learns_who_is_right_at_which_length():
    rng = np.random.default_rng(0)
    q = 200
    lengths = np.repeat([0, 5], q // 2)
    said = rng.normal(size=(q, 20, len(EXPERTS))).astype(np.float32)
    chosen = np.zeros((q, 20), bool)
    for row, expert in enumerate(np.where(lengths == 0, EXPERTS.index("popularity"), EXPERTS.index("session"))):
        chosen[row, np.argsort(-said[row, :, expert])[:2]] = True
    told = Opinions(said, chosen, np.full(q, 2), lengths)
    gate = Gate.fit([told])
    assert gate.weights["popularity"][KNOTS.index(0)] > 0.3 > gate.weights["popularity"][KNOTS.index(5)]
    assert gate.weights["session"][KNOTS.index(5)] > 0.3 > gate.weights["session"][KNOTS.index(0)]
    assert gate.weights["popularity"][KNOTS.index(50)] == GateConfig().start[-1]  # nobody has told of it
    before = ndcg_of(Gate.before().score(said, lengths), chosen, told.wanted).mean()
    assert ndcg_of(gate.score(said, lengths), chosen, told.wanted).mean() > before


def test_without_a_ranker_of_short_histories_one_standard_error_moves_no_weight():
    def learned(helped: int, config: GateConfig) -> float:
        """Of 400 slates of two, the collaborative models would mend so many, and spoil the others."""
        said = np.zeros((400, 2, len(EXPERTS)), np.float32)
        said[:, :, EXPERTS.index("ranker")] = (1, -1)
        said[:, :, EXPERTS.index("collaborative")] = (-20, 20)
        chosen = np.zeros((400, 2), bool)
        chosen[:helped, 1] = chosen[helped:, 0] = True
        told = Opinions(said, chosen, np.ones(400, np.int64), np.full(400, 99))
        return Gate.fit([told], config=config).weights["collaborative"][-1]

    assert learned(215, replace(PLAIN, noise=1.0)) == 0.1  # better by 1.5 standard errors
    assert learned(215, PLAIN) == 0.0
    assert learned(260, PLAIN) == 0.1


def test_without_slates_the_gate_stays_as_it_was(tmp_path: Path):
    assert Gate.fit([]) == Gate.before()
    Gate.before().save(tmp_path)
    assert Gate.load(tmp_path) == Gate.before()


def test_a_harmful_hybrid_gives_way_to_the_single_model_where_it_harms():
    rng = np.random.default_rng(1)
    users = np.arange(100, dtype=np.int32).repeat(2)
    lengths = np.tile([0, 20], 100)
    hybrid = np.where(lengths == 0, 0.2, 0.5) + rng.normal(0, 0.1, 200)
    singles = {"popular": np.full(200, 0.3) + rng.normal(0, 0.1, 200), "ease": np.full(200, 0.1)}
    choices = choose(hybrid, singles, users, lengths)
    assert [one.chosen for one in choices] == ["popular", HYBRID, HYBRID, HYBRID, HYBRID]
    assert [one.best for one in choices] == ["popular", "", "", "", "popular"]
    assert chosen_for(choices, np.array([0, 1, 500])) == ["popular", HYBRID, HYBRID]


def test_noise_is_no_reason_to_leave_the_hybrid():
    rng = np.random.default_rng(2)
    hybrid, single = rng.random(200), rng.random(200)
    single += hybrid.mean() - single.mean() + 0.005
    choices = choose(hybrid, {"ease": single}, np.arange(200, dtype=np.int32), np.full(200, 30))
    assert choices[-1].single > choices[-1].hybrid
    assert choices[-1].chosen == HYBRID


def test_bands_hold_every_length_once():
    lengths = np.arange(30)
    for length, band in zip(lengths.tolist(), band_of(lengths).tolist(), strict=True):
        shortest, longest = BANDS[band]
        assert shortest <= length <= (longest or length)


OF_A_QUERY = ("user", "at", "as_of", "device", "place")


class Fixed:
    """A ranker that gives its one feature."""

    names = ("x",)

    def score(self, features, groups):
        return features.values[:, 0]


def queries_of(lengths: list[int]):
    total = sum(lengths)
    log = log_of([(0, 0, True)])
    division = first_events(log_of([(0, 5, True), (1, 6, True)]), np.array([True] + [False] * 5))
    one = division.queries
    return replace(
        one,
        **{
            name: np.repeat(getattr(one, name)[:1], len(lengths)) for name in ("user", "at", "as_of", "device", "place")
        },
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        item=np.full(total, 11, np.int32),
        occurred_at=np.zeros(total, np.int64),
        weight=np.ones(total, np.float32),
        positive=np.ones(total, bool),
        n_items=len(log.items),
    )


def test_a_band_of_a_single_model_is_answered_in_its_order_and_the_others_are_not():
    rng = np.random.default_rng(3)
    lengths = [0, 2, 30]
    slates = slates_of(lengths, rng.normal(size=(2, 3, 5)), ("popular", "ease"), features=rng.normal(size=15))
    choices = choose(np.zeros(60), {"popular": np.ones(60)}, np.arange(60, dtype=np.int32), np.full(60, 2))
    routes = Routes(None, RANKER_ALONE.gate, choices)
    ranked = rank(slates, queries_of(lengths), Fixed(), k=5, routes=routes)
    assert ranked.item[1].tolist() == np.argsort(slates.candidates.rank[1, :, 0]).tolist()
    assert ranked.item[2].tolist() == np.argsort(-slates.features.values[10:, 0], kind="stable").tolist()
    assert routes.voice(2, Fixed()) is None
    assert routes.voice(30, ranker := Fixed()) is ranker


def planted(q: int = 80) -> tuple[Slates, object]:
    """Each query likes the item of the largest x; half of the histories are short."""
    rng = np.random.default_rng(4)
    lengths = [1, 20] * (q // 2)
    x = rng.normal(size=(q, 5)).astype(np.float32)
    slates = slates_of(lengths, np.stack([rng.normal(size=(q, 5)), x]), ("popular", "ease"), features=x)
    best = x.argmax(axis=1)
    queries = replace(queries_of(lengths), user=np.arange(q, dtype=np.int32))
    division = first_events(log_of([(0, 5, True), (1, 6, True)]), np.array([True] + [False] * 5))
    relevant = sparse.csr_matrix((np.ones(q, bool), (np.arange(q), best)), shape=(q, 12), dtype=bool)
    return slates, replace(division, queries=queries, relevant=relevant, protocol=Protocol.P2)


@pytest.fixture(scope="module")
def learned() -> tuple[Routes, Slates, object]:
    slates, division = planted()
    committee, told = learn_newcomers(slates, division, RoutesConfig(short=SMALL))
    return Routes.learn(committee, [told]), slates, division


def test_short_histories_are_learned_from_users_that_do_not_judge(learned):
    routes, slates, division = learned
    ours = ndcg_of(routes.scores(slates, division.queries, Fixed()), slates_labels(slates, division), np.ones(80, int))
    assert ours.mean() > 0.9
    assert {one.chosen for one in routes.choices} == {HYBRID} or ours.mean() == 1


def slates_labels(slates: Slates, division) -> np.ndarray:
    return slates.labels(division.relevant).reshape(-1, 5)


def test_routes_score_a_batch_as_its_single_queries(learned):
    routes, slates, division = learned
    whole = routes.scores(slates, division.queries, Fixed())
    old = slates.candidates
    for row in range(0, 80, 9):
        one = slice(row, row + 1)
        few = Candidates(old.generators, old.item[one], old.fused[one], old.rank[one], old.score[one])
        rows = slates.row == row
        features = FeatureMatrix(slates.features.names, slates.features.values[rows], slates.features.parts)
        alone = Slates(few, slates.groups[one], np.zeros(5, np.int64), features)
        np.testing.assert_allclose(
            routes.scores(alone, division.queries.rows(row, row + 1), Fixed())[0], whole[row], atol=1e-5
        )


def test_saved_routes_score_alike(learned, tmp_path: Path):
    routes, slates, division = learned
    routes.save(tmp_path)
    again = Routes.load(tmp_path)
    assert (again.gate, again.choices) == (routes.gate, routes.choices)
    scores = [one.scores(slates, division.queries, Fixed()) for one in (routes, again)]
    assert np.array_equal(*scores)


def test_a_committee_explains_its_scores(learned):
    routes, slates, _ = learned
    committee = routes.newcomer
    assert isinstance(committee, Committee)
    features = FeatureMatrix(slates.features.names, slates.features.values[:5], slates.features.parts)
    added = committee.contributions(features, np.arange(5))
    scores = committee.score(features, np.array([5]))
    np.testing.assert_allclose(added.sum(axis=1), scores - scores.mean(), atol=1e-4)


def test_only_long_histories_teach_what_the_ranker_answers():
    slates, division = planted()
    told = only_long(Told(slates, division, np.arange(400, dtype=np.float32)))
    assert np.diff(told.division.queries.indptr).tolist() == [20] * 40
    assert told.scores.tolist()[:5] == [5, 6, 7, 8, 9]
    assert len(told.opinions().lengths) == 40


def test_what_a_single_model_does_not_offer_is_no_merit_of_it():
    slates, division = planted()
    old = slates.candidates
    silent = replace(old, rank=np.concatenate([old.rank[:, :, :1], np.zeros_like(old.rank[:, :, 1:])], axis=2))
    told = Told(replace(slates, candidates=silent), division, np.zeros(400, np.float32)).opinions()
    assert not singles_ndcg(silent, told)["ease"].any()


def test_candidates_of_mixed_histories_stay_in_their_order(checkerboard, past):
    division = past[0].division
    space = place_items(past[0].alignment, past[0].mapping, checkerboard.content)
    created_at = checkerboard.content.created_at
    generators = fit_generators(division.train, GeneratorConfigs(), space=space, created_at=created_at)
    mixed = first_events(division.train, drawn_users(division.train, 0.3), counts=(0, 20, 3)).queries
    config = HybridConfig(candidates=30)
    whole = find(generators, mixed, config, created_at=created_at)
    for row in range(0, len(mixed), 11):
        alone = find(generators, mixed.rows(row, row + 1), config, created_at=created_at)
        assert np.array_equal(alone.item[0], whole.item[row])
    assert (whole.item != UNKNOWN).any(axis=1).all()


def test_what_was_learned_is_shown(learned, tmp_path: Path):
    routes, _, _ = learned
    assert read(tmp_path) == {}
    write(tmp_path, {"p1": report_of(routes)})
    found = read(tmp_path)
    assert found["p1"] == report_of(routes)
    assert list(found["p1"]["weights"]) == ["0", "1", "3", "5", "10", "50"]
    (table,) = routes_tables(found)
    assert table.row_count == 6
    assert [column.header for column in table.columns][1:6] == list(EXPERTS)


def test_a_planted_future_item_gets_no_lift():
    """An item whose only events come after the newcomers: no model of their division knows of it."""
    early = [(user, item, True) for user in range(3) for item in range(4)]
    late = [(3, item, True) for item in range(4)] + [(user, 11, True) for user in (0, 1, 2)] + [(3, 11, True)]
    known, held = latecomers(log_of(early + late), 0.25)
    division = first_events(known, held, counts=(0, 1))
    assert np.flatnonzero(held).tolist() == [3]
    assert 11 not in division.train.item
    popular = Popular(PopularConfig()).fit(division.train)
    assert np.isneginf(popular.score(division.queries)[:, 11]).all()
    assert division.relevant[:, [11]].toarray().all()  # it is wanted all the same, and missed
