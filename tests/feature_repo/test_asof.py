"""Point-in-time joins of the ASOF offline store: equal to Feast's own DuckDB store, but where that is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.types import Array, Bool, Float32, Float64, Int64, String
from feast.utils import make_df_tzaware
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.errors import StoreError
from feature_repo.schema import TIMESTAMP
from feature_repo.stores import view_join

START = datetime(2024, 3, 10, tzinfo=UTC)  # New York's clocks go forward that day
OURS = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
SHOP = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
ENTITIES = {"user_id": USER, "shop_id": SHOP}
KEYS = {"user_id": (String, pa.string()), "shop_id": (Int64, pa.int64())}
VALUES = {
    "amount": (Int64, pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "share": (Float64, pa.float64(), st.floats(allow_nan=False)),
    "name": (String, pa.string(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)),
    "open": (Bool, pa.bool_(), st.booleans()),
    "vector": (Array(Float32), pa.list_(pa.float32()), st.lists(st.floats(width=32, allow_nan=False), max_size=3)),
}


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


@dataclass(frozen=True)
class World:
    """One home with the stores to compare, which all know the same views."""

    home: Path
    stores: Mapping[str, FeatureStore]

    @classmethod
    def of(cls, home: Path, *kinds: str, **settings: object) -> "World":
        def config(kind: str) -> RepoConfig:
            return RepoConfig(
                project="asof",
                provider="local",
                registry=str(home / "registry.db"),
                offline_store={"type": kind, **(settings if kind == OURS else {})},
                online_store={"type": "sqlite", "path": str(home / "online.db")},
                entity_key_serialization_version=3,
                repo_path=home,
            )

        return cls(home, {kind: FeatureStore(config=config(kind)) for kind in kinds})

    def view(
        self, name: str, rows: pa.Table, keys: Sequence[str], ttl: timedelta = timedelta(0), **source: object
    ) -> FeatureView:
        """A view over rows that are written to a file: its keys and stamps, every other column a feature."""
        path = self.home / f"{name}.parquet"
        pq.write_table(rows, path)
        mapped = source.get("field_mapping", {})
        assert isinstance(mapped, dict)
        columns = [mapped.get(column, column) for column in rows.column_names]
        stamps = {"event_timestamp", "created_timestamp"}
        return FeatureView(
            name=name,
            entities=[ENTITIES[key] for key in keys],
            schema=[Field(name=key, dtype=KEYS[key][0]) for key in keys]
            + [Field(name=one, dtype=VALUES[one][0]) for one in columns if one not in stamps.union(keys)],
            source=FileSource(
                name=name,
                path=str(path),
                timestamp_field="event_timestamp",
                **{
                    **({"created_timestamp_column": "created_timestamp"} if "created_timestamp" in columns else {}),
                    **source,
                },
            ),
            ttl=ttl,
        )

    def ask(
        self, kind: str, views: Sequence[FeatureView], frame: object, *, full: bool = False, unwritten: bool = False
    ) -> RetrievalJob:
        """All features of some views, which need not be registered."""
        store = self.stores[kind]
        if isinstance(frame, pd.DataFrame):
            frame = make_df_tzaware(frame)  # as `FeatureStore` does
        refs = [f"{view.projection.name_to_use()}:{field.name}" for view in views for field in view.features]
        return store._get_provider().get_historical_features(
            store.config, list(views), refs, frame, store.registry, store.project, full,
            filter_by_created_timestamp=unwritten,
        )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.of(tmp_path_factory.mktemp("asof"), OURS, "duckdb", "dask")


def table(columns: Mapping[str, Sequence[object]], zone: str | None = "UTC") -> pa.Table:
    """Rows of a view; stamps are hours since START."""
    types = {key: kind for key, (_, kind) in KEYS.items()} | {name: kind for name, (_, kind, _) in VALUES.items()}

    def column(name: str, values: Sequence[object]) -> pa.Array:
        if not name.endswith("_timestamp"):
            return pa.array(values, types[name])
        stamps = pa.array([None if one is None else at(float(str(one))) for one in values], TIMESTAMP)
        return stamps.cast(pa.timestamp("us", zone)) if zone else stamps.cast(pa.timestamp("us"))

    return pa.table({name: column(name, values) for name, values in columns.items()})


# ------------------------------------------------------------------ Feast's own store as the oracle

hours = st.integers(0, 30)
key_values = {"user_id": st.sampled_from(["u", "v", "1", ""]), "shop_id": st.sampled_from([0, 1, 11, 2**60])}


@st.composite
def view_rows(draw: st.DrawFn, keys: Sequence[str], features: Sequence[str], created: bool) -> pa.Table:
    """Rows without ties that only luck could break: no two of one key, event and time of writing."""
    stamp = st.tuples(hours, hours if created else st.just(0))
    row_keys = st.tuples(*(st.none() | key_values[key] for key in keys))
    rows = draw(st.lists(st.tuples(row_keys, stamp), max_size=14, unique=True))
    columns: dict[str, list[object]] = {key: [row[0][place] for row in rows] for place, key in enumerate(keys)}
    columns["event_timestamp"] = [row[1][0] for row in rows]
    if created:
        columns["created_timestamp"] = [row[1][1] for row in rows]
    for name in features:
        columns[name] = draw(st.lists(st.none() | VALUES[name][2], min_size=len(rows), max_size=len(rows)))
    return table(columns, draw(st.sampled_from([None, "UTC", "America/New_York"])))


@st.composite
def entity_frames(draw: st.DrawFn, keys: Sequence[str]) -> pd.DataFrame:
    """Rows in any order with repeats, their moments in some zone, each with its place."""
    row = st.tuples(st.tuples(*(key_values[key] for key in keys)), hours)
    rows = draw(st.lists(row, min_size=1, max_size=10))
    rows += draw(st.lists(st.sampled_from(rows), max_size=3))
    zone = draw(st.sampled_from([None, "UTC", "Asia/Kolkata", "America/New_York"]))
    moments = pd.Series([at(row[1]) for row in rows], dtype="datetime64[us, UTC]")
    columns = {key: [row[0][place] for row in rows] for place, key in enumerate(keys)}
    return pd.DataFrame(
        columns
        | {
            "event_timestamp": moments.dt.tz_localize(None) if zone is None else moments.dt.tz_convert(zone),
            "place": range(len(rows)),
        }
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), unwritten=st.booleans(), full=st.booleans())
def test_values_presence_and_duplicates_are_those_of_feasts_own_store(
    world: World, data: st.DataObject, unwritten: bool, full: bool
) -> None:
    views, names = [], iter(data.draw(st.permutations(list(VALUES))))
    for name in ("first", "second"):
        keys = data.draw(st.sampled_from([["user_id"], ["shop_id"], ["user_id", "shop_id"]]))
        features = [next(names) for _ in range(data.draw(st.integers(1, 2)))]
        rows = data.draw(view_rows(keys, features, created=data.draw(st.booleans())))
        ttl = data.draw(st.sampled_from([timedelta(0), timedelta(hours=1), timedelta(hours=7), timedelta(days=40)]))
        views.append(world.view(name, rows, keys, ttl))
    frame = data.draw(entity_frames(["user_id", "shop_id"]))
    ours = (
        (world if unwritten else seeing_all(world))
        .ask(OURS, views, frame.copy(), full=full, unwritten=unwritten)
        .to_arrow()
    )
    stock = world.ask("duckdb", views, frame.copy(), full=full, unwritten=unwritten).to_arrow().sort_by("place")
    assert ours.column_names == stock.column_names
    assert ours.to_pylist() == stock.to_pylist()
    assert ours["place"].to_pylist() == list(range(len(frame)))


def seeing_all(world: World) -> World:
    """The same store, with what the stock stores see by default."""
    return World.of(world.home, OURS, hide_unwritten=False)


def test_names_in_the_file_and_in_the_entity_rows_may_differ_from_the_views(world: World) -> None:
    rows = table({"user_id": ["u", "v"], "event_timestamp": [0, 0], "created_timestamp": [0, 0], "amount": [1, 2]})
    rows = rows.rename_columns(["who", "told", "written", "n"])
    mapping = {"who": "user_id", "told": "event_timestamp", "written": "created_timestamp", "n": "amount"}
    one = world.view("mapped", rows, ["user_id"], field_mapping=mapping)
    buyer = one.with_name("buyer").with_join_key_map({"user_id": "buyer_id"})
    seller = one.with_name("seller").with_join_key_map({"user_id": "seller_id"})
    frame = pd.DataFrame({"buyer_id": ["u", "v"], "seller_id": ["v", "w"], "event_timestamp": [at(1), at(1)]})
    ours, stock = (
        world.ask(kind, [buyer, seller], frame.copy(), full=True).to_arrow().sort_by("buyer_id").to_pylist()
        for kind in (OURS, "duckdb")
    )
    assert ours == stock
    assert [(row["buyer__amount"], row["seller__amount"]) for row in ours] == [(1, 2), (2, None)]


# ------------------------------------------------------------------ what was not yet written is not seen


def test_a_value_is_seen_from_the_moment_on_at_which_it_was_written(world: World) -> None:
    rows = table(
        {
            "user_id": ["u"] * 4,
            "event_timestamp": [0, 2, 2, 4],
            "created_timestamp": [1, 3, 9, 3],  # the third corrects the second, later; the fourth was early
            "amount": [10, 20, 21, 30],
        }
    )
    view = world.view("written", rows, ["user_id"])
    asked = [0, 1, 2, 3, 4, 9]
    frame = pd.DataFrame({"user_id": ["u"] * 6, "event_timestamp": [at(hour) for hour in asked]})
    assert world.ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [None, 10, 10, 20, 30, 30]
    seen = seeing_all(world).ask(OURS, [view], frame)
    assert seen.to_arrow()["amount"].to_pylist() == [10, 10, 21, 21, 30, 30]


def test_of_rows_of_one_moment_one_of_unknown_time_of_writing_is_the_oldest_and_is_hidden(world: World) -> None:
    rows = table({"user_id": ["u", "u", "v"], "event_timestamp": [0] * 3, "created_timestamp": [-9, None, None]})
    view = world.view("unknown", rows.append_column("amount", pa.array([1, 2, 3])), ["user_id"])
    frame = pd.DataFrame({"user_id": ["u", "v"], "event_timestamp": [at(1)] * 2})
    assert seeing_all(world).ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [1, 3]
    assert world.ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [1, None]


def test_names_of_columns_and_a_ttl_of_any_length_do_not_disturb_the_join(world: World) -> None:
    rows = table({"user_id": ["u", "u"], "shop_id": [1, 2], "event_timestamp": [0, 1], "amount": [1, 2]})
    mapping = {"key": "user_id", "place": "shop_id", "number": "amount"}
    rows = rows.rename_columns(["key", "place", "event_timestamp", "number"])
    view = world.view("named", rows, ["user_id", "shop_id"], timedelta.max, field_mapping=mapping)
    view = view.with_join_key_map({"user_id": "key", "shop_id": "place"})
    asked = pa.table({"key": ["u"], "place": [1], "visible": [3], "event_timestamp": pa.array([at(2)], TIMESTAMP)})
    assert world.ask(OURS, [view], asked).to_arrow()["amount"].to_pylist() == [1]


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(hours, hours), min_size=1, max_size=10, unique=True),
    asked=st.lists(hours, min_size=1, max_size=8),
    ttl=st.sampled_from([0, 5]),
)
def test_hidden_rows_are_those_of_a_plain_search(
    world: World, rows: list[tuple[int, int]], asked: list[int], ttl: int
) -> None:
    columns = {"event_timestamp": [row[0] for row in rows], "created_timestamp": [row[1] for row in rows]}
    written = table({"user_id": ["u"] * len(rows), **columns, "amount": range(len(rows))})
    view = world.view("searched", written, ["user_id"], timedelta(hours=ttl))
    frame = pd.DataFrame({"user_id": ["u"] * len(asked), "event_timestamp": [at(hour) for hour in asked]})

    def latest(hour: int) -> int | None:
        seen = [row for row in rows if max(row) <= hour and not (ttl and hour - row[0] > ttl)]
        return rows.index(max(seen)) if seen else None

    assert world.ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [latest(hour) for hour in asked]


def test_rows_that_are_all_computed_again_at_each_writing_are_seen_from_their_event_on(world: World) -> None:
    rows = table({"user_id": ["u"], "event_timestamp": [1], "created_timestamp": [900], "amount": [7]})
    view = world.view("recomputed", rows, ["user_id"], tags={"created_timestamp": "recomputed"})
    frame = pd.DataFrame({"user_id": ["u"], "event_timestamp": [at(2)]})
    assert world.ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [7]
    assert world.ask(OURS, [view], frame, unwritten=True).to_arrow()["amount"].to_pylist() == [None]


# ------------------------------------------------------------------ where stock stores are wrong


def test_stock_forgets_a_part_of_a_composite_key_that_is_not_renamed(world: World) -> None:
    rows = table({"user_id": ["u", "u"], "shop_id": [1, 2], "event_timestamp": [0, 1], "amount": [1, 2]})
    view = world.view("composite", rows, ["user_id", "shop_id"]).with_join_key_map({"user_id": "buyer_id"})
    frame = pd.DataFrame({"buyer_id": ["u"], "shop_id": [1], "event_timestamp": [at(2)]})
    assert world.ask(OURS, [view], frame.copy()).to_arrow()["amount"].to_pylist() == [1]
    assert world.ask("duckdb", [view], frame.copy()).to_arrow()["amount"].to_pylist() == [2]  # of another shop


def test_dask_drops_duplicates_and_rounds_large_integers(world: World) -> None:
    large = 2**53 + 1
    rows = table({"user_id": ["u"], "event_timestamp": [0], "created_timestamp": [0], "amount": [large]})
    view = world.view("large", rows, ["user_id"])
    frame = pd.DataFrame({"user_id": ["u", "v", "u"], "event_timestamp": [at(1)] * 3})
    assert world.ask(OURS, [view], frame.copy()).to_arrow()["amount"].to_pylist() == [large, None, large]
    dask = world.ask("dask", [view], frame.copy()).to_arrow()["amount"].to_pylist()
    assert sorted(one for one in dask if one is not None and not np.isnan(one)) == [2.0**53]


# ------------------------------------------------------------------ every kind of entity rows


@pytest.mark.parametrize("kind", ["pandas", "arrow", "path", "text of a path", "sql"])
def test_entity_rows_of_every_kind_are_answered_alike(world: World, tmp_path: Path, kind: str) -> None:
    rows = table({"user_id": ["u", "v"], "event_timestamp": [0, 5], "amount": [1, 2]})
    view = world.view("kinds", rows, ["user_id"])
    n = 5_000
    asked = pa.table(
        {
            "user_id": pa.array(["v", "u", "v", "w", "u"] * (n // 5)),
            "told_at": pa.array([at(6), at(1), at(6), at(9), at(-1)] * (n // 5), TIMESTAMP),
            "label": pa.array(range(n), pa.int32()),
        }
    )
    path = tmp_path / "asked rows.parquet" if kind == "path" else tmp_path / "asked.parquet"
    pq.write_table(asked, path)
    frames: dict[str, object] = {
        "pandas": asked.to_pandas(),
        "arrow": asked,
        "path": path,
        "text of a path": str(path),
        "sql": f"select * from read_parquet('{path}') order by label;",
    }
    answer = world.ask(OURS, [view], frames[kind]).to_arrow()
    assert answer.select(asked.column_names) == asked
    assert answer["amount"].to_pylist() == [2, 1, 2, None, None] * (n // 5)


@pytest.mark.parametrize(
    "moments",
    [
        ["2024-03-10 01:00:00", "2024-03-10T06:30:00+05:30"],
        [datetime(2024, 3, 10, 1), datetime(2024, 3, 10, 1)],
        [at(1).astimezone(ZoneInfo("America/New_York"))] * 2,
        np.array(["2024-03-10T01:00:00.000000999"] * 2, "datetime64[ns]"),
    ],
)
def test_moments_of_any_kind_are_microseconds_in_utc(world: World, moments: Sequence[object]) -> None:
    rows = table({"user_id": ["u", "u"], "event_timestamp": [1, 1 + 1e-9], "amount": [7, 8]}, None)
    view = world.view("zones", rows.slice(0, 1), ["user_id"])
    frame = pd.DataFrame({"user_id": ["u", "u"], "event_timestamp": moments})
    if isinstance(moments[0], str):
        frame["event_timestamp"] = pd.Series([pd.Timestamp(str(one)) for one in moments], dtype=object)
    answer = world.ask(OURS, [view], frame).to_arrow()
    assert answer["event_timestamp"].to_pylist() == [at(1)] * 2
    assert answer["amount"].to_pylist() == [7, 7]


def test_rows_without_key_or_moment_have_no_features_but_stay(world: World) -> None:
    rows = table({"user_id": ["u", None], "event_timestamp": [0, 0], "amount": [1, 2]})
    view = world.view("nulls", rows, ["user_id"])
    asked = pa.table({"user_id": ["u", None, "u"], "event_timestamp": pa.array([at(1), at(1), None], TIMESTAMP)})
    assert world.ask(OURS, [view], asked).to_arrow()["amount"].to_pylist() == [1, None, None]


def test_entity_rows_are_joined_in_parts_as_they_are_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = list(range(20))
    rows = table(
        {
            "user_id": ["u", "v", None, "w"] * 5,
            "event_timestamp": hours,
            "created_timestamp": [hour + hour % 3 for hour in hours],
            "amount": hours,
        }
    )
    view = world.view("parts", rows, ["user_id"], timedelta(hours=6))
    asked = pa.table(
        {
            "user_id": ["u", None, "w", "x", "v"] * 7,
            "event_timestamp": pa.array([None if hour == 9 else at(hour) for hour in range(35, 0, -1)], TIMESTAMP),
        }
    )
    at_once = world.ask(OURS, [view], asked).to_arrow()
    monkeypatch.setattr(view_join, "PART", 4)
    monkeypatch.setattr(view_join, "BATCH", 3)
    assert world.ask(OURS, [view], asked).to_arrow() == at_once
    assert at_once["amount"].null_count < len(asked)


def test_sources_that_feast_reads_into_memory_are_joined_alike(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table({"user_id": ["u", "v"], "event_timestamp": [0, 5], "amount": [1, 2]})
    views = [world.view(f"in_memory_{place}", rows, ["user_id"]) for place in range(4)]
    asked = pa.table({"user_id": ["v", "u", "v"], "event_timestamp": pa.array([at(6), at(1), at(2)], TIMESTAMP)})
    from_files = world.ask(OURS, views, asked, full=True).to_arrow()
    monkeypatch.setattr(view_join, "local_parquet", lambda *_: None)  # as of Delta tables or other machines' files
    assert world.ask(OURS, views, asked, full=True).to_arrow() == from_files
    assert from_files["in_memory_3__amount"].to_pylist() == [2, 1, None]


def test_no_rows_are_answered_with_no_rows(world: World) -> None:
    view = world.view("none", table({"user_id": ["u"], "event_timestamp": [0], "amount": [1]}), ["user_id"])
    asked = pa.table({"user_id": pa.array([], pa.string()), "event_timestamp": pa.array([], TIMESTAMP)})
    job = world.ask(OURS, [view], asked)
    assert job.to_arrow().schema.names == ["user_id", "event_timestamp", "amount"]
    assert len(job.to_arrow()) == 0


def test_a_view_without_entities_is_joined_by_time_alone(world: World) -> None:
    rows = table({"event_timestamp": [0, 5], "amount": [1, 2]})
    view = world.view("global", rows, [])
    frame = pa.table({"event_timestamp": pa.array([at(6), at(1), at(-1)], TIMESTAMP)})
    assert world.ask(OURS, [view], frame).to_arrow()["amount"].to_pylist() == [2, 1, None]


# ------------------------------------------------------------------ errors


def test_errors_say_what_is_wrong_with_the_request(world: World) -> None:
    view = world.view("errors", table({"user_id": ["u"], "event_timestamp": [0], "amount": [1]}), ["user_id"])
    moment = pa.array([at(1)], TIMESTAMP)
    for frame, message in [
        (pa.table({"event_timestamp": moment}), "entity rows lack user_id"),
        (pa.table({"user_id": ["u"], "one": moment, "two": moment}), "2 are timestamps; name"),
        (pa.table({"user_id": ["u"], "event_timestamp": moment, "amount": [1]}), "of the names of features: amount"),
        (pa.table({"user_id": ["u"], "event_timestamp": ["soon"]}), "event_timestamp of the entity rows is no moment"),
        ("select * from nowhere", "entity rows cannot be read"),
        (["u"], "entity rows are a list; accepted"),
    ]:
        with pytest.raises(StoreError, match=message):
            world.ask(OURS, [view], frame)
    with pytest.raises(StoreError, match="join of errors failed: Conversion"):
        world.ask(OURS, [view], pa.table({"user_id": [1.5], "event_timestamp": moment})).to_arrow()


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_rows_that_cannot_be_read_are_an_error_that_names_them(world: World, damage: str) -> None:
    view = world.view(damage, table({"user_id": ["u"], "event_timestamp": [0], "amount": [1]}), ["user_id"])
    path = world.home / f"{damage}.parquet"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])
    frame = pa.table({"user_id": ["u"], "event_timestamp": pa.array([at(1)], TIMESTAMP)})
    with pytest.raises(StoreError, match=f"{damage}.*"):
        world.ask(OURS, [view], frame).to_arrow()
