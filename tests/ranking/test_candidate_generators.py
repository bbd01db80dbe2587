"""What the generators beside single models compute: by hand, by brute force, and never with knowledge of the future."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from feature_repo.schema import Modality
from ranking.candidates.cold_start import Audience
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig, Primal
from ranking.candidates.generator import NOT_OFFERED, ranks
from ranking.candidates.history import DAY_US, Memory
from ranking.candidates.popular_here import PopularHere, PopularHereConfig
from ranking.candidates.scarce import Scarce, ScarceConfig
from ranking.candidates.semantic_ease import SemanticEase, SemanticEaseConfig
from ranking.candidates.sequences import followers
from ranking.candidates.sparse_ease import SparseEase, SparseEaseConfig
from ranking.rankers.space import Space
from ranking.representation.inputs import unit_rows
from ranking.splits import Protocol, split
from ranking.strategy.generators import GeneratorConfigs, fit_generators
from ranking.types import IdIndex, Interactions, Queries

EXISTS = np.iinfo(np.int64).min


def log(rows, n_users: int, n_items: int, *, device=None, place=None) -> Interactions:
    """Events (user, item, day), ascending in time."""
    user, item, day = np.array(rows, float).reshape(-1, 3).T
    n = len(rows)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(n_items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=(day * DAY_US).astype(np.int64),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=np.full(n, None, object) if device is None else np.array(device, object),
        place=np.full(n, None, object) if place is None else np.array(place, object),
    )


def ask(train: Interactions, users, day: float = 10_000, **surroundings) -> Queries:
    at = np.full(len(users), int(day * DAY_US), np.int64)
    return Queries.from_interactions(train, np.array(users, np.int32), at, **surroundings)


def random_log(x: np.ndarray) -> Interactions:
    return log([(u, i, day) for day, (u, i) in enumerate(np.argwhere(x))], *x.shape)


# EASE towards content


def brute_semantic(x: np.ndarray, vectors: np.ndarray, config: SemanticEaseConfig) -> np.ndarray:
    """The minimum, column by column: each item's weights on all other items solve a ridge towards content's weights."""
    gram, n = x.T.astype(float) @ x, x.shape[1]
    content = Primal.solve(vectors.astype(float) @ vectors.T, config.content_l2).weights
    weights = np.zeros((n, n))
    for item in range(n):
        others = np.arange(n) != item
        left = gram[np.ix_(others, others)] + (config.l2 + config.strength) * np.eye(n - 1)
        weights[others, item] = np.linalg.solve(left, gram[others, item] + config.strength * content[others, item])
    return weights


@settings(max_examples=25)
@given(
    x=arrays.arrays(np.int8, st.sampled_from([(5, 8), (9, 6)]), elements=st.integers(0, 1)),
    strength=st.floats(0.1, 20),
    seed=st.integers(0, 99),
)
def test_semantic_ease_minimises_the_distance_to_events_and_to_what_content_says(x, strength, seed):
    n = x.shape[1]
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32))
    config = SemanticEaseConfig(l2=2.0, strength=strength, content_l2=0.5, memory=Memory())
    train = random_log(x)
    model, weights = SemanticEase(config, vectors).fit(train), brute_semantic(x, vectors, config)
    expected = np.where(x.any(axis=1)[:, None], x @ weights, NOT_OFFERED)
    np.testing.assert_allclose(model.score(ask(train, range(len(x)))), expected, rtol=2e-3, atol=2e-4)
    single = log([(item, item, item) for item in range(n)], n, n)
    np.testing.assert_allclose(model.score(ask(single, range(n))), weights, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("users", [4, 12])
def test_semantic_ease_of_strength_0_is_ease(users):
    draw = np.random.default_rng(users)
    train = random_log(draw.random((users, 7)) < 0.4)
    vectors = unit_rows(draw.normal(size=(7, 3)).astype(np.float32))
    semantic = SemanticEase(SemanticEaseConfig(l2=3.0, strength=0.0, memory=Memory()), vectors).fit(train)
    plain = Ease(EaseConfig(l2=3.0)).fit(train)
    queries = ask(train, range(users))
    np.testing.assert_allclose(semantic.score(queries), plain.score(queries), rtol=1e-4, atol=1e-5)


def test_an_item_without_an_event_is_offered_for_its_content():
    train = log([(u, i, 3 * u + i) for u in range(4) for i in range(3)], 4, 5)
    vectors = np.array([[1, 0], [0, 1], [0, 1], [1, 0], [0, 0]], np.float32)
    history = log([(0, 0, 1), (1, 1, 1)], 2, 5)
    scores = SemanticEase(SemanticEaseConfig(l2=1.0, strength=5.0), vectors).fit(train).score(ask(history, [0, 1]))
    assert scores[0, 3] > scores[1, 3]
    assert np.isneginf(scores[:, 4]).all()  # nobody met it, and nothing is known of it


# EASE among neighbours


@settings(max_examples=25)
@given(x=arrays.arrays(np.int8, (6, 9), elements=st.integers(0, 1)), l2=st.floats(0.5, 50))
def test_sparse_ease_of_all_neighbours_on_one_component_is_ease(x, l2):
    x = x.copy()
    x[0] = 1  # every pair co-occurs, so that all are neighbours
    train = random_log(x)
    queries = ask(train, range(6))
    sparse = SparseEase(SparseEaseConfig(neighbours=9, l2=l2)).fit(train)
    exact = Ease(EaseConfig(l2=l2)).fit(train)
    np.testing.assert_allclose(sparse.score(queries), exact.score(queries), rtol=1e-3, atol=1e-5)


def test_sparse_ease_of_few_neighbours_keeps_most_of_the_ranking():
    draw = np.random.default_rng(0)
    camp = np.arange(60) % 3
    x = draw.random((80, 60)) < np.where(camp[None] == np.arange(80)[:, None] % 3, 0.4, 0.05)
    train = random_log(x)
    queries = ask(train, range(80))
    exact = ranks(Ease(EaseConfig(l2=5.0)).fit(train).score(queries))
    sparse = ranks(SparseEase(SparseEaseConfig(neighbours=20, l2=5.0)).fit(train).score(queries))
    overlap = ((exact <= 20) & (sparse <= 20)).sum(axis=1) / 20
    assert overlap.mean() > 0.8


# co-visitation


def test_pairs_fade_by_days_as_well_as_by_places():
    train = log([(0, 0, 1), (0, 1, 3), (0, 2, 4)], 1, 3)
    found = followers(train, window=2, half_life=1.0, half_life_days=1.0).toarray()
    expected = [[0, 2**-1 * 2**-2, 2**-2 * 2**-3], [0, 0, 2**-1 * 2**-1], [0, 0, 0]]
    np.testing.assert_allclose(found, expected)


def test_pairs_of_chosen_items_are_those_of_all_without_the_others():
    draw = np.random.default_rng(4)
    train = log([(u, i, d) for d, (u, i) in enumerate(draw.integers(0, [5, 12], (80, 2)))], 5, 12)
    chosen = draw.random(12) < 0.4
    whole = followers(train, window=6, half_life=3.0).toarray()
    touching = followers(train, window=6, half_life=3.0, touching=chosen).toarray()
    np.testing.assert_allclose(touching, whole * (chosen[:, None] | chosen))


def test_covisitation_of_near_days_counts_the_later_day_less():
    train = log([(0, 0, 1), (0, 1, 1.5), (0, 2, 9)], 1, 3)
    query = ask(log([(0, 0, 1)], 1, 3), [0])
    config = CovisitationConfig(target_power=0, memory=Memory())
    plain = Covisitation(config).fit(train).score(query)[0]
    days = Covisitation(replace(config, pair_half_life_days=1.0)).fit(train).score(query)[0]
    assert days[2] / days[1] < 0.01 < plain[2] / plain[1]


# popularity in such surroundings


def test_popularity_by_device_is_shrunk_to_everybodys_by_hand():
    rows = [(0, 0, day) for day in range(6)] + [(0, 1, day) for day in range(6, 10)]
    train = log(rows, 1, 3, device=["tv"] * 5 + ["phone"] * 5)
    model = PopularHere(PopularHereConfig(prior=2.0)).fit(train)
    midnight = 20.0
    asked = ask(train, [0, 0, 0], midnight, device=np.array(["tv", "phone", "watch"], object))
    scores = model.score(asked)
    # all events are of one daypart, so that it says nothing; item 0 has 6 of 10 events, 5 of the 5 on the tv
    tv = [np.log(6) + np.log((5 + 2) / (3 + 2)), np.log(4) + np.log((0 + 2) / (2 + 2))]
    phone = [np.log(6) + np.log((1 + 2) / (3 + 2)), np.log(4) + np.log((4 + 2) / (2 + 2))]
    np.testing.assert_allclose(scores[:, :2], [tv, phone, [np.log(6), np.log(4)]], rtol=1e-4)
    assert np.isneginf(scores[:, 2]).all()


def test_popularity_by_daypart_follows_the_hour_that_is_asked_about():
    rows = [(0, day % 2, day + (0.1 if day % 2 else 0.9)) for day in range(20)]
    train = log(rows, 1, 2, place=["home"] * 20)
    model = PopularHere(PopularHereConfig()).fit(train)
    night, evening = model.score(ask(train, [0], 30.1))[0], model.score(ask(train, [0], 30.9))[0]
    assert night[1] > night[0]
    assert evening[0] > evening[1]


# items of few events


def scarce_world():
    """Many know items 0 and 1; 2 is met once near 0, 3 once near 1, 4 never; of 5 there is no content either."""
    rows = [(u, i, 10 * u + i) for u in range(8) for i in (0, 1)]
    rows += [(8, 0, 90), (8, 2, 91), (9, 1, 92), (9, 3, 93)]
    train = log(rows, 11, 6)
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [0, 0]], np.float32)
    created_at = np.array([EXISTS] * 4 + [50 * DAY_US, EXISTS])
    config = ScarceConfig(max_events=1, obscure_events=1, places=1, most=2)
    return train, Scarce(config, vectors, created_at, Audience(vectors, vectors)).fit(train)


def test_scarce_items_are_ordered_by_their_few_events_and_their_content():
    _, model = scarce_world()
    history = log([(0, 0, 1), (1, 1, 1), (2, 0, 1), (2, 2, 2)], 3, 6)
    scores = model.score(ask(history, [0, 1, 2]))
    assert np.isneginf(scores[:, [0, 1, 5]]).all()  # known to many, or nothing is known of it
    assert scores[0].argmax() == 2
    assert scores[1].argmax() == 3
    assert np.isneginf(scores[2, 2])  # of the history


def test_a_taste_for_the_obscure_has_more_places_up_to_the_most():
    _, model = scarce_world()
    known = log([(0, 0, 1), (0, 1, 2)], 2, 6)
    beyond = log([(0, 2, 1)], 2, 6)
    assert np.isfinite(model.score(ask(known, [0]))).sum() == 1
    assert np.isfinite(model.score(ask(beyond, [0]))).sum() == 2
    assert np.isneginf(model.score(ask(known, [1]))).all()  # an empty history


def test_a_scarce_item_is_not_offered_before_it_exists():
    _, model = scarce_world()
    model.config = replace(model.config, places=9, most=9)
    history = log([(0, 0, 1)], 1, 6)
    early, late = (np.isfinite(model.score(ask(history, [0], day))[0, 4]) for day in (49, 51))
    assert (early, late) == (False, True)


# the future


def world_with_a_future_item():
    """Three camps; item 0 has one early event, and after the cutoff everybody takes it."""
    draw = np.random.default_rng(3)
    rows = [(int(u), int(i), day / 10) for day, (u, i) in enumerate(zip(*draw_pairs(draw), strict=True))]
    last = rows[-1][2]
    early = [(0, 0, 0.0), *rows]
    return early, [(u, 0, last + 1 + u / 100) for u in range(1, 40)]


def draw_pairs(draw: np.random.Generator):
    user = draw.integers(0, 40, 900)
    return user, 1 + 3 * draw.integers(0, 9, 900) + user % 3


def test_no_generator_lifts_an_item_whose_events_lie_after_the_cutoff():
    early, late = world_with_a_future_item()
    n_items = 29
    divided = split(
        log([*early, *late], 40, n_items), Protocol.P1, share=len(late) / (len(early) + len(late)), min_users=1
    )
    assert len(divided.train) == len(early)
    assert divided.relevant[:, 0].sum() == len(late)
    vectors = unit_rows(np.random.default_rng(5).normal(size=(n_items, 4)).astype(np.float32))
    space = Space(vectors, {Modality.TEXT: vectors}, np.zeros(n_items, np.float32), vectors, vectors)
    configs = GeneratorConfigs(ease_semantic=SemanticEaseConfig(), aligned_session=GeneratorConfigs().aligned_recent)
    created_at = np.full(n_items, EXISTS)
    with_future = fit_generators(divided.train, configs, space=space, created_at=created_at)
    alone = log(early, 40, n_items)
    without = fit_generators(alone.ties_shuffled(), configs, space=space, created_at=created_at)
    for one, other in zip(with_future, without, strict=True):
        np.testing.assert_allclose(
            one.score(divided.queries), other.score(divided.queries), rtol=1e-5, atol=1e-6, err_msg=one.name
        )
