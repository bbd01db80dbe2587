"""What candidates are found with: fading, sums, products, places, each against the plain computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ranking.candidates.aligned import Aligned, AlignedConfig, AlignedRecent
from ranking.candidates.candidates import Candidates
from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig
from ranking.candidates.fitting import Fitting, FittingConfig
from ranking.candidates.generator import NOT_OFFERED, at_columns
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.least_squares import solve_rows
from ranking.candidates.located import Located
from ranking.candidates.products import products_with_some
from ranking.candidates.scarce import Scarce, ScarceConfig
from ranking.candidates.speakers import Speakers
from ranking.candidates.union import merit_of, union
from ranking.kernels import distinct_in_rows
from ranking.profiles import Profiles
from ranking.representation.inputs import unit_rows
from ranking.strategy.generators import load_generators, save_generators
from ranking.types import IdIndex, Interactions, Queries

N_ITEMS = 12
MEMORIES = (
    Memory(),
    Memory(feedback=Feedback.POSITIVE),
    Memory(half_life_events=2),
    Memory(half_life_days=3, others=0.2),
    Memory(feedback=Feedback.POSITIVE, half_life_events=1, last=2),
    Memory(others=0.0, last=3),
)


def asked(seed: int, *, again: bool) -> Queries:
    """Histories of 0 to 6 events; again: with items that are met twice."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 7, 4)
    item = [rng.choice(N_ITEMS, n, replace=again) for n in lengths]
    m = int(lengths.sum())
    return Queries(
        user=np.arange(4, dtype=np.int32),
        at=np.full(4, 99 * DAY_US),
        as_of=np.full(4, 99 * DAY_US),
        device=np.full(4, None, object),
        place=np.full(4, None, object),
        indptr=np.append(0, np.cumsum(lengths)),
        item=np.concatenate(item).astype(np.int32),
        occurred_at=np.concatenate([np.sort(rng.integers(0, 9, n)) for n in lengths]).astype(np.int64) * DAY_US,
        weight=rng.choice(np.array([0.5, 1.0, 3.0], np.float32), m),
        positive=rng.random(m) < 0.6,
        n_items=N_ITEMS,
    )


def faded(memory: Memory, queries: Queries) -> np.ndarray:
    """Weights of all items, by the words of `Memory`."""
    found = np.zeros((len(queries), N_ITEMS))
    for row in range(len(queries)):
        events = np.arange(queries.indptr[row], queries.indptr[row + 1])
        if memory.feedback is Feedback.POSITIVE:
            events = events[queries.positive[events]]
        for later, event in enumerate(events[::-1]):
            if memory.last is None or later < memory.last:
                worth = queries.weight[event] * (1 if queries.positive[event] else memory.others)
                if memory.half_life_events is not None:
                    worth *= 2 ** -(later / memory.half_life_events)
                if memory.half_life_days is not None:
                    days = (queries.occurred_at[events[-1]] - queries.occurred_at[event]) / DAY_US
                    worth *= 2 ** -(days / memory.half_life_days)
                found[row, queries.item[event]] += worth
    return found


@settings(deadline=None)
@given(memory=st.sampled_from(MEMORIES), seed=st.integers(0, 99), again=st.booleans())
def test_a_history_fades_as_its_memory_says(memory, seed, again):
    queries = asked(seed, again=again)
    profiles = memory.profiles(queries)
    np.testing.assert_allclose(profiles.dense(), faded(memory, queries), rtol=1e-6)
    assert (profiles.data != 0).all()
    assert distinct_in_rows(profiles.indptr, profiles.indices)
    for row in range(len(queries)):  # a batch as its single queries
        one = memory.profiles(queries.rows(row, row + 1))
        np.testing.assert_array_equal(one.dense()[0], profiles.dense()[row])


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4))
def test_rows_are_distinct_where_none_holds_an_item_twice(rows):
    indptr = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int64)
    item = np.array([one for row in rows for one in row], np.int32)
    assert distinct_in_rows(indptr, item) == all(len({*row}) == len(row) for row in rows)


