"""What a ranker is told of candidates, in worlds small enough to work out by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feature_repo import schema
from feature_repo.columns import Column, table_of
from feature_repo.schema import RANKING, Modality
from feature_repo.settings import Settings
from feature_repo.store import Store
from feature_repo.transforms import REQUESTED_AT
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED
from ranking.candidates.surroundings import FITS, Surroundings
from ranking.rankers.features import FeatureMatrix, Part, beside, stack
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import KEYS, Slates, describe, request_rows
from ranking.rankers.space import RECENT, Space, at_such_times
from ranking.rankers.store_columns import as_numbers, learn_vocabulary, part_of
from ranking.representation.content import ItemContent
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

HOUR, DAY = 3_600_000_000, 86_400_000_000
USERS, ITEMS = IdIndex(("ann", "bob")), IdIndex(("a", "b", "c", "d"))
UNIT = np.eye(4, dtype=np.float32)


def log_of(user, item, at, *, positive=True, device=None, place=None, n_items=4) -> Interactions:
    n = len(user)
    return Interactions(
        users=IdIndex(tuple(f"u{code}" for code in range(max([*user, 0]) + 1))),
        items=IdIndex(tuple(f"i{code}" for code in range(n_items))),
        user=np.asarray(user, np.int32),
        item=np.asarray(item, np.int32),
        occurred_at=np.asarray(at, np.int64),
        weight=np.ones(n, np.float32),
        positive=np.broadcast_to(np.asarray(positive, bool), n),
        device=np.full(n, None, object) if device is None else np.asarray(device, object),
        place=np.full(n, None, object) if place is None else np.asarray(place, object),
    )


@pytest.fixture
def queries() -> Queries:
    """Ann (row 0), who liked `a`, then `b`, and somebody anonymous (row 1)."""
    return Queries(
        user=np.array([0, UNKNOWN], np.int32),
        at=np.array([20 * HOUR, 30 * HOUR]),
        as_of=np.array([10 * HOUR, 30 * HOUR]),
        device=np.array(["phone", None], object),
        place=np.array([None, "home"], object),
        indptr=np.array([0, 2, 2]),
        item=np.array([0, 1], np.int32),
        occurred_at=np.array([1 * HOUR, 2 * HOUR]),
        weight=np.ones(2, np.float32),
        positive=np.ones(2, bool),
        n_items=4,
    )


@pytest.fixture
def candidates() -> Candidates:
    """`c`, `d` for Ann, `b` alone for the other; the second generator offers but `d`."""
    item = np.array([[2, 3], [1, UNKNOWN]], np.int32)
    rank = np.array([[[1, 0], [2, 1]], [[1, 0], [0, 0]]], np.int32)
    score = np.array([[[0.9, NOT_OFFERED], [0.5, 7.0]], [[0.3, NOT_OFFERED], [NOT_OFFERED, NOT_OFFERED]]], np.float32)
    return Candidates(("ease", "aligned"), item, np.array([[0.2, 0.1], [0.3, 0.0]], np.float32), rank, score)


def described(candidates: Candidates, queries: Queries, **stored: list[object]) -> Slates:
    """Slates over unit vectors; `stored` are the feature store's columns of the three rows."""
    rows = request_rows(candidates, queries, USERS, ITEMS)
    for name, values in stored.items():
        rows = rows.append_column(name, pa.array(values))
    space = Space(UNIT, {Modality.TEXT: UNIT, Modality.AUDIO: UNIT}, np.arange(4, dtype=np.float32), UNIT, UNIT)
    log = log_of([0], [0], [0], device=["phone"], place=["home"])
    content = ItemContent(log.items, {}, {}, np.zeros(4, np.int64), sparse.csr_matrix((4, 0), dtype=bool))
    knowledge = Knowledge.fit(log, content, space, pa.table({"user_id": ["ann"]}))
    vocabulary = {"top": ("drama", "noir")}
    close = FeatureMatrix(("ease_all",), np.array([[1], [3], [5]], np.float32), {"ease_all": Part.BEHAVIOUR})
    return describe(candidates, queries, rows, close=close, knowledge=knowledge, vocabulary=vocabulary)


def column(slates: Slates, name: str) -> list[float]:
    return slates.features.select([name])[:, 0].tolist()


