"""A home of any size with one release, made straight from drawn vectors and choices: no encoder, no tuning.

Items lie around themes; users love a few of them and choose in proportion to exp(similarity + popularity), on a device,
at a place, at hours of their own. Generators, ranker and feature store are the product's, with their defaults.
"""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo import compute, schema
from feature_repo.event_log import EventLog
from feature_repo.labels import label_events
from feature_repo.schema import RANKING, RETRIEVAL, EventKind, Modality
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.rankers.blend import Blend
from ranking.rankers.closeness import closeness
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import describe, request_rows
from ranking.rankers.space import Space
from ranking.rankers.store_columns import learn_vocabulary
from ranking.representation.content import item_content
from ranking.representation.inputs import unit_rows
from ranking.serving.catalogue import save_parts
from ranking.serving.releases import Manifest, Releases
from ranking.splits import Protocol, split
from ranking.strategy.generators import GeneratorConfigs, fit_generators
from ranking.strategy.hybrid import Hybrid, HybridConfig, find
from ranking.types import UNKNOWN, Floats, IdIndex, Interactions

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
THEMES, DIMENSIONS = 40, 64
DEVICES, PLACES = ("mobile", "desktop", "tv"), ("home", "work", "road")
KINDS = (EventKind("impression", weight=0.0, positive=False), EventKind("click"), EventKind("like", weight=3.0))
LEARNERS = 1_000  # users whose slates teach the ranker


@dataclass(frozen=True)
class WorldSize:
    """How large the made world is; events: per user, on average."""

    items: int = 20_000
    users: int = 10_000
    events: int = 30
    candidates: int = 500

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """The home's folder, and a world's size."""
        parser.add_argument("--home", type=Path, required=True)
        parser.add_argument("--items", type=int, default=cls.items)
        parser.add_argument("--users", type=int, default=cls.users)
        parser.add_argument("--candidates", type=int, default=cls.candidates)

    @classmethod
    def of(cls, asked: argparse.Namespace) -> "WorldSize":
        """What those arguments say."""
        return cls(items=asked.items, users=asked.users, candidates=asked.candidates)


def build(home: Path, size: WorldSize) -> Settings:
    """Make the home and its one release, promoted; nothing where it is there."""
    settings = Settings(home=home)
    if (home / "current").exists():
        return settings
    rng = np.random.default_rng(0)
    theme = rng.integers(THEMES, size=size.items)
    centres = rng.normal(size=(THEMES, DIMENSIONS))
    vectors = {
        one: unit_rows((centres[theme] + rng.normal(size=(size.items, DIMENSIONS))).astype(np.float32))
        for one in Modality
    }
    items, users = _items(size, theme), [f"u{one:05}" for one in range(size.users)]
    events = _events(size, rng, vectors[Modality.TEXT], users)
    store = Store(settings)
    store.apply()
    labelled = label_events(events, KINDS)
    store.write_view("item_content", compute.content_rows(items))
    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, labelled, items))
    store.materialize(START + timedelta(days=DAYS))
    EventLog(settings.events).append(events)
    people = pa.table({"user_id": users, "country": [f"c{one % 20}" for one in range(size.users)]})
    hybrid = _fit(size, items, labelled, people, vectors, store)
    releases = Releases.of(settings)

    def make(folder: Path) -> Manifest:
        save_parts(folder, hybrid, items)
        return _manifest()

    releases.publish("made", make)
    releases.promote("made")
    return settings


def _items(size: WorldSize, theme: npt.NDArray[np.int64]) -> pa.Table:
    n = size.items
    created = [START - timedelta(days=one % 400) for one in range(n)]
    return pa.table(
        {
            "item_id": [f"i{one:07}" for one in range(n)],
            "title": [f"Title {one}" for one in range(n)],
            "description": [f"Something of theme {one}" for one in theme.tolist()],
            "categories": [[f"theme {one}", f"group {one % 8}"] for one in theme.tolist()],
            "created_at": pa.array(created, schema.TIMESTAMP),
            "image": pa.nulls(n, pa.string()),
            "audio": pa.nulls(n, pa.string()),
            "video": pa.nulls(n, pa.string()),
            "provider": [f"provider {one % 50}" for one in range(n)],
            "price": pa.array([float(one * 7919 % 100) for one in range(n)], pa.float64()),
            "in_stock": [one % 10 > 0 for one in range(n)],
        }
    )


