"""The packed online store by Feast's own interface, against Feast's SQLite store as the oracle."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    PrimitiveFeastType,
    String,
    UnixTimestamp,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.errors import StoreError, StoreUnavailableError
from feature_repo.stores.packed import PackedOnlineStore, as_of
from feature_repo.stores.packed_layout import NEVER, layout_of

START = datetime(2024, 1, 1, tzinfo=UTC)
PACKED = "feature_repo.stores.packed.PackedOnlineStore"
SCALARS: dict[PrimitiveFeastType, st.SearchStrategy[object]] = {
    Bool: st.booleans(),
    Int32: st.integers(-(2**31), 2**31 - 1),
    Int64: st.integers(-(2**63), 2**63 - 1),
    Float32: st.floats(width=32, allow_nan=False),
    Float64: st.floats(allow_nan=False),
    String: st.text(max_size=8),
    Bytes: st.binary(max_size=8),
    UnixTimestamp: st.integers(0, 2**32).map(lambda s: datetime.fromtimestamp(s, UTC)),
}
KEYS = {
    "text": (("user_id", ValueType.STRING),),
    "number": (("user_id", ValueType.INT64),),
    "several": (("shop", ValueType.STRING), ("user_id", ValueType.INT32), ("area", ValueType.STRING)),
}
EVERY = [Field(name=f"{kind}", dtype=kind) for kind in SCALARS] + [
    Field(name=f"{kind}_list", dtype=Array(kind)) for kind in SCALARS
]
VECTOR = Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=3, vector_search_metric="cosine")

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


def config(home: Path, online_store: Mapping[str, object] | None = None) -> RepoConfig:
    return RepoConfig(
        project="packed",
        provider="local",
        registry=str(home / "registry.db"),
        online_store=online_store or {"type": PACKED, "path": str(home / "online")},
        entity_key_serialization_version=3,
        repo_path=home,
    )


def view_of(
    fields: Sequence[Field], key: str = "text", ttl: timedelta = timedelta(0), name: str = "view"
) -> FeatureView:
    entities = [Entity(name=one, join_keys=[one], value_type=kind) for one, kind in KEYS[key]]
    kinds = {ValueType.STRING: String, ValueType.INT64: Int64, ValueType.INT32: Int32}
    columns = [Field(name=one, dtype=kinds[kind]) for one, kind in KEYS[key]]
    source = FileSource(name="rows", path="rows.parquet", timestamp_field="event_timestamp")
    return FeatureView(name=name, entities=entities, schema=[*columns, *fields], source=source, ttl=ttl)


def key_of(key: str, place: int) -> EntityKey:
    """One of some entity keys, different in every column."""
    values = {
        ValueType.STRING: Value(string_val=["", "a", "ab", "ü" * 400, "ü" * 399 + "v", "b"][place]),
        ValueType.INT64: Value(int64_val=[0, -1, 1, 2**63 - 1, -(2**63), 256][place]),
        ValueType.INT32: Value(int32_val=place - 3),
    }
    return EntityKey(join_keys=[one for one, _ in KEYS[key]], entity_values=[values[kind] for _, kind in KEYS[key]])


def value(field: Field, plain: object) -> Value:
    if plain is None:
        return Value()
    return python_values_to_proto_values([plain], field.dtype.to_value_type())[0]


def fresh(home: Path, *views: FeatureView) -> tuple[PackedOnlineStore, RepoConfig]:
    store, settings = PackedOnlineStore(), config(home)
    store.update(settings, [], views, [], [], False)
    return store, settings


def texts(layout_values: Sequence[object]) -> dict[str, pa.Array]:
    return {"user_id": pa.array(layout_values, pa.string())}


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[Field], list[Row]]:
    """A view's kind of key and fields, and rows of it in the order of their moments."""
    key = draw(st.sampled_from(sorted(KEYS)))
    fields = draw(st.lists(st.sampled_from([*EVERY, VECTOR]), min_size=1, max_size=8, unique_by=lambda one: one.name))
    rows = []
    for hour in range(draw(st.integers(0, 8))):
        values = {}
        for field in fields:
            if isinstance(field.dtype, Array):
                size = {"min_size": 3, "max_size": 3} if field is VECTOR else {"max_size": 4}
                plain = draw(st.none() | st.lists(SCALARS[field.dtype.base_type], **size))
            else:
                plain = draw(st.none() | SCALARS[field.dtype])
            values[field.name] = value(field, plain)
        moment = START + timedelta(hours=hour, microseconds=draw(st.integers(0, 999_999)))
        rows.append((key_of(key, draw(st.integers(0, 5))), values, moment, draw(st.sampled_from([None, START]))))
    return key, fields, rows