def test_requests_stand_query_after_query_and_an_anonymous_users_id_is_empty(candidates, queries):
    rows = request_rows(candidates, queries, USERS, ITEMS)
    assert tuple(rows.column_names) == KEYS
    assert rows[schema.USER_ID].to_pylist() == ["ann", "ann", ""]
    assert rows[schema.ITEM_ID].to_pylist() == ["c", "d", "b"]
    assert rows[schema.EVENT_TIMESTAMP].cast(pa.int64()).to_pylist() == [10 * HOUR, 10 * HOUR, 30 * HOUR]
    assert rows[REQUESTED_AT].cast(pa.int64()).to_pylist() == [20 * HOUR, 20 * HOUR, 30 * HOUR]
    assert rows[schema.DEVICE].to_pylist() == ["phone", "phone", None]
    assert rows[schema.PLACE].to_pylist() == [None, None, "home"]
    assert rows.schema.field(schema.EVENT_TIMESTAMP).type == schema.TIMESTAMP


def test_labels_are_the_relevant_candidates(candidates, queries):
    relevant = sparse.csr_matrix(np.array([[1, 0, 0, 1], [0, 1, 0, 0]], bool))
    assert described(candidates, queries).labels(relevant).tolist() == [False, True, True]


def test_row_scores_go_back_to_the_places_of_the_candidates(candidates, queries):
    slates = described(candidates, queries)
    assert (slates.groups.tolist(), slates.row.tolist()) == ([2, 1], [0, 0, 1])
    scattered = slates.scatter(np.array([1.0, 2.0, 3.0], np.float32))
    assert scattered.tolist() == [[1.0, 2.0], [3.0, -np.inf]]


def test_a_generator_that_did_not_offer_the_item_leaves_nan(candidates, queries):
    slates = described(candidates, queries)
    np.testing.assert_allclose(column(slates, "ease_score"), [0.9, 0.5, 0.3])
    np.testing.assert_allclose(column(slates, "ease_score_in_slate"), [1, -1, 0], atol=1e-6)
    np.testing.assert_array_equal(column(slates, "aligned_score"), [np.nan, 7, np.nan])
    np.testing.assert_array_equal(column(slates, "aligned_rank"), [np.nan, 1, np.nan])
    np.testing.assert_allclose(column(slates, "fused"), [0.2, 0.1, 0.3])
    assert column(slates, "history_length") == [2, 2, 0]


def test_strings_become_codes_and_popularity_is_also_told_within_the_slate(candidates, queries):
    slates = described(candidates, queries, top=["noir", "opera", None], item_positives=[3.0, 5.0, 9.0])
    np.testing.assert_array_equal(column(slates, "top"), [1, np.nan, np.nan])
    np.testing.assert_allclose(column(slates, "item_positives_in_slate"), [-1, 1, 0])


def test_a_vocabulary_holds_the_strings_of_string_columns_in_order():
    table = pa.table({"top": ["noir", None, "drama", "noir"], "n": [1, 2, 3, None]})
    vocabulary = learn_vocabulary(table)
    assert vocabulary == {"top": ("drama", "noir")}
    numbers = as_numbers(table, vocabulary)
    np.testing.assert_array_equal(numbers["top"], [1, np.nan, 0, 1])
    np.testing.assert_array_equal(numbers["n"], [1, 2, 3, np.nan])
    assert all(np.isnan(as_numbers(table, {})["top"]))
    assert as_numbers(pa.table({"yes": [True, None, False]}), {})["yes"].tolist()[::2] == [1, 0]


def test_what_rows_share_becomes_the_number_of_each():
    place = np.array([1, 0, 1, 2])
    columns = {
        "top": Column(pa.array(["noir", "drama", None]), place),
        "n": Column(pa.array([1, None, 3]), place),
        "yes": Column(pa.array([True]), np.zeros(4, np.int64)),
        "own": Column(pa.array([9, 0.5, 1.5, None, 2.5]).slice(1)),
    }
    vocabulary = {"top": ("drama", "noir")}
    found, wanted = as_numbers(columns, vocabulary), as_numbers(table_of(columns), vocabulary)
    assert [*found] == [*wanted]
    for name, numbers in found.items():
        assert numbers.dtype == np.float32
        np.testing.assert_array_equal(numbers, wanted[name])


