"""Tastes, liking and groups in worlds small enough to work out by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feature_repo.schema import Modality
from ranking.rankers.features import FeatureMatrix, beside
from ranking.rankers.groups import PRIOR, Groups, attributes_of
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.liking import PRIOR as LIKING_PRIOR
from ranking.rankers.liking import Liking
from ranking.rankers.space import Space
from ranking.rankers.tastes import FADING, KIND_PRIOR, LATELY_PRIOR, LATEST, SHARE_PRIOR, Tastes
from ranking.representation.content import ItemContent
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

YEAR_US = int(365.25 * 86_400e6)


def log_of(rows: list[tuple[int, int, bool]], n_users: int = 3, n_items: int = 4) -> Interactions:
    """(user, item, positive), in the order of time."""
    user, item, positive = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return Interactions(
        users=IdIndex(tuple(f"u{one}" for one in range(n_users))),
        items=IdIndex(tuple(f"i{one}" for one in range(n_items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=np.arange(n, dtype=np.int64),
        weight=np.ones(n, np.float32),
        positive=positive.astype(bool),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


def ask(log: Interactions, *users: int) -> Queries:
    return Queries.from_interactions(log, np.array(users, np.int32), np.full(len(users), 10**6))


def content_of(log: Interactions) -> ItemContent:
    """Items 0 and 1 are of the first kind, 2 and 3 of the second; the last has no date."""
    kinds = sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool))
    created = np.array([10 * YEAR_US, 20 * YEAR_US, 30 * YEAR_US, np.iinfo(np.int64).min])
    return ItemContent(log.items, {}, {}, created, kinds)


LOG = log_of([(0, 0, True), (0, 1, False), (1, 0, True), (1, 2, True), (2, 0, False), (2, 1, False)])


def test_fame_and_era_are_told_against_what_the_user_is_used_to():
    tastes = Tastes.fit(LOG, content_of(LOG))
    found = tastes.features(np.array([0, 0]), np.array([2, 3], np.int32), ask(LOG, 0))
    usual, liked = np.log1p([3, 2]).mean(), np.log1p(3)
    np.testing.assert_allclose(found["fame_beyond_usual"], np.log1p([1, 0]) - usual, rtol=1e-5)
    np.testing.assert_allclose(found["fame_apart_liked"], np.abs(np.log1p([1, 0]) - liked), rtol=1e-5)
    np.testing.assert_allclose(found["era_beyond_usual"], [15, np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["era_apart_latest"], [15, np.nan], rtol=1e-5)


def test_pace_is_events_a_day_since_the_item_was_there():
    late = log_of([(0, 0, True), (1, 0, True), (0, 1, True), (2, 2, True)])
    days = np.array([0, 10, 20, 30]) * 86_400_000_000
    log = replace(late, occurred_at=days)
    content = replace(content_of(log), created_at=np.array([-(10**15), days[2], days[3], np.iinfo(np.int64).min]))
    found = Tastes.fit(log, content).features(np.zeros(4, int), np.arange(4, dtype=np.int32), ask(log, 0))
    np.testing.assert_allclose(found["pace"], np.log([3 / 31, 2 / 11, 2 / 1, 1 / 31]), rtol=1e-5)
    np.testing.assert_allclose(found["fame"], np.log([3, 2, 2, 1]), rtol=1e-5)


def test_kinds_that_a_user_takes_and_likes_stand_above_others():
    tastes = Tastes.fit(LOG, content_of(LOG))
    found = tastes.features(np.zeros(4, int), np.arange(4, dtype=np.int32), ask(LOG, 1))
    for name in ("kind_share", "kind_lately"):  # of two events one is of the rarer kind
        assert found[name][2] == found[name][3] > 0 > found[name][0] == found[name][1]
    assert found["kind_liking"][2] == pytest.approx(found["kind_liking"][0])  # both liked, once each
    disliked = tastes.features(np.zeros(4, int), np.arange(4, dtype=np.int32), ask(LOG, 2))
    assert disliked["kind_liking"][0] < 0 == disliked["kind_liking"][2]


def test_kinds_are_compared_as_the_formulas_say():
    log = log_of([(0, 0, True), (0, 2, False), (0, 1, True), (1, 2, True), (1, 2, False), (2, 3, True)])
    tastes, queries = Tastes.fit(log, content_of(log)), ask(log, 0, 1, 2)
    kind = np.array([0, 0, 1, 1])
    for user, events in enumerate(([(0, 1), (2, 0), (1, 1)], [(2, 1), (2, 0)], [(3, 1)])):
        met, liked, late = np.zeros(2), np.zeros(2), np.zeros(2)
        for back, (item, positive) in enumerate(reversed(events)):
            met[kind[item]] += 1
            liked[kind[item]] += positive
            late[kind[item]] += 0.5 ** (back / FADING.half_life_events)
        usual = (liked.sum() + KIND_PRIOR / 2) / (met.sum() + KIND_PRIOR)
        share = (met + SHARE_PRIOR * tastes.share) / (met.sum() + SHARE_PRIOR)
        little = LATELY_PRIOR * tastes.share
        found = tastes.features(np.full(4, user), np.arange(4, dtype=np.int32), queries)
        liking = (liked + KIND_PRIOR * usual) / (met + KIND_PRIOR) - usual
        np.testing.assert_allclose(found["kind_liking"], liking[kind], atol=1e-6)
        np.testing.assert_allclose(found["kind_share"], np.log(share / tastes.share)[kind], atol=1e-6)
        lately = np.log((late / late.sum() + little) / (share + little))
        np.testing.assert_allclose(found["kind_lately"], lately[kind], atol=1e-6)


def test_a_stranger_has_no_usual_and_average_kinds():
    tastes = Tastes.fit(LOG, content_of(LOG))
    stranger = Queries.from_interactions(LOG, np.array([UNKNOWN], np.int32), np.array([10**6]))
    found = tastes.features(np.zeros(2, int), np.array([0, 2], np.int32), stranger)
    assert np.isnan(found["fame_beyond_usual"]).all()
    np.testing.assert_allclose(found["kind_share"], 0, atol=1e-6)
    np.testing.assert_allclose(found["kind_liking"], 0, atol=1e-6)


def test_liking_knows_liked_items_pleased_users_and_who_likes_what():
    met = np.random.default_rng(0).random((150, 200)) < 0.7
    camps = [(user, item, user % 2 == item % 2) for user in range(150) for item in range(200) if met[user, item]]
    log = log_of(camps, n_users=150, n_items=200)
    liking = Liking.fit(log)
    found = liking.features(np.repeat([0, 1], 200), np.tile(np.arange(200, dtype=np.int32), 2), ask(log, 0, 1))
    even, new = np.arange(200) % 2 == 0, ~met[0]
    assert found["liking_fit"][:200][even & new].mean() > 0.05 > -0.05 > found["liking_fit"][:200][~even & new].mean()
    assert found["liking_fit"][200:][~even].mean() > 0 > found["liking_fit"][200:][even].mean()
    total = liking.mean + found["liking_item"] + found["liking_user"] + found["liking_fit"]
    np.testing.assert_allclose(found["liking"], total, rtol=1e-5)


def test_where_everything_is_liked_liking_tells_nothing():
    liking = Liking.fit(log_of([(0, 0, True), (1, 1, True), (2, 0, True)]))
    found = liking.features(np.zeros(2, int), np.array([0, 3], np.int32), ask(LOG, 0))
    np.testing.assert_allclose(liking.item, 0, atol=1e-9)
    assert np.unique(found["liking_fit"]).tolist() == [0.0]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_what_a_user_is_used_to_and_likes_equals_a_plain_loop(seed: int):
    log, content, queries = random_world(seed)
    tastes, liking = Tastes.fit(log, content), Liking.fit(log)
    row, item = (one.ravel() for one in np.meshgrid(np.arange(len(queries)), np.arange(4), indexing="ij"))
    asked = row, item.astype(np.int32), queries
    found, pleased = tastes.features(*asked), liking.features(*asked)
    kinds, everybody = tastes.kinds.toarray(), np.maximum(tastes.share, 1e-6)
    for place, (r, i) in enumerate(zip(row.tolist(), item.tolist(), strict=True)):
        mine = slice(*queries.indptr[r : r + 2])
        met, positive = queries.item[mine], queries.positive[mine]
        for part, chosen in (("usual", met), ("liked", met[positive]), ("latest", met[-LATEST:])):
            for name, fact in (("fame", tastes.fame), ("era", tastes.era)):
                known = fact[chosen][~np.isnan(fact[chosen])]
                beyond = fact[i] - known.mean(dtype=np.float64) if len(known) else np.nan
                np.testing.assert_allclose(found[f"{name}_beyond_{part}"][place], beyond, atol=1e-5)
                np.testing.assert_allclose(found[f"{name}_apart_{part}"][place], abs(beyond), atol=1e-5)
        taken = (kinds[met].sum(axis=0) + SHARE_PRIOR * everybody) / (kinds[met].sum() + SHARE_PRIOR)
        np.testing.assert_allclose(found["kind_share"][place], kinds[i] @ np.log(taken / everybody), atol=1e-5)
        left = positive - liking.mean - liking.item[met]
        bias = left.sum() / (len(met) + LIKING_PRIOR)
        np.testing.assert_allclose(pleased["liking_user"][place], bias, atol=1e-5)
        fit = (left - bias) @ liking.factors[met] @ liking.factors[i]
        np.testing.assert_allclose(pleased["liking_fit"][place], fit, atol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_knowledge_of_a_batch_is_that_of_its_single_queries(seed: int):
    log, content, queries = random_world(seed)
    vectors = np.random.default_rng(seed).normal(size=(4, 9)).astype(np.float32)
    vectors[3] = 0
    space = Space(vectors, {Modality.TEXT: vectors[::-1].copy()}, vectors[:, 0], vectors, vectors)
    knowledge = Knowledge.fit(log, content, space, pa.table({"user_id": ["u0", "u1"], "country": ["FR", "DE"]}))
    row, item = np.repeat(np.arange(len(queries)), 4), np.tile(np.arange(4, dtype=np.int32), len(queries))
    users = ["u1", "", "u0", "new"]
    together = beside(knowledge.features(row, item, queries, users))
    for one in range(len(queries)):
        alone = knowledge.features(np.zeros(4, int), item[:4], queries.rows(one, one + 1), users[one : one + 1])
        assert beside(alone).names == together.names
        np.testing.assert_array_equal(beside(alone).values, together.values[row == one])


def random_world(seed: int) -> tuple[Interactions, ItemContent, Queries]:
    """Some events of three users with four items, which they may meet again, and what they and a stranger ask."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(1, 40))
    user, item = np.sort(draw.integers(0, 3, n)), draw.integers(0, 4, n)
    log = log_of([*zip(user.tolist(), item.tolist(), (draw.random(n) < 0.6).tolist(), strict=True)])
    queries = Queries.from_interactions(log, np.array([0, 1, 2, UNKNOWN], np.int32), draw.integers(0, 50, 4))
    return log, content_of(log), queries


