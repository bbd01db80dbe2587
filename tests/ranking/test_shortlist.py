"""The shortlist of a large catalogue: who is on it, and that candidates come from it as from a whole catalogue."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ranking.candidates.aligned import Aligned, AlignedConfig, AlignedRecent
from ranking.candidates.bpr import Bpr, BprConfig
from ranking.candidates.candidates import Candidates
from ranking.candidates.coarse import Coarse
from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.fitting import Fitting, FittingConfig
from ranking.candidates.generator import NOT_OFFERED, first_codes, first_in, ranks, top_k
from ranking.candidates.history import DAY_US
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.looks import eligible, looks
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.popular_here import PopularHere, PopularHereConfig
from ranking.candidates.reach import Survey
from ranking.candidates.scarce import Scarce, ScarceConfig
from ranking.candidates.sequel import Sequel, SequelConfig
from ranking.candidates.shortlist import ShortlistConfig, shortlist
from ranking.candidates.sparse_ease import SparseEase, SparseEaseConfig
from ranking.candidates.union import rescored, retrieve
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.representation.inputs import unit_rows
from ranking.strategy.hybrid import HybridConfig, find
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

N_USERS, N_ITEMS, N_NEW = 40, 120, 20  # new: nobody has met them
ALWAYS = np.full(N_ITEMS, np.iinfo(np.int64).min)
SHORT = ShortlistConfig(whole=0, first=4, rare=9)
EVERYTHING = ShortlistConfig(whole=0, first=N_ITEMS, rare=N_ITEMS)
WHOLE = ShortlistConfig(whole=N_ITEMS)


def world() -> Interactions:
    """Users meet items of their own third of the catalogue, and a few of any."""
    rng = np.random.default_rng(0)
    met = N_ITEMS - N_NEW
    rows = []
    for user in range(N_USERS):
        mine = rng.permutation(np.arange(user % 3, met, 3))[: rng.integers(4, 12)]
        rows += [(user, item) for item in {*mine.tolist(), *rng.integers(met, size=2).tolist()}]
    user, item = np.array(rows)[rng.permutation(len(rows))].T
    n = len(rows)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(N_USERS))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(N_ITEMS))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=np.arange(n) * DAY_US,
        weight=np.ones(n, np.float32),
        positive=rng.random(n) < 0.8,
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


def vectors() -> np.ndarray:
    """Items of one third lie together."""
    rng = np.random.default_rng(1)
    return unit_rows(np.eye(3, 8, dtype=np.float32)[np.arange(N_ITEMS) % 3] + rng.normal(0, 0.4, (N_ITEMS, 8)))


def all_generators() -> tuple:
    where = vectors().astype(np.float32)
    audience = Audience(where, where)
    generators = (
        Ials(IalsConfig(factors=4, iterations=3)),
        Covisitation(CovisitationConfig()),
        Sequel(SequelConfig(min_events=2)),
        ItemKnn(ItemKnnConfig(neighbours=20)),
        SparseEase(SparseEaseConfig(neighbours=20, l2=5.0)),
        UserKnn(UserKnnConfig(neighbours=5)),
        Bpr(BprConfig(factors=4, iterations=20)),
        Popular(PopularConfig()),
        PopularWindowed(PopularWindowedConfig()),
        PopularHere(PopularHereConfig()),
        Fitting(FittingConfig(), where, ALWAYS),
        Aligned(AlignedConfig(), where),
        AlignedRecent(AlignedConfig(), where),
        ColdStart(ColdStartConfig(max_events=3), where, ALWAYS, audience=audience),
        Scarce(ScarceConfig(max_events=5), where, ALWAYS, audience),
    )
    return tuple(one.fit(world()) for one in generators)


GENERATORS = all_generators()


def ask(users) -> Queries:
    at = np.full(len(users), 10_000 * DAY_US, np.int64)
    return Queries.from_interactions(world(), np.array(users, np.int32), at)


def found(config: ShortlistConfig, users, **more) -> Candidates:
    return retrieve(GENERATORS, ask(users), k=10, created_at=ALWAYS, reserved={"scarce": 2}, config=config, **more)


def equal(one: Candidates, other: Candidates) -> None:
    np.testing.assert_array_equal(one.item, other.item)
    np.testing.assert_array_equal(one.rank, other.rank)
    np.testing.assert_array_equal(one.fused, other.fused)
    np.testing.assert_array_equal(one.score, other.score)


def test_a_shortlist_of_everything_is_the_whole_catalogue():
    whole, listed = found(WHOLE, range(8)), found(EVERYTHING, range(8))
    np.testing.assert_array_equal(listed.item, whole.item)
    np.testing.assert_array_equal(listed.rank, whole.rank)
    alone = [one.only is None for one in GENERATORS]  # the others standardise over what is offered alone
    np.testing.assert_allclose(listed.score[:, :, alone], whole.score[:, :, alone], rtol=1e-4, atol=1e-6)
    assert whole.looked is None
    np.testing.assert_array_equal(
        listed.looked[0][listed.looked[0] != UNKNOWN], np.flatnonzero(eligible(ask([0]), ALWAYS))
    )


@pytest.mark.parametrize("user", [0, 7, UNKNOWN])
def test_on_it_are_the_first_of_each_that_finds_its_own_and_the_nearest_of_what_behaviour_does_not_find(user):
    query = ask([user])
    offered = eligible(query, ALWAYS)
    finders = {"covisitation", "item_knn", "ease_sparse", "user_knn", "popular", "popular_windowed", "popular_here"}
    finders |= {"fitting"}
    finders |= {"aligned"} if user != UNKNOWN else {"cold_start"}
    wanted: set[int] = set()
    for one in GENERATORS:
        scores = np.where(offered, one.score(query), NOT_OFFERED)
        if one.name == "ease_sparse":  # it scores everything known; found are those for which the history speaks
            scores[scores <= 0] = NOT_OFFERED
        mine = one.first(query, offered[0], SHORT.first)
        if one.name in finders:
            exact = best(scores, SHORT.first)
            if one.name in ("aligned", "fitting"):  # as good, but for what rounding to eight bits costs
                assert scores[0, mine].min() >= scores[0, exact].min() - 0.02 and len(mine) == len(exact)
            else:
                assert sorted(mine.tolist()) == sorted(exact), one.name
            wanted |= {*mine.tolist()}
        else:
            assert mine is None or not len(mine), one.name
    rare = np.logical_or.reduce([one.only for one in GENERATORS if one.only is not None])
    if user != UNKNOWN:
        (aligned,) = (one for one in GENERATORS if one.name == "aligned")
        wanted |= {*aligned.first(query, offered[0] & rare, SHORT.rare).tolist()}
    assert shortlist(GENERATORS, query, offered[0], SHORT).tolist() == sorted(wanted)


def test_what_was_popular_then_is_found_at_any_moment():
    """As in training, where queries lie before the log's end."""
    for moment in (5, 60, 150):
        query = Queries.from_interactions(world(), np.array([UNKNOWN], np.int32), np.array([moment * DAY_US]))
        offered = np.ones(N_ITEMS, bool)
        for one in GENERATORS:
            if one.name in ("popular_windowed", "popular_here"):
                assert sorted(one.first(query, offered, 5).tolist()) == sorted(best(one.score(query), 5))
                items = np.array([3, 50, 119], np.int32)
                np.testing.assert_array_equal(one.score_some(query, items), one.score(query)[:, items])