@settings(max_examples=60)
@given(case=written(), cut=st.integers(0, 8))
def test_it_reads_what_feasts_sqlite_store_reads(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, list[Field], list[Row]], cut: int
) -> None:
    key, fields, rows = case
    home = tmp_path_factory.mktemp("oracle")
    view = view_of(fields, key)
    theirs, their_config = SqliteOnlineStore(), config(home, {"type": "sqlite", "path": str(home / "online.db")})
    ours, our_config = fresh(home, view)
    theirs.update(their_config, [], [view], [], [], False)
    for store, one in ((ours, our_config), (theirs, their_config)):
        for batch in (rows[:cut], rows[cut:]):
            store.online_write_batch(one, view, batch, None)
    asked = [key_of(key, place) for place in (5, 3, 0, 1, 3, 2, 4)]
    for names in (None, [field.name for field in fields][:2]):
        got = ours.online_read(our_config, view, asked, names)
        wanted = theirs.online_read(their_config, view, asked, names)
        for (moment, values), (their_moment, their_values) in zip(got, wanted, strict=True):
            assert moment == their_moment or (moment and moment.replace(microsecond=0) == their_moment)  # whole seconds
            if their_values is None:
                assert values is None
                continue
            assert values == {name: their_values[name] for name in values}
            assert values.keys() == set(names or their_values)
    ours.teardown(our_config, [view], [])
    theirs.teardown(their_config, [view], [])


def test_async_calls_do_what_the_others_do(tmp_path: Path) -> None:
    view = view_of([Field(name="n", dtype=Int64)])
    store, settings = fresh(tmp_path, view)
    assert store.async_supported.read and store.async_supported.write
    row = (key_of("text", 1), {"n": Value(int64_val=7)}, START, None)
    seen: list[int] = []
    asyncio.run(store.online_write_batch_async(settings, view, [row], seen.append))
    assert asyncio.run(store.online_read_async(settings, view, [row[0]], ["n"])) == [(START, row[1])]
    assert seen == [1]


@settings(max_examples=30)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=20),
    size=st.integers(1, 20),
)
def test_the_latest_row_stays_whatever_the_order_of_writing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int]], size: int
) -> None:
    view = view_of([Field(name="n", dtype=Int64)])
    store, settings = fresh(tmp_path_factory.mktemp("late"), view)
    best: dict[int, tuple[tuple[int, int], int]] = {}
    data = []
    for n, (who, hour, created) in enumerate(rows):
        if who not in best or (hour, created) >= best[who][0]:
            best[who] = ((hour, created), n)
        written_at = START + timedelta(hours=created) if created >= 0 else None
        data.append((key_of("text", who), {"n": Value(int64_val=n)}, START + timedelta(hours=hour), written_at))
    for start in range(0, len(data), size):
        store.online_write_batch(settings, view, data[start : start + size], None)
    read = store.online_read(settings, view, [key_of("text", who) for who in best], ["n"])
    assert [one[1]["n"].int64_val for one in read if one[1]] == [n for _, n in best.values()]
    store.teardown(settings, [view], [])


def test_what_arrow_holds_and_protobuf_does_not_is_kept(tmp_path: Path) -> None:
    """NaN beside null, int64 beyond 2^53, microseconds; Feast's own write makes NaN null and whole seconds."""
    view = view_of([Field(name="n", dtype=Int64), Field(name="x", dtype=Float32), Field(name="t", dtype=UnixTimestamp)])
    store, settings = fresh(tmp_path, view)
    moments = pa.array([START + timedelta(microseconds=1), None], pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "user_id": ["a", "b"],
            "n": [2**53 + 1, None],
            "x": pa.array([math.nan, None], pa.float32()),
            "t": moments,
            "event_timestamp": [START, START.replace(tzinfo=None).astimezone(UTC)],
        }
    )
    store.write_arrow(settings, view, rows)
    read = store.read_arrow(settings, view, texts(["b", "nobody", "a"]), ["n", "x", "t"])
    assert read.known.tolist() == [True, False, True]
    assert read.columns["n"].to_pylist() == [None, None, 2**53 + 1]
    assert read.columns["x"].is_null().to_pylist() == [True, True, False]
    assert math.isnan(read.columns["x"][2].as_py())
    assert read.columns["t"] == moments.take(pa.array([1, 1, 0]))
    assert read.event_us[1] == NEVER