NUMBERS = st.one_of(
    st.tuples(st.just(pa.int64()), st.lists(st.none() | st.integers(-(2**53), 2**53), max_size=5)),
    st.tuples(st.just(pa.int32()), st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=5)),
    st.tuples(st.just(pa.float32()), st.lists(st.none() | st.floats(width=32, allow_subnormal=False), max_size=5)),
    st.tuples(st.just(pa.float64()), st.lists(st.none() | st.floats(width=32, allow_subnormal=False), max_size=5)),
    st.tuples(st.just(pa.bool_()), st.lists(st.none() | st.booleans(), max_size=5)),
)


@given(columns=st.lists(NUMBERS, max_size=4), n=st.integers(0, 5), cut=st.integers(0, 5))
def test_numbers_are_those_of_each_column_by_itself(columns, n, cut):
    filled = [pa.array([*values, *[None] * 5][:n], kind) for kind, values in columns]
    table = pa.table(filled, [str(place) for place in range(len(filled))])
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    found = as_numbers(chunked, {})
    assert [*found] == table.column_names
    for name, values in found.items():
        wanted = [np.nan if one is None else np.float32(one) for one in table[name].to_pylist()]
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, np.array(wanted, np.float32))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("context_hour", Part.CONTEXT),
        ("item_daypart_lift", Part.CONTEXT),
        ("has_image", Part.CONTENT),
        ("item_age_s", Part.CONTENT),
        ("item_positives_7d", Part.BEHAVIOUR),
        ("user_mean_value", Part.BEHAVIOUR),
    ],
)
def test_a_stored_column_belongs_to_a_part(name: str, part: Part):
    assert part_of(name) is part


def test_the_served_features_tell_of_behaviour_content_and_context(tmp_path: Path):
    """Guards the names by which stored columns are told apart: a renamed feature would change its part in silence."""
    store = Store(Settings(home=tmp_path))
    store.apply()
    parts: dict[Part, set[str]] = {part: set() for part in Part}
    for name in store.feature_columns(RANKING).names:
        parts[part_of(name)].add(name)
    assert parts[Part.CONTENT] == {"has_text", "has_image", "has_audio", "item_age_s"}
    assert {"context_hour", "context_device", "daypart_lift"} <= parts[Part.CONTEXT]
    assert {"user_interactions", "item_positives_28d", "category_affinity"} <= parts[Part.BEHAVIOUR]
    assert not {name for name in parts[Part.BEHAVIOUR] if name.startswith(("has_", "created")) or "place" in name}


def test_every_column_has_a_part_and_leaving_one_out_leaves_out_exactly_its_columns(candidates, queries):
    stored = {"context_hour": [1, 2, 3], "has_text": [True] * 3, "item_positives": [1, 2, 3], "place_lift": [0.1] * 3}
    features = described(candidates, queries, **stored).features
    assert set(features.parts) == set(features.names)
    of_part = {part: {name for name in features.names if features.parts[name] is part} for part in Part}
    assert of_part[Part.TEXT] == {"text_similarity"}
    assert of_part[Part.IMAGE] == set()
    assert of_part[Part.AUDIO] == {"audio_similarity"}
    fits = {f"{one}_fit" for one in ("hour", "weekend", "device", "place", "context")}
    assert of_part[Part.CONTEXT] == {"context_hour", "place_lift", *fits}
    assert {"aligned_score", "aligned_rank", "has_text", "content_similarity"} <= of_part[Part.CONTENT]
    assert {"ease_score", "fused", "history_length", "item_positives_in_slate"} <= of_part[Part.BEHAVIOUR]
    for part in Part:
        rest = features.without(part)
        assert set(rest.names) == set(features.names) - of_part[part]
        np.testing.assert_array_equal(rest.values, features.select(rest.names))


def test_matrices_are_stacked_by_name():
    parts = dict.fromkeys("ab", Part.BEHAVIOUR)
    one = FeatureMatrix.of({"a": np.array([1.0]), "b": np.array([2.0])}, parts)
    other = FeatureMatrix.of({"b": np.array([4.0]), "a": np.array([3.0])}, parts)
    assert stack([one, other]).values.tolist() == [[1, 2], [3, 4]]