@settings(deadline=None)
@given(seed=st.integers(0, 99), k=st.integers(1, N_ITEMS))
def test_what_is_heard_is_the_sum_of_what_is_said_and_the_best_of_it_comes_first(seed, k):
    rng = np.random.default_rng(seed)
    matrix = sparse.random(N_ITEMS, N_ITEMS, 0.3, format="csr", dtype=np.float32, random_state=seed)
    matrix.data -= np.float32(0.3)
    queries, memory, offered = (
        asked(seed, again=False).rows(0, 1),
        Memory(half_life_events=2),
        rng.random(N_ITEMS) < 0.7,
    )
    speakers = Speakers(matrix)
    heard = speakers.heard(queries, memory.profiles)
    np.testing.assert_allclose(heard, memory.profiles(queries).dense() @ matrix.toarray(), rtol=1e-5, atol=1e-6)
    there = np.flatnonzero(offered & (heard[0] > 0))
    best = there[np.argsort(-heard[0, there], kind="stable")][:k]
    assert sorted(speakers.first(queries, memory.profiles, offered, k).tolist()) == sorted(best.tolist())
    assert speakers.heard(queries, memory.profiles) is heard  # summed once
    assert Speakers(matrix).heard(queries, memory.profiles) is not heard  # and not confused with others


@pytest.mark.parametrize("width", [1, 8, 33, 64])
def test_products_with_some_are_those_of_their_rows(width):
    rng = np.random.default_rng(width)
    vectors, wanted = (rng.normal(size=(n, width)).astype(np.float32) for n in (40, 3))
    items = np.array([0, 3, 4, 39], np.int32)
    found = products_with_some(vectors, items, wanted)
    np.testing.assert_allclose(found, wanted @ vectors[items].T, rtol=1e-5, atol=1e-5)
    for row in range(3):
        np.testing.assert_array_equal(products_with_some(vectors, items, wanted[row : row + 1])[0], found[row])