@pytest.mark.parametrize("width", [1, 3, 64])
def test_coarse_products_are_near_the_exact_ones(width):
    rng = np.random.default_rng(width)
    rows, wanted = rng.normal(size=(50, width)).astype(np.float32), rng.normal(size=width).astype(np.float32)
    exact = rows @ wanted
    np.testing.assert_allclose(Coarse.of(rows).products(wanted), exact, atol=0.02 * np.abs(rows).max() * width**0.5 * 3)
    nothing = np.zeros((4, width), np.float32)
    assert (
        Coarse.of(nothing).products(wanted).tolist()
        == [0, 0, 0, 0]
        == Coarse.of(rows[:4]).products(nothing[0]).tolist()
    )


def best(scores, k) -> list[int]:
    codes, _ = top_k(scores.astype(np.float32), k)
    return codes[codes != UNKNOWN].tolist()


def test_candidates_are_placed_among_their_shortlist():
    (look,) = looks(GENERATORS, ask([3]), created_at=ALWAYS, config=SHORT)
    assert 0 < len(look.items) < N_ITEMS / 2 and not set(look.items.tolist()) & set(ask([3]).item.tolist())
    one = found(SHORT, [3])
    np.testing.assert_array_equal(one.looked, [look.items])
    for index, generator in enumerate(GENERATORS):
        assert one.generators[index] == generator.name
        scores = generator.score_some(ask([3]), look.items)
        place = dict(zip(look.items.tolist(), ranks(scores)[0].tolist(), strict=True))
        assert one.rank[0, :, index].tolist() == [place.get(item, 0) for item in one.item[0].tolist()]
        if generator.only is None:
            np.testing.assert_allclose(scores, generator.score(ask([3]))[:, look.items], rtol=1e-4, atol=1e-6)
    everywhere = look.everywhere(N_ITEMS)
    np.testing.assert_array_equal(everywhere[:, :, look.items], look.places)
    assert np.count_nonzero(everywhere) == np.count_nonzero(look.places)


def test_a_batch_is_answered_as_its_single_queries_are(tmp_path):
    users = [0, UNKNOWN, 5, 11]
    batch = found(SHORT, users)
    for row, user in enumerate(users):
        one = found(SHORT, [user])
        width = one.item.shape[1]
        there = batch.take(np.array([row]))
        assert (there.item[:, width:] == UNKNOWN).all()
        equal(
            one,
            replace(there, **{part: getattr(there, part)[:, :width] for part in ("item", "rank", "fused", "score")}),
        )
        assert there.looked[there.looked != UNKNOWN].tolist() == one.looked[0].tolist()
    batch.save(tmp_path)
    equal(Candidates.load(tmp_path), batch)
    np.testing.assert_array_equal(Candidates.load(tmp_path).looked, batch.looked)