def test_a_groups_lift_is_its_own_count_against_everybodys():
    users = pa.table({"user_id": ["u0", "u1", "u2"], "country": ["FR", "FR", "DE"], "zip": ["1", "2", "3"]})
    groups = Groups.fit(LOG, users)
    found = groups.features(np.arange(4), np.array([1, 1, 1, 1], np.int32), ["u0", "u2", "", "new"])
    french = np.log((1 + PRIOR) / (2 * 4 / 6 + PRIOR))
    german = np.log((1 + PRIOR) / (2 * 2 / 6 + PRIOR))
    np.testing.assert_allclose(found["group_country"], [french, german, np.nan, np.nan], rtol=1e-5)
    assert found.names == ("group_country", "group_zip", "group_all")
    both = np.stack([found["group_country"], found["group_zip"]])
    np.testing.assert_allclose(found["group_all"], np.nansum(both, axis=0), rtol=1e-6)


def test_attributes_of_few_values_are_groups_and_numbers_become_bands():
    many = [str(one) for one in range(80)]
    table = pa.table(
        {
            "user_id": many,
            "name": many,
            "same": ["x"] * 80,
            "age": pa.array([None, *range(1, 80)], pa.int32()),
            "sex": ["f", "m"] * 40,
        }
    )
    found = attributes_of(table)
    assert set(found) == {"age", "sex"}
    assert found["age"][0] is None
    assert {*found["age"][1:]} == {str(band) for band in range(8)}


def test_saved_parts_give_the_same_features(tmp_path):
    item, row, queries = np.arange(4, dtype=np.int32), np.zeros(4, int), ask(LOG, 0)
    users = pa.table({"user_id": ["u0"], "country": ["FR"]})
    for part in (Tastes.fit(LOG, content_of(LOG)), Liking.fit(LOG)):
        part.save(tmp_path)
        assert_same(type(part).load(tmp_path).features(row, item, queries), part.features(row, item, queries))
    groups = Groups.fit(LOG, users)
    groups.save(tmp_path)
    assert_same(Groups.load(tmp_path).features(row, item, ["u0"]), groups.features(row, item, ["u0"]))


def assert_same(one: FeatureMatrix, other: FeatureMatrix) -> None:
    assert one.names == other.names
    np.testing.assert_array_equal(one.values, other.values)