def test_a_row_older_than_the_ttl_is_masked_and_its_moment_told(tmp_path: Path) -> None:
    view = view_of([Field(name="n", dtype=Int64)], ttl=timedelta(hours=2))
    store, settings = fresh(tmp_path, view)
    row = (key_of("text", 1), {"n": Value(int64_val=7)}, START, None)
    store.online_write_batch(settings, view, [row], None)
    assert store.online_read(settings, view, [row[0]], ["n"]) == [(START, {})]  # by the wall's clock
    for hours, values in ((2, row[1]), (2.001, {})):
        with as_of(START + timedelta(hours=hours)):
            assert store.online_read(settings, view, [row[0]], ["n"]) == [(START, values)]


def test_deleted_rows_and_views_are_gone(tmp_path: Path) -> None:
    kept, dropped = (view_of([Field(name="n", dtype=Int64)], name=name) for name in ("kept", "dropped"))
    store, settings = fresh(tmp_path, kept, dropped)
    keys = [key_of("text", place) for place in range(6)]
    data = [(key, {"n": Value(int64_val=1)}, START, None) for key in keys]
    for view in (kept, dropped):
        store.online_write_batch(settings, view, data, None)
    store.delete_rows(settings, kept, texts(["a", "nobody"]))
    store.update(settings, [dropped], [kept], [], [], False)
    assert [moment for moment, _ in store.online_read(settings, kept, keys)].count(None) == 1
    store.update(settings, [], [dropped], [], [], False)
    assert store.online_read(settings, dropped, keys) == [(None, None)] * 6
    store.teardown(settings, [kept, dropped], [])
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.online_read(settings, kept, keys)


def test_a_changed_view_reads_no_old_bytes_and_the_old_view_reads_on(tmp_path: Path) -> None:
    old = view_of([Field(name="n", dtype=Int64), Field(name="m", dtype=Int64)])
    new = view_of([Field(name="n", dtype=Float64), Field(name="m", dtype=Int64)])
    store, settings = fresh(tmp_path, old)
    key = key_of("text", 1)
    store.online_write_batch(settings, old, [(key, {"n": Value(int64_val=7)}, START, None)], None)
    store.update(settings, [], [new], [], [], False)
    assert store.online_read(settings, new, [key]) == [(None, None)]
    assert store.online_read(settings, old, [key], ["n"]) == [(START, {"n": Value(int64_val=7)})]
    store.online_write_batch(settings, new, [(key, {"n": Value(double_val=8)}, START, None)], None)
    store.update(settings, [], [new], [], [], False)  # the new one has rows: the former ones go
    assert store.online_read(settings, old, [key]) == [(None, None)]
    assert store.online_read(settings, new, [key], ["n"]) == [(START, {"n": Value(double_val=8)})]


def test_a_deleted_row_is_gone_from_former_layouts_too(tmp_path: Path) -> None:
    old, new = (view_of([Field(name="n", dtype=kind)]) for kind in (Int64, Float64))
    store, settings = fresh(tmp_path, old)
    keys = [key_of("text", place) for place in range(2)]
    for view in (old, new):
        store.update(settings, [], [view], [], [], False)
        value = Value(int64_val=7) if view is old else Value(double_val=7)
        store.online_write_batch(settings, view, [(key, {"n": value}, START, None) for key in keys], None)
    store.delete_rows(settings, new, texts([keys[0].entity_values[0].string_val]))
    for view in (old, new):
        assert [moment for moment, _ in store.online_read(settings, view, keys)] == [None, START]


def test_rows_that_do_not_fit_their_view_are_refused(tmp_path: Path) -> None:
    view = view_of([Field(name="n", dtype=Int64)])
    store, settings = fresh(tmp_path, view)
    rows = pa.table({"user_id": ["a"], "n": ["many"], "event_timestamp": pa.array([START])})
    for wrong in (rows, rows.drop_columns("n")):
        with pytest.raises(StoreError, match=r"rows of view .* do not fit it \(.*\); wanted: .*n int64"):
            store.write_arrow(settings, view, wrong)