def test_named_items_join_whether_or_not_they_were_looked_at():
    query, named = ask([3]), np.array([119, 0, 50], np.int32)
    one = found(SHORT, [3], named=named)
    assert set(named.tolist()) <= set(one.item[0].tolist()) and set(named.tolist()) <= set(one.looked[0].tolist())
    assert len(query.item) and found(SHORT, [3], allowed=np.zeros(N_ITEMS, bool)).item.size == 0


def test_the_same_models_rescore_candidates_to_the_same_places():
    candidates = found(SHORT, range(6))
    again = rescored(candidates, [GENERATORS[0], GENERATORS[-1]], ask(range(6)), created_at=ALWAYS)
    equal(again, candidates)


def test_what_is_not_on_the_shortlist_was_not_found():
    """A survey of shortlists says what one of places in the whole catalogue says."""
    queries, rng = ask(range(12)), np.random.default_rng(0)
    relevant = sparse.csr_matrix(rng.random((12, N_ITEMS)) < 0.1)
    listed, whole = (Survey(relevant, np.ones(12, bool), k=10) for _ in range(2))

    def watch(rows, places, reserved, items):
        assert len(rows) == 1 and all(place.shape == (1, len(items)) for place in places.values())
        listed.watch(rows, places, reserved, items)
        everywhere = {name: np.zeros((1, N_ITEMS), np.int32) for name in places}
        for name, place in places.items():
            everywhere[name][:, items] = place
        whole.watch(rows, everywhere, reserved)

    retrieve(GENERATORS, queries, k=10, created_at=ALWAYS, reserved={"scarce": 2}, config=SHORT, watch=watch)
    assert listed.reach() == whole.reach() and listed.reach().by_budget["union"][25] > 0


def test_nobody_on_the_list_is_an_empty_answer():
    nothing = np.zeros(N_ITEMS, bool)
    one = found(SHORT, [3], allowed=nothing)
    assert one.item.size == 0 and one.sources(0, np.array([3, 4], np.int32)) == [[], []]
    early = replace(ask([3, 5]), as_of=np.array([-1, 10_000 * DAY_US]))  # before anything was there
    created = np.zeros(N_ITEMS, np.int64)
    some = retrieve(GENERATORS, early, k=10, created_at=created, config=SHORT)
    assert (some.item[0] == UNKNOWN).all() and (some.item[1] != UNKNOWN).all()
    equal(rescored(some, GENERATORS, early, created_at=created), some)


def test_new_items_are_found_for_a_history_without_content():
    where = vectors().astype(np.float32)
    query = ask([3])
    where[query.item] = 0
    cold = ColdStart(ColdStartConfig(max_events=3), where, ALWAYS).fit(world())
    offered = eligible(query, ALWAYS)
    scores = np.where(offered, cold.score(query), NOT_OFFERED)
    assert sorted(cold.first(query, offered[0], 6).tolist()) == sorted(best(scores, 6))


def test_a_model_that_is_fitted_again_forgets_what_queries_kept_of_it():
    query, model = ask([3]), UserKnn(UserKnnConfig(neighbours=5)).fit(world())
    model.score(query)
    half = world()
    half = half.where(np.arange(len(half)) % 2 == 0)
    np.testing.assert_array_equal(
        model.fit(half).score(query), UserKnn(UserKnnConfig(neighbours=5)).fit(half).score(ask([3]))
    )


def test_the_hybrid_looks_at_large_catalogues_by_shortlist():
    config = HybridConfig(candidates=10, shortlist=SHORT)
    some = find(GENERATORS, ask([0, UNKNOWN, 2]), config, created_at=ALWAYS)
    assert some.looked is not None and len(some) == 3
    assert find(GENERATORS, ask([0]), HybridConfig(candidates=10), created_at=ALWAYS).looked is None


@settings(deadline=None)
@given(
    scores=st.lists(st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2.0, 2.5]), min_size=1, max_size=12),
    offered=st.lists(st.booleans(), min_size=12, max_size=12),
    k=st.integers(1, 13),
)
def test_first_codes_equal_a_stable_sort(scores, offered, k):
    scores, offered = np.array(scores, np.float32), np.array(offered[: len(scores)])
    there = np.flatnonzero(offered & (scores > -np.inf))
    wanted = there[np.argsort(-scores[there], kind="stable")][:k]
    assert sorted(first_codes(scores, offered, k).tolist()) == sorted(wanted.tolist())


@settings(deadline=None)
@given(offered=st.lists(st.booleans(), min_size=1, max_size=60), k=st.integers(1, 5), seed=st.integers(0, 9))
def test_the_first_of_an_order_are_found_however_few_are_offered(offered, k, seed):
    offered = np.array(offered)
    order = np.random.default_rng(seed).permutation(len(offered))
    assert first_in(order, offered, k).tolist() == order[offered[order]][:k].tolist()
