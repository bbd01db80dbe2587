"""A home as a run leaves it, small: two camps of users and items, a fitted hybrid, a feature store, one release."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from feature_repo import compute, schema
from feature_repo.event_log import EventLog
from feature_repo.labels import label_events
from feature_repo.schema import EventKind, Modality
from feature_repo.served import ServedLog
from feature_repo.settings import Sampling, Settings
from feature_repo.store import Store
from ranking.candidates.union import retrieve
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.closeness import closeness
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import describe, request_rows
from ranking.rankers.space import Space
from ranking.rankers.store_columns import learn_vocabulary
from ranking.rankers.trees import TreesConfig
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import UNKNOWN_TIME, ItemContent, item_content
from ranking.representation.factor_mapping import FactorMapping
from ranking.serving.catalogue import save_parts
from ranking.serving.engine import Engine
from ranking.serving.releases import Manifest, Releases
from ranking.splits import Protocol, Split, split
from ranking.strategy.fit import Window, divisions, open_window
from ranking.strategy.generators import GeneratorConfigs, fit_generators
from ranking.strategy.hybrid import Hybrid, HybridConfig
from ranking.types import UNKNOWN, IdIndex, Interactions

START = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = (EventKind("impression", weight=0.0, positive=False), EventKind("click"))
N_USERS, N_ITEMS, N_COLD = 30, 40, 4


@dataclass(frozen=True)
class World:
    """Even users click even items, odd users odd ones; the last four items were never met."""

    items: pa.Table
    events: pa.Table
    hybrid: Hybrid

    def seen(self, user: str) -> set[str]:
        clicks = self.events.filter(pa.compute.equal(self.events["kind"], "click"))
        return set(clicks.filter(pa.compute.equal(clicks["user_id"], user))["item_id"].to_pylist())

    def manifest(self, release_id: str) -> Manifest:
        return Manifest(
            id=release_id,
            created_at=START,
            dataset="two camps",
            kinds=KINDS,
            data_until=START,
            service="ranking_v1",
            services=("ranking_v1", "retrieval_v1"),
            encoders={},
            seeds=(0,),
            metrics={},
            suites={},
            versions={},
            config={},
        )

    def publish(self, settings: Settings, release_id: str) -> Releases:
        def make(folder: Path) -> Manifest:
            save_parts(folder, self.hybrid, self.items)
            return self.manifest(release_id)

        releases = Releases.of(settings)
        releases.publish(release_id, make)
        return releases


def make_items() -> pa.Table:
    rows = [
        {
            "item_id": f"i{n:02}",
            "title": f"Title {n}",
            "categories": ["north" if n % 2 == 0 else "south"],
            "created_at": START - timedelta(days=1),
            "image": f"images/{n}.png",
        }
        for n in range(N_ITEMS)
    ]
    return pa.Table.from_pylist(rows, schema.ITEMS)


def make_events() -> pa.Table:
    rng = np.random.default_rng(0)
    warm = np.arange(N_ITEMS - N_COLD)
    rows = []
    for user in range(N_USERS):
        mine = rng.permutation(warm[warm % 2 == user % 2])[:8]
        for place, item in enumerate(mine.tolist()):
            at = START + timedelta(days=3 * place, hours=int(rng.integers(24)), minutes=user)
            surroundings = {"device": ("mobile", "tv")[item % 2], "place": "home", "occurred_at": at}
            for kind in ("impression", "click"):
                rows.append({"user_id": f"u{user:02}", "item_id": f"i{item:02}", "kind": kind, **surroundings})
    return pa.Table.from_pylist([{"event_id": f"e{n}", **row} for n, row in enumerate(rows)], schema.EVENTS)


def fill_store(settings: Settings, items: pa.Table, events: pa.Table) -> Store:
    store = Store(settings)
    store.apply()
    labelled = label_events(events, KINDS)
    store.write_view("item_content", compute.content_rows(items))
    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, labelled, items))
    return store


def fit_hybrid(items: pa.Table, events: pa.Table, store: Store) -> Hybrid:
    log = Interactions.from_events(
        label_events(events, KINDS),
        users=IdIndex.of(events["user_id"].to_pylist()),
        items=IdIndex.of(items["item_id"].to_pylist()),
    )
    rng = np.random.default_rng(1)
    camp = np.eye(2)[np.arange(N_ITEMS) % 2] @ rng.normal(size=(2, 8)) + 0.3 * rng.normal(size=(N_ITEMS, 8))
    vectors = (camp / np.linalg.norm(camp, axis=1, keepdims=True)).astype(np.float32)
    space = Space(vectors, {Modality.IMAGE: vectors}, np.zeros(N_ITEMS, np.float32), vectors, vectors)
    created_at = items["created_at"].cast(pa.int64()).to_numpy()
    config = HybridConfig(
        candidates=30, ranker=BlendConfig(TreesConfig(seeds=(0,), trees=30, min_rows_in_leaf=5, threads=1))
    )

    past = split(log, Protocol.P2)
    before = fit_generators(past.train, GeneratorConfigs(), space=space, created_at=created_at)
    found = retrieve(before, past.queries, k=30, created_at=created_at, reserved=config.reserved)
    stored = store.training_frame(request_rows(found, past.queries, log.users, log.items))
    vocabulary = learn_vocabulary(stored)
    row, _ = np.nonzero(found.item != UNKNOWN)
    close = closeness(before, row, found.item[found.item != UNKNOWN], past.queries)
    content = item_content(items, {})
    knowledge = Knowledge.fit(past.train, content, space, people(log.users))
    slates = describe(found, past.queries, stored, close=close, knowledge=knowledge, vocabulary=vocabulary)
    return Hybrid(
        config,
        items=log.items,
        created_at=created_at,
        generators=fit_generators(log, GeneratorConfigs(), space=space, created_at=created_at),
        knowledge=Knowledge.fit(log, content, space, people(log.users)),
        vocabulary=vocabulary,
        ranker=Blend.fit(slates.features, slates.labels(past.relevant), slates.groups, config=config.ranker),
    )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """A home that no test may change, and what is in it."""
    home = tmp_path_factory.mktemp("served")
    settings = Settings(home=home)
    items, events = make_items(), make_events()
    store = fill_store(settings, items, events)
    world = World(items, events, fit_hybrid(items, events, store))
    EventLog(settings.events).append(events)
    store.materialize(max(events["occurred_at"].to_pylist()) + compute.TICK)
    world.publish(settings, "first").promote("first")
    return home, world


@pytest.fixture(scope="session")
def world(served: tuple[Path, World]) -> World:
    return served[1]


@pytest.fixture
def home(served: tuple[Path, World], tmp_path: Path) -> Settings:
    """A copy of the home that a test may change."""
    shutil.copytree(served[0], tmp_path / "home", symlinks=True)
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def settled(served: tuple[Path, World], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A loaded engine that no test may post events to; what it logs does not fall into the home either."""
    engine = Engine(Settings(home=served[0]), served=ServedLog(tmp_path_factory.mktemp("log"), Sampling()))
    engine.load()
    return engine