def test_columns_of_a_matrix_are_put_beside_others_chosen_and_replaced():
    one = FeatureMatrix.of({"a": np.array([1.0, 2.0])}, {"a": Part.BEHAVIOUR})
    other = FeatureMatrix.of({"b": np.array([3.0, 4.0]), "c": np.array([5.0, 6.0])}, dict.fromkeys("bc", Part.CONTEXT))
    both = beside([one, FeatureMatrix.nothing(2), other])
    assert both.names == ("a", "b", "c")
    assert both.values.tolist() == [[1, 3, 5], [2, 4, 6]]
    assert both.parts == {"a": Part.BEHAVIOUR, "b": Part.CONTEXT, "c": Part.CONTEXT}
    assert both["b"].tolist() == [3, 4]
    turned = both.only(["c", "a"])
    assert (turned.names, turned.values.tolist(), set(turned.parts)) == (("c", "a"), [[5, 1], [6, 2]], {"a", "c"})
    assert both.only([]).values.shape == (2, 0)
    changed = both.replaced(FeatureMatrix(("c", "a"), np.zeros((2, 2), np.float32), {}))
    assert changed.values.tolist() == [[0, 3, 0], [0, 4, 0]]
    assert both.values.tolist() == [[1, 3, 5], [2, 4, 6]]
    for absent in (both.select, both.only):
        with pytest.raises(KeyError, match="d"):
            absent(["d"])


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_the_place_of_a_candidate_equals_a_plain_loop(seed: int):
    draw = np.random.default_rng(seed)
    n_items, n_queries = 8, 4
    vectors = draw.normal(size=(n_items, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[draw.random(n_items) < 0.2] = 0  # without content
    n = int(draw.integers(0, 30))
    log = log_of(
        np.sort(draw.integers(0, n_queries, n)),
        draw.integers(0, n_items, n),
        np.arange(n),
        positive=draw.random(n) < 0.7,
        n_items=n_items,
    )
    asked = Queries.from_interactions(
        log, np.arange(len(log.users), dtype=np.int32), np.full(len(log.users), 10**6, np.int64)
    )
    space = Space(vectors, {Modality.IMAGE: vectors}, draw.normal(size=n_items).astype(np.float32), vectors, vectors)
    row, item = (one.ravel() for one in np.meshgrid(np.arange(len(asked)), np.arange(n_items), indexing="ij"))
    found = space.features(row, item.astype(np.int32), asked)
    for place, (r, i) in enumerate(zip(row.tolist(), item.tolist(), strict=True)):
        liked = [
            int(code) for code, yes in zip(log.item[log.user == r], log.positive[log.user == r], strict=True) if yes
        ]
        profile = sum((vectors[code] for code in liked), np.zeros(5))
        length = np.linalg.norm(profile)
        similarity = profile @ vectors[i] / length if length > 1e-6 and vectors[i].any() else np.nan
        recent = [vectors[code] @ vectors[i] for code in liked[-RECENT:] if vectors[code].any()]
        nearest = max(recent, default=np.nan) if vectors[i].any() else np.nan
        for name in ("content_similarity", "image_similarity"):
            np.testing.assert_allclose(found[name][place], similarity, atol=1e-4)
        np.testing.assert_allclose(found["content_similarity_to_recent"][place], nearest, atol=1e-5)
        assert found["content_appeal"][place] == space.appeal[i]


def test_a_saved_space_is_the_same(tmp_path: Path):
    heads = {Modality.TEXT: UNIT[::-1].copy(), Modality.AUDIO: UNIT}
    space = Space(UNIT, heads, np.arange(4, dtype=np.float32), UNIT, UNIT)
    space.save(tmp_path)
    loaded = Space.load(tmp_path)
    asked_for = np.zeros(4, int), np.arange(4, dtype=np.int32), asked(4)
    assert loaded.features(*asked_for).names == space.features(*asked_for).names  # whose order rankers learn from
    for mine, its in ((space.fused, loaded.fused), (space.appeal, loaded.appeal)):
        np.testing.assert_array_equal(mine, its)


@pytest.fixture(scope="module")
def habits() -> Surroundings:
    """Four weeks of two choices a day: item 0 at 8 h on the phone at work, item 1 at 20 h on the tv at home.

    On weekends item 2 is chosen as well.
    """
    log = []
    for day in range(28):
        log += [(0, day * DAY + 8 * HOUR, "phone", "work"), (1, day * DAY + 20 * HOUR, "tv", "home")]
        if (day + 3) % 7 >= 5:
            log += [(2, day * DAY + 14 * HOUR, None, None)] * 3
    item, at, device, place = zip(*log, strict=True)
    return Surroundings.fit(log_of([0] * len(log), item, at, device=device, place=place), UNIT)


def fits(habits: Surroundings, *, hour: int, day: int = 0, device=None, place=None) -> dict[str, np.ndarray]:
    """Fit of items 0, 1 and 2 to one request."""
    nothing = log_of([0], [3], [0])
    asked = Queries.from_interactions(
        nothing,
        np.zeros(1, np.int32),
        np.array([day * DAY + hour * HOUR]),
        device=np.array([device], object),
        place=np.array([place], object),
    )
    return named(habits.features(np.zeros(3, np.int64), np.arange(3, dtype=np.int32), asked, UNIT))


def named(found: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(FITS, found.T, strict=True))


def test_what_is_chosen_in_the_morning_fits_the_morning(habits):
    morning, evening = fits(habits, hour=9)["hour_fit"], fits(habits, hour=21)["hour_fit"]
    assert morning[0] > 0 > morning[1]
    assert evening[1] > 0 > evening[0]


def test_what_is_chosen_on_the_phone_fits_the_phone(habits):
    phone = fits(habits, hour=12, device="phone", place="work")
    tv = fits(habits, hour=12, device="tv", place="home")
    for name in ("device_fit", "place_fit", "context_fit"):
        assert phone[name][0] > 0 > phone[name][1]
        assert tv[name][1] > 0 > tv[name][0]


def test_what_is_chosen_on_weekends_fits_the_weekend(habits):
    thursday, saturday = fits(habits, hour=0)["weekend_fit"], fits(habits, hour=0, day=2)["weekend_fit"]
    assert saturday[2] > 0 > thursday[2]


def test_midnight_lies_between_the_hours_around_it(habits):
    late, early = fits(habits, hour=23)["hour_fit"], fits(habits, hour=0)["hour_fit"]
    np.testing.assert_allclose(early[1], late[1], rtol=0.5)


def test_an_unknown_or_unsaid_device_is_nan_and_counts_nothing(habits):
    for device in ("fridge", None):
        found = fits(habits, hour=9, device=device)
        assert np.isnan(found["device_fit"]).all()
        assert np.isnan(found["place_fit"]).all()
        np.testing.assert_allclose(found["context_fit"], found["hour_fit"] + found["weekend_fit"], atol=1e-7)


def test_a_fit_is_the_log_odds_of_the_surroundings_given_where_the_item_lies():
    """Items drawn normally around two means, one a device: Bayes' rule knows the odds."""
    draw = np.random.default_rng(0)
    n, apart = 4000, np.array([0.6, -0.3])
    mix = np.array([[1.0, 0.5], [0.0, 0.4]])
    device = draw.integers(0, 2, n)
    vectors = (draw.normal(size=(n, 2)) @ mix + device[:, None] * apart).astype(np.float32)
    names = np.array(["phone", "tv"], object)[device]
    around = Surroundings.fit(log_of([0] * n, range(n), range(n), device=names, n_items=n), vectors)
    item = np.arange(50, dtype=np.int32)
    odds = vectors[:50] @ np.linalg.solve(mix.T @ mix, apart)
    found = [
        named(around.features(np.zeros(50, int), item, one, vectors))["device_fit"]
        for one in (replace(asked(n), device=np.array([name], object)) for name in ("phone", "tv"))
    ]
    assert np.corrcoef(found[1] - found[0], odds)[0, 1] > 0.99


def asked(n_items: int) -> Queries:
    """One request without history."""
    nothing = log_of([0], [0], [10], n_items=n_items)
    return Queries.from_interactions(nothing, np.zeros(1, np.int32), np.zeros(1, np.int64))


def test_fashion_moves_from_what_was_chosen_to_what_is_chosen():
    log = log_of([0] * 400, np.repeat([0, 1], 200), np.arange(400) * DAY)
    around = Surroundings.fit(log, UNIT)
    fit = {
        day: named(
            around.features(
                np.zeros(2, int), np.arange(2, dtype=np.int32), replace(asked(4), at=np.array([day * DAY])), UNIT
            )
        )["fashion_fit"]
        for day in (-100, 50, 200, 350, 9999)
    }
    assert fit[50][0] > 0 > fit[50][1]
    assert fit[350][1] > 0 > fit[350][0]
    assert abs(fit[200][0]) < 0.1 * fit[50][0]
    np.testing.assert_array_equal(fit[-100], fit[50])  # beyond the ends nothing moves
    np.testing.assert_array_equal(fit[9999], fit[350])


@pytest.mark.parametrize("parts", [0, 1, 2, 8])
def test_fashion_lies_on_a_line_between_those_of_the_nearest_moments(parts: int):
    draw = np.random.default_rng(parts)
    fitted = Surroundings.fit(log_of([0] * 9, np.arange(9) % 4, np.arange(9) * DAY), UNIT)
    moments, fashion = np.sort(draw.integers(0, 50 * DAY, parts)), draw.normal(size=(parts, 4)).astype(np.float32)
    around = replace(fitted, moments=moments, fashion=fashion)
    at = np.append(draw.integers(-DAY, 51 * DAY, 20), moments)
    queries = Queries.from_interactions(log_of([0], [0], [0]), np.zeros(len(at), np.int32), at)
    found = around.directions(queries)["fashion_fit"]
    for dimension in range(4):
        wanted = np.interp(at, moments, fashion[:, dimension]) if parts else np.full(len(at), np.nan)
        np.testing.assert_allclose(found[:, dimension], wanted, atol=1e-5)


def test_an_item_without_content_has_no_place_along_a_direction():
    vectors = UNIT.copy()
    vectors[3] = 0
    log = log_of([0] * 8, [0, 1, 2, 3] * 2, np.arange(8) * HOUR, device=["phone", "tv"] * 4)
    around = Surroundings.fit(log, vectors)
    found = named(around.features(np.zeros(1, int), np.array([3], np.int32), asked(4), vectors))
    assert found["hour_fit"] == found["context_fit"] == found["fashion_fit"] == 0
    assert np.isnan(found["device_fit"])  # of no known device: not even an item without content fits it


def test_the_context_fits_as_much_as_what_is_known_of_it_together(habits):
    found = fits(habits, hour=8, device="phone")
    np.testing.assert_array_equal(found["place_fit"], np.full(3, np.nan))
    together = sum(found[name] for name in ("hour_fit", "weekend_fit", "device_fit"))
    np.testing.assert_allclose(found["context_fit"], together, rtol=1e-6)


def test_history_speaks_of_its_own_time_of_day_and_week():
    """Asked on a Monday at 8 h; liked at 8 h and 20 h of a Thursday, and at 11 h of a Saturday."""
    at = np.array([8 * HOUR, 20 * HOUR, 2 * DAY + 11 * HOUR])
    log = log_of([0, 0, 0], [0, 1, 2], at)
    one = Queries.from_interactions(log, np.zeros(1, np.int32), np.array([4 * DAY + 8 * HOUR]))
    weight = np.array([1, 2.0**-16, 2.0**-2])
    np.testing.assert_allclose(at_such_times(one), weight, rtol=1e-5)
    space = Space(UNIT, {}, np.zeros(4, np.float32), UNIT, UNIT)
    found = space.features(np.zeros(3, int), np.arange(3, dtype=np.int32), one)["content_similarity_at_such_times"]
    np.testing.assert_allclose(found, weight / np.linalg.norm(weight), rtol=1e-4)


def test_a_log_without_any_choice_has_no_direction():
    empty = log_of([], [], [])
    around = Surroundings.fit(empty, UNIT)
    assert (around.devices, around.places) == ((), ())
    assert not fits(around, hour=9)["hour_fit"].any()


def test_saved_surroundings_are_the_same(habits, tmp_path: Path):
    habits.save(tmp_path)
    loaded = Surroundings.load(tmp_path)
    assert (loaded.devices, loaded.places) == (("phone", "tv"), ("home", "work"))
    for name in ("centre", "moments", "fashion", "hour", "weekend", "device", "place"):
        np.testing.assert_array_equal(getattr(habits, name), getattr(loaded, name))