def test_a_view_of_another_definition_is_another_view(tmp_path: Path) -> None:
    old, new = (view_of([Field(name="n", dtype=Int64)]) for _ in range(2))
    new.tags = {"definition": "select 2", "owner": "nobody"}
    store, settings = fresh(tmp_path, old)
    key = key_of("text", 1)
    store.online_write_batch(settings, old, [(key, {"n": Value(int64_val=7)}, START, None)], None)
    assert store.online_read(settings, new, [key]) == [(None, None)]
    old.tags = {"owner": "somebody"}
    assert store.online_read(settings, old, [key], ["n"]) == [(START, {"n": Value(int64_val=7)})]


def test_the_order_of_fields_changes_nothing(tmp_path: Path) -> None:
    fields = [Field(name="n", dtype=Int64), Field(name="s", dtype=String), VECTOR]
    one, other = (layout_of("p", view_of(order)) for order in (fields, fields[::-1]))
    assert one == other and one.digest == other.digest
    assert one.digest != layout_of("q", view_of(fields)).digest
    assert one.digest != layout_of("p", view_of(fields, "number")).digest


def test_keys_that_feast_tells_apart_are_told_apart(tmp_path: Path) -> None:
    view = view_of([Field(name="n", dtype=Int64)], "several")
    pairs = [("a", 1, "bc"), ("ab", 1, "c"), ("a", 1, "b"), ("", 1, "abc"), ("abc", 1, "")]
    keys = [
        EntityKey(
            join_keys=["shop", "user_id", "area"],
            entity_values=[Value(string_val=shop), Value(int32_val=user), Value(string_val=area)],
        )
        for shop, user, area in pairs
    ]
    assert len({serialize_entity_key(key, 3) for key in keys}) == len(keys)
    store, settings = fresh(tmp_path, view)
    data = [(key, {"n": Value(int64_val=n)}, START, None) for n, key in enumerate(keys)]
    store.online_write_batch(settings, view, data, None)
    read = store.online_read(settings, view, keys)
    assert [one["n"].int64_val for _, one in read if one] == list(range(len(keys)))


def test_what_cannot_be_held_is_named(tmp_path: Path) -> None:
    view = view_of([VECTOR, Field(name="tags", dtype=Array(String))])
    store, settings = fresh(tmp_path, view)

    def write(**changed: object) -> None:
        rows = {"user_id": ["a"], "event_timestamp": [START], "vector": [[1.0, 2.0, 3.0]], "tags": [["x"]], **changed}
        store.write_arrow(settings, view, pa.table(rows))

    write()
    with pytest.raises(StoreError, match=r"vectors of \[2\] numbers; wanted 3"):
        write(vector=[[1.0, 2.0]])
    with pytest.raises(StoreError, match="vector has lists with 1 nulls"):
        write(vector=[[1.0, None, 2.0]])
    with pytest.raises(StoreError, match="tags has lists with 1 nulls"):
        write(tags=[["x", None]])
    with pytest.raises(StoreError, match="1 rows of view view have no user_id"):
        write(user_id=pa.array([None], pa.string()))
    with pytest.raises(StoreError, match="1 of 1 rows have no event_timestamp"):
        write(event_timestamp=pa.array([None], pa.timestamp("us", "UTC")))
    with pytest.raises(StoreError, match="doc of view view is of Feast's type JSON"):
        layout_of("p", view_of([Field(name="doc", dtype=Json)]))


def test_a_large_write_is_read_back_whole(tmp_path: Path) -> None:
    view = view_of([Field(name="n", dtype=Int64), Field(name="tags", dtype=Array(String))])
    store, settings = fresh(tmp_path, view)
    rng = np.random.default_rng(0)
    n = 50_001
    ids = [str(one) for one in rng.permutation(n)]
    tags = [[f"t{i % 7}"] * (i % 4) for i in range(n)]
    moments = pa.array([START] * n, pa.timestamp("us", "UTC"))
    seen: list[int] = []
    rows = pa.table({"user_id": ids, "n": range(n), "tags": tags, "event_timestamp": moments})
    store.write_arrow(settings, view, rows, seen.append)
    assert sum(seen) == n
    read = store.read_arrow(settings, view, texts(ids), ["n", "tags"])
    assert read.columns["n"].to_pylist() == list(range(n))
    assert read.columns["tags"].to_pylist() == tags