@pytest.fixture
def engine(home: Settings) -> Engine:
    engine = Engine(home)
    engine.load()
    return engine


def people(users: IdIndex) -> pa.Table:
    """Their attributes, which say nothing of their taste."""
    hand = [("left", "right", None)[place // 2 % 3] for place in range(len(users))]
    return pa.table({"user_id": list(users.ids), "hand": pa.array(hand, pa.string())})


@dataclass(frozen=True)
class Checkerboard:
    """Even users take even items, on the phone, odd users odd ones, on the tv; content tells the camps, roughly.

    Cheap to fit and without a feature store: `features` adds columns that say nothing of what will be chosen.
    """

    log: Interactions
    content: ItemContent
    users: pa.Table

    @staticmethod
    def features(rows: pa.Table) -> pa.Table:
        number = pa.array([int(one[1:]) % 7 for one in rows["item_id"].to_pylist()], pa.float32())
        group = pa.array([f"g{one[1:]}"[:2] for one in rows["item_id"].to_pylist()])
        hour = pa.compute.hour(rows["requested_at"])
        stored = {"item_positives": number, "top_group": group, "context_hour": hour}
        for name, column in stored.items():
            rows = rows.append_column(name, column)
        return rows

    def windows(self, divided: Sequence[Split]) -> list[Window]:
        """A window a division, opened and joined, as the pipeline does."""
        alignment = Alignment.fit(self.content, divided[-1].train, config=AlignmentConfig(dim=8, hidden=16, steps=40))
        mapping = FactorMapping.fit(self.content, divided[-1].train)
        return [
            open_window(
                one,
                content=self.content,
                alignment=alignment,
                mapping=mapping,
                configs=GeneratorConfigs(),
                config=HybridConfig(),
            ).joined(self.features)
            for one in divided
        ]


@pytest.fixture(scope="session")
def checkerboard() -> Checkerboard:
    users, items, length = 60, 60, 20
    draw = np.random.default_rng(5)
    user = np.repeat(np.arange(users), length)
    item = np.concatenate([2 * draw.choice(items // 2, length, replace=False) + one % 2 for one in range(users)])
    at = draw.permutation(users * length) * 600_000_000  # one event in ten minutes
    order = np.argsort(at)
    log = Interactions(
        users=IdIndex(tuple(f"u{one:02}" for one in range(users))),
        items=IdIndex(tuple(f"i{one:02}" for one in range(items))),
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        occurred_at=at[order].astype(np.int64),
        weight=np.ones(len(at), np.float32),
        positive=np.ones(len(at), bool),
        device=np.array(("phone", "tv"), object)[item[order] % 2],
        place=np.full(len(at), None, object),
    )
    camp = np.eye(2)[np.arange(items) % 2] @ draw.normal(size=(2, 6))
    vectors = {one: (camp + draw.normal(size=(items, 6))).astype(np.float32) for one in (Modality.TEXT, Modality.IMAGE)}
    present = {Modality.TEXT: np.ones(items, bool), Modality.IMAGE: np.arange(items) % 5 > 0}
    vectors[Modality.IMAGE][~present[Modality.IMAGE]] = 0
    nothing = sparse.csr_matrix((items, 0), dtype=bool)
    content = ItemContent(log.items, vectors, present, np.full(items, UNKNOWN_TIME), nothing)
    return Checkerboard(log, content, people(log.users))


@pytest.fixture(scope="session")
def past(checkerboard: Checkerboard) -> list[Window]:
    """Three windows of P2, the latest first."""
    return checkerboard.windows(divisions(checkerboard.log, Protocol.P2, 3))
