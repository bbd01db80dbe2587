"""The contract that every generator passes, and what each of them computes, by hand or by brute force."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from ranking.candidates.aligned import Aligned, AlignedConfig, AlignedRecent, AlignedSession
from ranking.candidates.als import Als, AlsConfig
from ranking.candidates.bm25 import Bm25, Bm25Config
from ranking.candidates.bpr import Bpr, BprConfig
from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig, standardised
from ranking.candidates.content import ContentKnn
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.fitting import Fitting, FittingConfig, pace
from ranking.candidates.fusion import Fusion
from ranking.candidates.fusion_config import FusionConfig
from ranking.candidates.generator import NOT_OFFERED, Generator, ranks, top_k
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.popular_here import PopularHere, PopularHereConfig
from ranking.candidates.rp3beta import Rp3Beta, Rp3BetaConfig
from ranking.candidates.sasrec import Sasrec
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.scarce import Scarce, ScarceConfig
from ranking.candidates.semantic_ease import SemanticEase, SemanticEaseConfig
from ranking.candidates.sequel import Sequel, SequelConfig, ridge
from ranking.candidates.slim import Slim, SlimConfig
from ranking.candidates.sparse_ease import SparseEase, SparseEaseConfig
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.errors import ArtifactError
from ranking.representation.inputs import unit_rows
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

Row = tuple[int, int, int]  # user, item, day

N_USERS, N_ITEMS, N_COLD = 20, 24, 4


def log(rows: Sequence[Row], n_users: int, n_items: int, *, weight=None, positive=None) -> Interactions:
    user, item, day = np.array(sorted(rows, key=lambda row: row[2]), np.int64).reshape(-1, 3).T
    n = len(rows)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(n_items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=day * DAY_US,
        weight=np.ones(n, np.float32) if weight is None else np.array(weight, np.float32),
        positive=np.ones(n, bool) if positive is None else np.array(positive, bool),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


def ask(train: Interactions, users: Sequence[int], day: int = 10_000) -> Queries:
    at = np.full(len(users), day * DAY_US, np.int64)
    return Queries.from_interactions(train, np.array(users, np.int32), at)


def checkerboard() -> Interactions:
    """Even users met six of the ten even items, odd users of the odd ones; nobody met the last four items."""
    rng = np.random.default_rng(0)
    warm = np.arange(N_ITEMS - N_COLD)
    pairs = [(u, i) for u in range(N_USERS) for i in rng.permutation(warm[warm % 2 == u % 2])[:6].tolist()]
    return log([(*pair, day) for day, pair in enumerate(pairs)], N_USERS, N_ITEMS)


def parity_vectors() -> np.ndarray:
    """Items of one parity point one way."""
    vectors = np.eye(2, 3, dtype=np.float32)[np.arange(N_ITEMS) % 2]
    vectors[:, 2] = np.linspace(-0.3, 0.3, N_ITEMS)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ALWAYS = np.full(N_ITEMS, np.iinfo(np.int64).min)

MAKE: dict[str, Callable[[], Generator]] = {
    "ease": lambda: Ease(EaseConfig(l2=1.0)),
    "ease_dual": lambda: Ease(EaseConfig(l2=1.0, memory=Memory(half_life_events=3, half_life_days=30.0))),
    "ease_pairs": lambda: Ease(EaseConfig(l2=1.0, pair_half_life=2.0)),
    "item_knn": lambda: ItemKnn(ItemKnnConfig(neighbours=8)),
    "ials": lambda: Ials(IalsConfig(factors=4, iterations=5)),
    "als": lambda: Als(AlsConfig(factors=2, regularization=1.0, alpha=5)),
    "bm25": lambda: Bm25(Bm25Config(neighbours=8)),
    "rp3beta": lambda: Rp3Beta(Rp3BetaConfig(neighbours=8)),
    "slim": lambda: Slim(SlimConfig(l1=0.1, l2=1.0, neighbours=8, min_events=1)),
    "user_knn": lambda: UserKnn(UserKnnConfig(neighbours=8, memory=Memory(half_life_events=3))),
    "bpr": lambda: Bpr(BprConfig(factors=4, iterations=200)),
    "fusion": lambda: Fusion(FusionConfig(dim=4, hidden=8, negatives=2, epochs=30, batch=128, learning_rate=0.03)),
    "sasrec": lambda: Sasrec(SasrecConfig(dim=8, length=5, epochs=40, batch=8, dropout=0.1, learning_rate=0.01)),
    "covisitation": lambda: Covisitation(CovisitationConfig()),
    "sequel": lambda: Sequel(SequelConfig(l2=0.1, min_events=1)),
    "sequel_many": lambda: Sequel(SequelConfig(l2=0.1, min_events=1, cuts=(0.4, 0.6))),
    "popular": lambda: Popular(PopularConfig()),
    "popular_windowed": lambda: PopularWindowed(PopularWindowedConfig(half_life_days=9.0)),
    "fitting": lambda: Fitting(FittingConfig(), parity_vectors(), ALWAYS),
    "aligned": lambda: Aligned(AlignedConfig(), parity_vectors()),
    "content": lambda: ContentKnn.of(parity_vectors(), np.arange(N_ITEMS) > 0),
    "cold_start": lambda: ColdStart(ColdStartConfig(), parity_vectors(), ALWAYS),
    "cold_start_predicted": lambda: ColdStart(
        ColdStartConfig(max_events=99), parity_vectors(), ALWAYS, audience=Audience(parity_vectors(), parity_vectors())
    ),
    "ease_semantic": lambda: SemanticEase(SemanticEaseConfig(l2=1.0, strength=1.0), parity_vectors()),
    "ease_semantic_dual": lambda: SemanticEase(
        SemanticEaseConfig(l2=1.0, strength=1.0, memory=Memory(half_life_events=3)), parity_vectors()
    ),
    "ease_sparse": lambda: SparseEase(SparseEaseConfig(neighbours=8, l2=1.0)),
    "popular_here": lambda: PopularHere(PopularHereConfig(window_days=30.0)),
    "aligned_recent": lambda: AlignedRecent(AlignedConfig(Memory(half_life_events=2)), parity_vectors()),
    "aligned_session": lambda: AlignedSession(AlignedConfig(Memory(half_life_days=0.5)), parity_vectors()),
    "scarce": lambda: Scarce(
        ScarceConfig(max_events=99, places=N_ITEMS),
        parity_vectors(),
        ALWAYS,
        Audience(parity_vectors(), parity_vectors()),
    ),
}
IMPERSONAL = {"popular", "popular_windowed", "popular_here", "fitting"}
FROM_CONTENT = {
    *("aligned", "aligned_recent", "aligned_session", "content", "fitting", "cold_start", "cold_start_predicted"),
    *("ease_semantic", "ease_semantic_dual", "scarce"),
}
BY_CODE = {"fusion"}  # knows a user of training by code
ANSWERS_STRANGERS = IMPERSONAL | {"cold_start", "cold_start_predicted"}

every = pytest.mark.parametrize("name", MAKE)


def fitted(name: str) -> Generator:
    train = checkerboard()
    if name.endswith("_dual"):  # fewer users than items
        train = train.where(train.user < 12)
    return MAKE[name]().fit(train)


@every
def test_scores_are_float32_one_row_a_query_and_never_nan(name):
    scores = fitted(name).score(ask(checkerboard(), range(7)))
    assert scores.shape == (7, N_ITEMS)
    assert scores.dtype == np.float32
    assert not np.isnan(scores).any()
    assert not np.isposinf(scores).any()
    assert np.isfinite(scores).any(axis=1).all()


@every
def test_no_query_gets_no_row(name):
    assert fitted(name).score(ask(checkerboard(), [])).shape == (0, N_ITEMS)


@every
def test_fitting_twice_gives_the_same_scores(name):
    queries = ask(checkerboard(), range(N_USERS))
    np.testing.assert_array_equal(fitted(name).score(queries), fitted(name).score(queries))


@every
def test_a_loaded_model_scores_as_the_saved_one(name, tmp_path):
    model, queries = fitted(name), ask(checkerboard(), range(N_USERS))
    model.save(tmp_path)
    loaded = type(model).load(tmp_path)
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.score(queries), model.score(queries))


@every
def test_a_damaged_folder_is_an_artifact_error(name, tmp_path):
    model = fitted(name)
    with pytest.raises(ArtifactError, match=r"config\.json"):
        type(model).load(tmp_path)
    model.save(tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="safetensors"):
        type(model).load(tmp_path)


@every
def test_a_batch_scores_as_its_single_queries(name):
    model, queries = fitted(name), ask(checkerboard(), range(N_USERS))
    single = np.concatenate([model.score(queries.rows(row, row + 1)) for row in range(N_USERS)])
    np.testing.assert_allclose(model.score(queries), single, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(MAKE.keys() - BY_CODE))
def test_an_anonymous_session_scores_as_the_user_with_that_history(name):
    model, queries = fitted(name), ask(checkerboard(), range(5))
    anonymous = replace(queries, user=np.full(5, UNKNOWN, np.int32))
    np.testing.assert_array_equal(model.score(anonymous), model.score(queries))


@every
def test_an_empty_history_is_answered_by_popularity_and_cold_start_alone(name):
    scores = fitted(name).score(ask(checkerboard(), [UNKNOWN, 3]))
    assert np.isfinite(scores[0]).any() == (name in ANSWERS_STRANGERS)
    assert np.isfinite(scores[1]).any()


@every
def test_a_model_fitted_on_nothing_offers_nothing_from_behaviour(name):
    nothing = checkerboard().where(np.zeros(len(checkerboard()), bool))
    scores = MAKE[name]().fit(nothing).score(ask(checkerboard(), [0, UNKNOWN]))
    assert scores.shape == (2, N_ITEMS)
    if name not in FROM_CONTENT:
        assert np.isneginf(scores).all()


@every
def test_items_without_an_event_are_offered_from_content_alone(name):
    unmet = fitted(name).score(ask(checkerboard(), range(N_USERS)))[:, -N_COLD:]
    assert np.isfinite(unmet).all() if name in FROM_CONTENT else np.isneginf(unmet).all()


@pytest.mark.parametrize("name", sorted(MAKE.keys() - IMPERSONAL))
def test_the_best_unseen_items_are_of_the_own_colour(name):
    queries = ask(checkerboard(), range(N_USERS))
    scores = fitted(name).score(queries)
    scores[queries.row, queries.item] = NOT_OFFERED
    best, _ = top_k(scores, 2)
    assert (best % 2 == np.arange(N_USERS)[:, None] % 2).mean() >= 0.95


# EASE


def two_items() -> Interactions:
    """G = [[2, 1], [1, 1]]: user 0 met both items, user 1 only the first."""
    return log([(0, 0, 1), (0, 1, 2), (1, 0, 3)], 2, 2)


def test_ease_by_hand():
    # G + I = [[3, 1], [1, 2]], P = [[2, -1], [-1, 3]] / 5, B01 = 1 / 3, B10 = 1 / 2
    model = Ease(EaseConfig(l2=1.0)).fit(two_items())
    history = log([(0, 0, 1), (1, 1, 1)], 2, 2)
    np.testing.assert_allclose(model.score(ask(history, [0, 1])), [[0, 1 / 3], [1 / 2, 0]], rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(x=arrays.arrays(np.int8, (5, 8), elements=st.integers(0, 1)), l2=st.floats(0.1, 100))
def test_ease_of_few_users_equals_the_inverse_of_the_whole_gram_matrix(x, l2):
    train = log([(int(u), int(i), day) for day, (u, i) in enumerate(np.argwhere(x))], 5, 8)
    precision = np.linalg.inv(x.T.astype(float) @ x + l2 * np.eye(8))
    weights = -precision / np.diag(precision)
    np.fill_diagonal(weights, 0)
    known, answered = x.any(axis=0), x.any(axis=1)
    expected = np.where(answered[:, None] & known, x @ weights, NOT_OFFERED)
    scores = Ease(EaseConfig(l2=l2)).fit(train).score(ask(train, range(5)))
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)


def test_ease_of_near_pairs_counts_far_ones_less():
    train = log([(u, i, 10 * u + place) for u in range(4) for place, i in enumerate([0, 1, 2, 3])], 4, 4)
    scores = Ease(EaseConfig(l2=1.0, pair_half_life=0.5)).fit(train).score(ask(log([(0, 0, 1)], 4, 4), [0]))
    assert scores[0, 1] > scores[0, 2] > scores[0, 3] - 1e-6


def test_ease_leaves_rare_items_out():
    scores = Ease(EaseConfig(l2=1.0, min_events=2)).fit(two_items()).score(ask(two_items(), [0]))
    assert np.isfinite(scores[0, 0])
    assert np.isneginf(scores[0, 1])


# item-kNN


def test_item_knn_by_hand():
    model = ItemKnn(ItemKnnConfig()).fit(two_items())
    scores = model.score(ask(log([(0, 0, 1), (1, 1, 1)], 2, 2), [0, 1]))
    np.testing.assert_allclose(scores, [[NOT_OFFERED, 2**-0.5], [2**-0.5, NOT_OFFERED]], rtol=1e-6)


def test_item_knn_shrinks_what_few_users_say():
    model = ItemKnn(ItemKnnConfig(shrink=2.0)).fit(two_items())
    assert model.score(ask(two_items(), [1]))[0, 1] == pytest.approx(1 / (2**0.5 + 2))


def test_item_knn_hears_the_nearest_neighbours_alone():
    train = log([(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4), (2, 1, 5), (2, 2, 6), (3, 0, 7), (3, 2, 8)], 4, 3)
    full, nearest = (
        ItemKnn(ItemKnnConfig(neighbours=k)).fit(train).score(ask(log([(0, 2, 1)], 1, 3), [0])) for k in (2, 1)
    )
    assert np.isfinite(full[0, :2]).all()
    assert np.isneginf(nearest[0, :2]).all()  # 0 and 1 are nearer to each other than to 2


# co-visitation


def test_covisitation_by_hand():
    train = log([(0, 0, 1), (0, 1, 2), (0, 2, 3)], 1, 3, weight=[1, 2, 4])
    config = CovisitationConfig(
        window=2, pair_half_life=1.0, backward=0.5, source_power=0, target_power=0, memory=Memory()
    )
    scores = Covisitation(config).fit(train).score(ask(log([(0, 1, 1)], 1, 3), [0]))
    # 1 -> 2 at distance 1: 4 / 2; back to 0: half of what 0 -> 1 counts, 2 / 2
    np.testing.assert_allclose(scores, [[0.5, NOT_OFFERED, 2.0]])


def test_covisitation_divides_by_both_items_popularity():
    train = log([(0, 0, 1), (0, 1, 2), (1, 1, 3), (2, 1, 4), (3, 1, 5)], 4, 2)
    config = CovisitationConfig(window=1, pair_half_life=1.0, backward=0, source_power=1, target_power=0.5)
    scores = Covisitation(config).fit(train).score(ask(log([(0, 0, 1)], 1, 2), [0]))
    assert scores[0, 1] == pytest.approx(0.5 / 4**0.5)


# popularity


def test_pace_is_events_a_day_since_the_item_was_there():
    train = log([(0, 0, 0), (1, 0, 10), (2, 1, 30)], 3, 3)
    created_at = np.array([-(10**15), 20 * DAY_US, 30 * DAY_US])
    np.testing.assert_allclose(pace(train, created_at), np.log([3 / 31, 2 / 11, 1 / 1]), rtol=1e-5)


def test_fitting_offers_everybody_what_is_chosen_there():
    """Item 0 is chosen on the phone, item 1 on the tv, twice as often; item 2, never met, lies near item 0."""
    train = log([(0, 0, day) for day in range(40)] + [(0, 1, day) for day in (*range(40), *range(40))], 1, 4)
    train = replace(train, device=np.where(train.item == 0, "phone", "tv").astype(object))
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, 0]], np.float32)
    model = Fitting(FittingConfig(pace=0.0), vectors, np.full(4, np.iinfo(np.int64).min)).fit(train)
    somebody = ask(train, [UNKNOWN, UNKNOWN, UNKNOWN], day=20)
    asked = replace(somebody, device=np.array(["phone", "tv", None], object))
    phone, tv, unknown = model.score(asked)
    assert phone[0] > phone[2] > phone[3] > phone[1]
    assert tv[1] > tv[3] > tv[0]
    assert np.ptp(unknown) < 0.2 * min(np.ptp(phone), np.ptp(tv))
    paced = Fitting(FittingConfig(), vectors, np.full(4, np.iinfo(np.int64).min)).fit(train).score(asked)
    np.testing.assert_allclose(
        paced - model.score(asked), np.tile(np.log([41, 81, 1, 1]) - np.log(40), (3, 1)), rtol=1e-4
    )


def test_sequel_learns_what_comes_after_what_by_hand():
    """Two users go from item 0 to item 1, one from item 2 to item 3; each has one cut, in the middle."""
    train = log([(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1), (2, 2, 0), (2, 3, 1)], 3, 5)
    config = SequelConfig(l2=0.5, cuts=(0.5,), ahead=0.5, min_events=1, memory=Memory())
    scores = Sequel(config).fit(train).score(ask(train.where(train.occurred_at == 0), [0, 2]))
    np.testing.assert_allclose(scores[0], [0, 2 / 2.5, 0, 0, NOT_OFFERED], atol=1e-6)
    np.testing.assert_allclose(scores[1], [0, 0, 0, 1 / 1.5, NOT_OFFERED], atol=1e-6)


def test_sequel_of_few_lessons_equals_that_of_the_whole_gram_matrix():
    draw = np.random.default_rng(0)
    before, after = (sparse.csr_matrix(draw.random((4, 9)) * (draw.random((4, 9)) < 0.5)) for _ in range(2))
    x, y = before.toarray(), after.toarray()
    expected = np.linalg.solve(x.T @ x + 2 * np.eye(9), x.T @ y)
    np.testing.assert_allclose(ridge(before, after, 2.0), expected, atol=1e-9)
    np.testing.assert_allclose(ridge(before[:, :3], after[:, :3], 2.0).shape, (3, 3))


def test_popular_counts_weights():
    model = Popular(PopularConfig()).fit(log([(0, 0, 1), (1, 0, 2), (0, 1, 3)], 2, 3, weight=[1, 1, 5]))
    np.testing.assert_array_equal(model.score(ask(two_items(), [0])), [[2, 5, NOT_OFFERED]])


@settings(max_examples=50)
@given(
    days=st.lists(st.integers(0, 40), min_size=1, max_size=15),
    moments=st.lists(st.integers(-5, 60), min_size=1, max_size=5),
    half_life=st.one_of(st.none(), st.floats(1, 20)),
)
def test_windowed_popularity_counts_the_days_before_each_query(days, moments, half_life):
    train = log([(0, i % 3, day) for i, day in enumerate(days)], 1, 4)
    model = PopularWindowed(PopularWindowedConfig(window_days=7, half_life_days=half_life)).fit(train)
    users = np.zeros(len(moments), np.int32)
    scores = model.score(Queries.from_interactions(train, users, np.array(moments, np.int64) * DAY_US))
    for row, moment in enumerate(moments):
        end = min(moment * DAY_US, max(days) * DAY_US + 1)
        expected = np.full(4, NOT_OFFERED)
        expected[np.unique(train.item)] = 0
        for item, at in zip(train.item.tolist(), train.occurred_at.tolist(), strict=True):
            age = (end - at) / DAY_US
            faded = 1.0 if half_life is None else 2 ** (-age / half_life)
            expected[item] += (at < moment * DAY_US) * (faded if age <= 7 else 1e-3)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5)


def test_windowed_popularity_follows_the_query_not_the_fit():
    train = log([(0, 0, day) for day in range(3)] + [(0, 1, 20)], 1, 2)
    model = PopularWindowed(PopularWindowedConfig(window_days=5)).fit(train)
    early, late = model.score(ask(train, [0], 4)), model.score(ask(train, [0], 21))
    assert early[0, 0] > early[0, 1]
    assert late[0, 1] > late[0, 0]


# factorisation


def test_ials_rows_solve_the_regularised_least_squares():
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(6, 3)).astype(np.float32)
    train = log([(0, 0, 1), (0, 2, 2), (1, 3, 3), (1, 1, 4), (1, 4, 5)], 3, 6, weight=[1, 2, 0.5, 1, 3])
    config = IalsConfig(factors=3, unobserved=0.2, l2=0.1, nu=0.5)
    rows = train.matrix(train.weight)
    solution = Ials(config)._solve(rows, factors)
    for row, weights in enumerate(rows.toarray()[:2]):
        reg = 0.1 * ((weights > 0).sum() + 0.2 * 6) ** 0.5
        left = factors.T @ (np.diag(weights) + 0.2 * np.eye(6)) @ factors + reg * np.eye(3)
        np.testing.assert_allclose(solution[row], np.linalg.solve(left, factors.T @ weights), rtol=1e-4)
    np.testing.assert_array_equal(solution[2], 0)


@pytest.mark.parametrize("model", [Als(AlsConfig(factors=4)), Ials(IalsConfig(factors=4))], ids=["als", "ials"])
def test_a_query_among_others_is_scored_to_the_bit_as_it_is_alone(model: Generator):
    train = checkerboard()
    queries = ask(train, range(N_USERS))
    together = model.fit(train).score(queries)
    for row in range(N_USERS):
        np.testing.assert_array_equal(model.score(queries.rows(row, row + 1))[0], together[row])


def test_als_folds_a_query_in_as_the_library_fits_a_user():
    train = checkerboard()
    model = Als(AlsConfig(factors=4, regularization=0.5, alpha=3)).fit(train)
    queries = ask(train, [4])
    items = model._items
    confidence = 1 + 3 * queries.matrix().toarray()[0]
    left = items.T @ np.diag(confidence) @ items + 0.5 * np.eye(4)
    user = np.linalg.solve(left, items.T @ (confidence * (confidence > 1)))
    known = np.bincount(train.item, minlength=N_ITEMS) > 0
    np.testing.assert_allclose(model.score(queries)[0, known], (items @ user)[known], rtol=1e-3, atol=1e-5)


# content


def test_centred_content_tells_items_apart_that_share_a_common_part():
    raw = np.array([[10, 1], [10, 0.9], [10, -1], [0, 0]], np.float32)
    model = ContentKnn.of(raw, np.array([True, True, True, False]))
    scores = model.score(ask(log([(0, 0, 1)], 1, 4), [0]))
    assert scores[0, 1] > 0 > scores[0, 2]
    assert np.isneginf(scores[0, 3])


def test_taste_is_made_of_what_was_liked():
    train = log([(0, 0, 1), (0, 1, 2)], 1, 4, positive=[True, False])
    vectors = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    np.testing.assert_array_equal(Aligned(AlignedConfig(), vectors).score(ask(train, [0])), [[1, 0, 1, 0]])


def test_bias_is_added_to_the_cosines():
    bias = np.array([0.5, -0.5, 0, 0], np.float32)
    vectors = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    model = Aligned(AlignedConfig(), vectors, bias)
    np.testing.assert_allclose(model.score(ask(log([(0, 0, 1)], 1, 4), [0])), [[1.5, -0.5, 1, 0]])


# cold start


def cold_world(bias=None) -> tuple[Interactions, ColdStart]:
    """Item 0 is warm, 1 to 3 are cold; 2 arrives on day 50, nobody knows when 3 did."""
    train = log([(u, 0, u) for u in range(6)] + [(0, 1, 9)], 6, 4)
    created_at = np.array([0, 5 * DAY_US, 50 * DAY_US, np.iinfo(np.int64).min])
    vectors = np.eye(2, dtype=np.float32)[[0, 1, 0, 0]]
    return train, ColdStart(ColdStartConfig(max_events=2), vectors, created_at, bias).fit(train)


def test_cold_start_offers_the_cold_items_that_exist():
    train, model = cold_world()
    early, late = (np.isfinite(model.score(ask(train, [1], day))[0]).tolist() for day in (49, 51))
    assert early == [False, True, False, True]
    assert late == [False, True, True, True]


def test_cold_start_shows_a_stranger_the_newest_or_the_likeliest():
    train, model = cold_world()
    codes, _ = top_k(model.score(ask(train, [UNKNOWN], 60)), 4)
    assert codes.tolist() == [[2, 1, 3, UNKNOWN]]
    _, biased = cold_world(np.array([9, 0.3, 0.1, 0.2], np.float32))
    codes, _ = top_k(biased.score(ask(train, [UNKNOWN], 60)), 4)
    assert codes.tolist() == [[1, 3, 2, UNKNOWN]]


def test_cold_start_adds_the_standardised_opinions():
    train = log([(u, 0, u) for u in range(6)], 6, 5)
    draw = np.random.default_rng(2)
    vectors = unit_rows(draw.normal(size=(5, 3)).astype(np.float32))
    predicted, remembered = draw.normal(size=(2, 5, 4)).astype(np.float32)
    config = ColdStartConfig(max_events=2, alignment_weight=0.5)
    model = ColdStart(config, vectors, np.zeros(5, np.int64), audience=Audience(predicted, remembered)).fit(train)
    agreement, nearness = predicted[1:] @ remembered[0], vectors[1:] @ vectors[0]
    expected = (agreement - agreement.mean()) / agreement.std() + 0.5 * (nearness - nearness.mean()) / nearness.std()
    np.testing.assert_allclose(model.score(ask(train, [2]))[0], [-np.inf, *expected], rtol=1e-4)


def test_scores_without_difference_stand_at_zero():
    offered = np.array([[True, True, False], [False, False, False]])
    scores = np.array([[3, 3, 9], [1, 2, 3]], np.float32)
    assert standardised(scores, offered)[:, :2].tolist()[0] == [0, 0]
    assert not standardised(scores, offered)[1].any()


# history


def test_memory_fades_by_later_events_and_by_days():
    train = log([(0, 0, 1), (0, 1, 3), (0, 2, 4)], 1, 3, weight=[1, 1, 2])
    queries = ask(train, [0])
    profile = lambda **memory: Memory(**memory).profiles(queries).dense()[0].tolist()  # noqa: E731
    assert profile() == [1, 1, 2]
    assert profile(half_life_events=1) == [0.25, 0.5, 2]
    assert profile(half_life_days=1) == [0.125, 0.5, 2]
    assert profile(last=2) == [0, 1, 2]


def test_memory_counts_what_was_not_liked_as_the_share_that_it_says():
    train = log([(0, 0, 1), (0, 1, 2), (0, 2, 3)], 1, 3, weight=[1, 2, 4], positive=[True, False, False])
    np.testing.assert_array_equal(Memory(others=0.25).profiles(ask(train, [0])).dense(), [[1, 0.5, 1]])
    np.testing.assert_array_equal(Memory(others=0.0).profiles(ask(train, [0])).dense(), [[1, 0, 0]])


def test_memory_of_liked_events_takes_no_distance_from_the_others():
    train = log([(0, 0, 1), (0, 1, 2), (0, 2, 3)], 1, 3, positive=[True, True, False])
    memory = Memory(feedback=Feedback.POSITIVE, half_life_events=1)
    np.testing.assert_array_equal(memory.profiles(ask(train, [0])).dense(), [[0.5, 1, 0]])


# ranking


@settings(max_examples=200)
@given(
    scores=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-30, 2.0, 3e30]) | st.floats(-2, 2, width=32),
    ),
    k=st.integers(0, 9),
    depth=st.integers(1, 9),
)
def test_top_k_and_ranks_equal_a_stable_sort(scores, k, depth):
    order = np.argsort(-scores, axis=1, kind="stable")
    best = np.take_along_axis(scores, order, axis=1)
    codes, values = top_k(scores, k)
    np.testing.assert_array_equal(codes, np.where(np.isneginf(best), UNKNOWN, order)[:, :k])
    np.testing.assert_array_equal(values, best[:, :k])
    expected = np.where(np.isneginf(scores), 0, np.argsort(order, axis=1) + 1)
    np.testing.assert_array_equal(ranks(scores), expected)
    np.testing.assert_array_equal(ranks(scores, depth), np.where(expected <= depth, expected, 0))
