"""What an item-to-item model says of single items of a history, against its own sums and by hand."""

import numpy as np
import pytest

from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig
from ranking.rankers.closeness import PARTS, closeness
from ranking.types import IdIndex, Interactions, Queries

MODELS = {
    "primal": Ease(EaseConfig(l2=2.0, pair_half_life=3.0, min_events=2)),
    "dual": Ease(EaseConfig(l2=2.0)),
    "covisitation": Covisitation(CovisitationConfig(memory=Memory())),
    "item_knn": ItemKnn(ItemKnnConfig(neighbours=5)),
}


def random_log(users: int = 8, items: int = 15, events: int = 70, seed: int = 0) -> Interactions:
    draw = np.random.default_rng(seed)
    pairs = draw.permutation(users * items)[:events]
    return Interactions(
        users=IdIndex(tuple(f"u{one:02}" for one in range(users))),
        items=IdIndex(tuple(f"i{one:02}" for one in range(items))),
        user=(pairs // items).astype(np.int32),
        item=(pairs % items).astype(np.int32),
        occurred_at=np.arange(events, dtype=np.int64),
        weight=np.ones(events, np.float32),
        positive=draw.random(events) < 0.6,
        device=np.full(events, None, object),
        place=np.full(events, None, object),
    )


def asked(log: Interactions) -> Queries:
    everybody = np.arange(len(log.users), dtype=np.int32)
    return Queries.from_interactions(log, everybody, np.full(len(everybody), len(log)))


@pytest.mark.parametrize("name", MODELS)
def test_what_single_items_say_adds_up_to_the_score(name):
    log = random_log()
    model = MODELS[name].fit(log)
    queries, everything = asked(log), np.arange(len(log.items), dtype=np.int32)
    scores = model.score(queries)
    for row in range(len(queries)):
        history = queries.rows(row, row + 1).item
        said = model.between(history, everything)
        assert (said.dtype, said.shape) == (np.float32, (len(history), len(everything)))
        offered = np.isfinite(scores[row])
        np.testing.assert_allclose(said.sum(axis=0)[offered], scores[row][offered], rtol=1e-3, atol=1e-5)
    assert (np.diag(model.between(everything, everything)) == 0).all() or name == "covisitation"


def test_parts_of_a_history_by_hand():
    log = random_log()
    model = ItemKnn(ItemKnnConfig(neighbours=15)).fit(log)
    queries, item = asked(log).rows(0, 1), np.array([3, 9], np.int32)
    found = closeness([model, Popular(PopularConfig()).fit(log)], np.zeros(2, np.int64), item, queries)
    assert found.names == tuple(sorted(f"item_knn_{part}" for part in PARTS))
    said = np.stack([model.between(np.array([one], np.int32), item)[0] for one in queries.item])
    liked = queries.positive
    expected = {
        "latest_1": said[-1],
        "latest_3": said[-3:].mean(axis=0),
        "latest_10": said[-10:].mean(axis=0),
        "nearest": said.max(axis=0),
        "nearest_3": np.sort(said, axis=0)[-3:].mean(axis=0),
        "liked": said[liked].mean(axis=0),
        "not_liked": said[~liked].mean(axis=0),
        "all": said.mean(axis=0),
    }
    for part, values in expected.items():
        np.testing.assert_allclose(found[f"item_knn_{part}"], values, rtol=1e-5, err_msg=part)


def test_a_history_without_a_part_leaves_it_unknown():
    log = random_log()
    model = ItemKnn(ItemKnnConfig(memory=Memory(feedback=Feedback.ALL))).fit(log)
    queries = asked(log).rows(0, 2)
    strangers = Queries.from_interactions(log, np.array([0], np.int32), np.array([0]))
    only_liked = closeness([model], np.zeros(1, np.int64), np.array([2], np.int32), _liking_all(queries.rows(0, 1)))
    assert np.isnan(only_liked["item_knn_not_liked"]).all()
    assert np.isfinite(only_liked["item_knn_liked"]).all()
    nothing = closeness([model], np.zeros(1, np.int64), np.array([2], np.int32), strangers)
    assert np.isnan(nothing.values).all()
    assert closeness([model], np.zeros(0, int), np.zeros(0, int), queries).values.shape == (0, len(PARTS))


def test_a_batch_says_what_its_single_queries_say():
    log = random_log()
    model, queries = ItemKnn(ItemKnnConfig()).fit(log), asked(log)
    row = np.repeat(np.arange(len(queries)), 4)
    item = np.random.default_rng(1).integers(0, len(log.items), len(row)).astype(np.int32)
    together = closeness([model], row, item, queries)
    for one in range(len(queries)):
        alone = closeness([model], np.zeros(4, np.int64), item[row == one], queries.rows(one, one + 1))
        np.testing.assert_array_equal(alone.values, together.values[row == one])


def _liking_all(queries: Queries) -> Queries:
    queries.positive[:] = True
    return queries