def test_some_columns_of_a_product_are_those_of_the_whole_and_0_where_there_is_none():
    profiles = Memory().profiles(asked(1, again=False))
    matrix = np.random.default_rng(0).normal(size=(N_ITEMS, 7)).astype(np.float32)
    columns = np.array([-1, 0, 6, -1, 3])
    wanted = np.where(columns >= 0, profiles.times(matrix)[:, columns], 0)
    np.testing.assert_allclose(profiles.times_some(matrix, columns), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unit", [0.0, 1.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_one_row_is_solved_for_as_it_is_among_others(kind, unit):
    rng = np.random.default_rng(0)
    counts = np.array([3, 0, 9, 1, 5])
    indptr, factors = np.append(0, np.cumsum(counts)), rng.normal(size=(20, 6)).astype(kind)
    indices = np.concatenate([rng.choice(20, n, replace=False) for n in counts])
    weight, l2 = rng.random(len(indices)).astype(np.float32), rng.random(5).astype(np.float32) + 1
    everything, told = factors.T @ factors, rng.random(len(indices)).astype(kind)
    for wanted in (None, told):
        many = solve_rows(Profiles(indptr, indices, weight, 20), factors, everything, l2, unit=unit, wanted=wanted)
        for row, mine in enumerate(map(slice, indptr[:-1], indptr[1:])):
            alone = Profiles(np.array([0, counts[row]]), indices[mine], weight[mine], 20)
            mine_wanted = None if wanted is None else wanted[mine]
            one = solve_rows(alone, factors, everything, l2[row : row + 1], unit=unit, wanted=mine_wanted)
            assert one.dtype == kind
            np.testing.assert_allclose(one[0], many[row], rtol=1e-5 if kind is np.float32 else 1e-12)


@settings(deadline=None)
@given(seed=st.integers(0, 99), mine=st.integers(0, 3))
def test_who_has_a_reserved_place_comes_before_all_others(seed, mine):
    rng = np.random.default_rng(seed)
    fused = np.where(rng.random((2, 6)) < 0.7, rng.random((2, 6)), 0)
    places = {name: rng.integers(0, 5, (2, 6)).astype(np.int32) for name in "abc"}
    reserved = {"a": mine, "c": 1, "z": 4}
    first = ((places["a"] > 0) & (places["a"] <= mine)) | (places["c"] == 1)
    wanted = np.where(fused > 0, fused + first, NOT_OFFERED).astype(np.float32)
    np.testing.assert_array_equal(merit_of(fused, places, reserved), wanted)


def test_candidates_lie_in_memory_as_they_are_read():
    rng = np.random.default_rng(0)
    said = {name: rng.normal(size=(3, 9)).astype(np.float32) for name in "ab"}
    found: Candidates = union(said, rng.random((3, 9)) < 0.5, k=5)
    assert found.rank.flags.c_contiguous and found.score.flags.c_contiguous
    for row, place in zip(*np.nonzero(found.item >= 0), strict=True):
        of_each = [said[name][row, found.item[row, place]] for name in found.generators]
        np.testing.assert_array_equal(found.score[row, place], of_each)
    assert np.isneginf(found.score[found.item < 0]).all() and not found.rank[found.item < 0].any()


def test_columns_are_looked_up_row_by_row():
    rows, columns = np.arange(12).reshape(3, 4), np.array([[3, 0], [1, 1], [2, 3]])
    np.testing.assert_array_equal(at_columns(rows, columns), np.take_along_axis(rows, columns, axis=1))


def log() -> Interactions:
    rng = np.random.default_rng(0)
    return Interactions(
        users=IdIndex(tuple(f"u{i}" for i in range(6))),
        items=IdIndex(tuple(f"i{i}" for i in range(N_ITEMS))),
        user=rng.integers(0, 6, 40).astype(np.int32),
        item=rng.integers(0, N_ITEMS - 4, 40).astype(np.int32),
        occurred_at=np.arange(40) * DAY_US,
        weight=np.ones(40, np.float32),
        positive=np.ones(40, bool),
        device=np.full(40, "tv", object),
        place=np.full(40, None, object),
    )


def test_who_lies_in_one_space_shares_it_once_loaded_and_says_the_same(tmp_path):
    where = unit_rows(np.random.default_rng(0).normal(size=(N_ITEMS, 4)).astype(np.float32))
    created_at, audience = np.zeros(N_ITEMS, np.int64), Audience(where[:, :2].copy(), where[:, 2:].copy())
    fitted = tuple(
        one.fit(log())
        for one in (
            Fitting(FittingConfig(), where, created_at),
            Aligned(AlignedConfig(), where),
            AlignedRecent(AlignedConfig(), -where),  # lies elsewhere
            ColdStart(ColdStartConfig(), -where, created_at, None, audience),
            Scarce(ScarceConfig(), -where, created_at, audience),
        )
    )
    save_generators(fitted, tmp_path)
    loaded = load_generators(tmp_path)
    spaces = [one.space for one in loaded]
    assert [spaces.index(one) for one in spaces] == [0, 0, 2, 2, 2]
    assert loaded[3].audience is loaded[4].audience
    queries = Queries.from_interactions(log(), np.arange(6, dtype=np.int32), np.full(6, 99 * DAY_US))
    for one, other in zip(fitted, loaded, strict=True):
        np.testing.assert_array_equal(one.score(queries), other.score(queries))


def test_a_taste_is_told_by_space_and_memory():
    queries = asked(3, again=False)
    where = np.eye(N_ITEMS, dtype=np.float32)
    space, other = Located(where), Located(-where)
    for memory in MEMORIES[:3]:
        taste = unit_rows(memory.profiles(queries).dense())
        np.testing.assert_allclose(space.tastes(queries, memory), taste, rtol=1e-6)
        np.testing.assert_allclose(other.tastes(queries, memory), -taste, rtol=1e-6)
        assert space.tastes(queries, memory) is space.tastes(queries, memory)