def _events(size: WorldSize, rng: np.random.Generator, vectors: Floats, users: list[str]) -> pa.Table:
    """Choices in time order; nobody meets an item twice."""
    fame = rng.normal(scale=1.2, size=size.items).astype(np.float32)
    user, item = [], []
    for one in range(size.users):
        taste = unit_rows(vectors[rng.integers(size.items, size=3)].sum(axis=0, keepdims=True))[0]
        utility = 6 * vectors @ taste + fame + rng.gumbel(size=size.items).astype(np.float32)
        count = min(size.items, 1 + int(rng.exponential(size.events - 1)))
        item.append(np.argpartition(-utility, count - 1)[:count])  # Gumbel top-k: without replacement
        user.append(np.full(count, one))
    who, what = np.concatenate(user), np.concatenate(item)
    n = len(who)
    at = np.sort(rng.integers(DAYS * 86_400, size=n))
    order = rng.permutation(n)
    who, what = who[order], what[order]
    device, place = rng.integers(3, size=n), rng.integers(3, size=n)
    return pa.table(
        {
            "event_id": [f"e{one}" for one in range(n)],
            "user_id": [users[one] for one in who.tolist()],
            "item_id": [f"i{one:07}" for one in what.tolist()],
            "kind": [("click", "click", "like")[one % 3] for one in range(n)],
            "value": pa.nulls(n, pa.float32()),
            "occurred_at": pa.array([START + timedelta(seconds=one) for one in at.tolist()], schema.TIMESTAMP),
            "session_id": pa.nulls(n, pa.string()),
            "device": [DEVICES[one] for one in device.tolist()],
            "place": [PLACES[one] for one in place.tolist()],
            "request_id": pa.nulls(n, pa.string()),
            "position": pa.nulls(n, pa.int32()),
            "propensity": pa.nulls(n, pa.float32()),
        },
        schema=schema.EVENTS,
    )


def _fit(
    size: WorldSize,
    items: pa.Table,
    labelled: pa.Table,
    people: pa.Table,
    vectors: dict[Modality, Floats],
    store: Store,
) -> Hybrid:
    log = Interactions.from_events(
        labelled, users=IdIndex.of(people["user_id"].to_pylist()), items=IdIndex.of(items["item_id"].to_pylist())
    )
    fused = unit_rows(np.sum([*vectors.values()], axis=0).astype(np.float32))
    space = Space(fused, vectors, np.zeros(size.items, np.float32), vectors[Modality.TEXT], vectors[Modality.TEXT])
    created_at = items["created_at"].cast(pa.int64()).to_numpy()
    config = HybridConfig(candidates=size.candidates)
    configs = GeneratorConfigs()
    past = split(log, Protocol.P2)
    asked = np.sort(np.random.default_rng(1).permutation(len(past.queries))[:LEARNERS])
    queries, relevant = past.queries.take(asked), past.relevant[asked]
    before = fit_generators(past.train, configs, space=space, created_at=created_at)
    found = find(before, queries, config, created_at=created_at)
    stored = store.training_frame(request_rows(found, queries, log.users, log.items))
    vocabulary = learn_vocabulary(stored)
    row, _ = np.nonzero(found.item != UNKNOWN)
    close = closeness(before, row, found.item[found.item != UNKNOWN], queries)
    content = item_content(items, {})
    knowledge = Knowledge.fit(past.train, content, space, people)
    slates = describe(found, queries, stored, close=close, knowledge=knowledge, vocabulary=vocabulary)
    return Hybrid(
        config,
        items=log.items,
        created_at=created_at,
        generators=fit_generators(log, configs, space=space, created_at=created_at),
        knowledge=Knowledge.fit(log, content, space, people),
        vocabulary=vocabulary,
        ranker=Blend.fit(slates.features, slates.labels(relevant), slates.groups, config=config.ranker),
    )


def _manifest() -> Manifest:
    return Manifest(
        id="made",
        created_at=START,
        dataset="made",
        kinds=KINDS,
        data_until=START + timedelta(days=DAYS),
        service=RANKING,
        services=(RANKING, RETRIEVAL),
        encoders={},
        seeds=(0,),
        metrics={},
        suites={},
        versions={},
        config={},
    )
