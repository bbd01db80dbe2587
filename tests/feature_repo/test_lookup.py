"""Look-ups against what Feast itself answers on the same online store, in both forms."""

import io
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureView, Field
from feast.feature_server_utils import convert_response_to_dict
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    PrimitiveFeastType,
    String,
    UnixTimestamp,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.arrow_stream import as_stream
from feature_repo.asked import Asked
from feature_repo.entities import ITEM, USER
from feature_repo.errors import StoreError
from feature_repo.feast_json import as_json
from feature_repo.lookup import look_up
from feature_repo.schema import TIMESTAMP
from feature_repo.settings import Settings
from feature_repo.sources import rows_source
from feature_repo.store import Store
from feature_repo.stores.packed import as_of

NOW = datetime(2024, 3, 1, tzinfo=UTC)
TTL = timedelta(hours=2)
VALUES: dict[PrimitiveFeastType, st.SearchStrategy[object]] = {
    Bool: st.booleans(),
    Int32: st.integers(-(2**31), 2**31 - 1),
    Int64: st.integers(-(2**63), 2**63 - 1),
    Float32: st.floats(width=32),
    Float64: st.floats(),
    String: st.text(max_size=6),
    Bytes: st.binary(max_size=6),
    UnixTimestamp: st.integers(-(10**15), 4 * 10**15).map(
        lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, 0, us)
    ),
}
FIELDS = [Field(name=f"one_{kind}", dtype=kind) for kind in VALUES]
LISTS = [Field(name=f"all_{kind}", dtype=Array(kind)) for kind in VALUES]
VECTOR = Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=3, vector_search_metric="cosine")
MOMENTS = st.integers(0, 10**13).map(lambda us: NOW - timedelta(0, 0, us)) | st.sampled_from(
    [NOW - TTL, NOW - TTL - timedelta(microseconds=1), NOW - timedelta(milliseconds=20), NOW - timedelta(seconds=7)]
)
Asking = Mapping[str, Sequence[str | int]]
Write = Callable[[Store, str, Mapping[str, Sequence[object]], Sequence[datetime]], None]
Answered = dict[str, dict[str, list[object]]]


@pytest.fixture(scope="module")
def odd(store: Store) -> Store:
    """A store in whose registry there is a view of every type, and one of two keys."""
    keys = {"user_id": USER, "item_id": ITEM}

    def view(name: str, fields: list[Field], of: Sequence[str], ttl: timedelta) -> FeatureView:
        fields = [*(Field(name=key, dtype=String) for key in of), *fields]
        source = rows_source(store.settings, name)
        return FeatureView(name=name, entities=[keys[key] for key in of], schema=fields, source=source, ttl=ttl)

    views = [
        view("every", [*FIELDS, *LISTS, VECTOR], ["user_id"], timedelta(0)),
        view("fading", [Field(name="n", dtype=Int64)], ["user_id"], TTL),
        view("pair", [Field(name="n_of_pair", dtype=Int64)], ["user_id", "item_id"], TTL),
    ]
    store.feast.apply(views)
    return store


def ours(store: Store, entities: Asking, asked: Asked) -> Answered:
    body = json.loads(as_json(look_up(store, entities, asked, at=NOW)))
    return dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))


def feasts(store: Store, entities: Asking, asked: Asked) -> Answered:
    """What Feast answers as of NOW, a masked row under its own status."""
    features = store.feast.get_feature_service(asked.service) if asked.service else list(asked.features)
    with as_of(NOW):
        response = store.feast.get_online_features(features, entities, full_feature_names=asked.full_names)
    body = json.loads(json.dumps(convert_response_to_dict(response.proto), allow_nan=False))
    for result in body["results"]:
        for row, moment in enumerate(result["event_timestamps"]):
            if moment != "1970-01-01T00:00:00Z" and result["statuses"][row] == "NOT_FOUND":
                result["statuses"][row] = "OUTSIDE_MAX_AGE"
    return dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))


users = itertools.count()
every = st.fixed_dictionaries(
    {f"one_{kind}": st.none() | values for kind, values in VALUES.items()}
    | {f"all_{kind}": st.none() | st.lists(values, max_size=3) for kind, values in VALUES.items()}
    | {"vector": st.none() | st.lists(VALUES[Float32], min_size=3, max_size=3)}
)


@given(rows=st.lists(st.tuples(every, MOMENTS, MOMENTS), min_size=1, max_size=4), data=st.data(), full=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_value_status_and_moment_is_feasts(odd: Store, write_rows: Write, rows, data, full) -> None:
    known = [f"u{next(users)}" for _ in rows]
    values, written, faded = zip(*rows, strict=True)
    columns = {name: [one[name] for one in values] for name in values[0]}
    write_rows(odd, "every", {"user_id": known, **columns}, written)
    write_rows(odd, "fading", {"user_id": known, "n": range(len(known))}, faded)
    write_rows(odd, "pair", {"user_id": known, "item_id": ["i"] * len(known), "n_of_pair": range(len(known))}, faded)
    asked_ids = data.draw(st.lists(st.sampled_from([*known, "nobody", ""]), min_size=1, max_size=6))
    entities = {
        "user_id": asked_ids,
        "item_id": data.draw(st.lists(st.sampled_from(["i", "j"]), min_size=len(asked_ids), max_size=len(asked_ids))),
    }
    asked = Asked(features=(*(f"every:{name}" for name in columns), "fading:n", "pair:n_of_pair"), full_names=full)
    assert ours(odd, entities, asked) == feasts(odd, entities, asked)


def test_what_json_has_no_number_for_is_written_as_feast_does(odd: Store, write_rows: Write) -> None:
    ids = ["a", "b", "c", "d"]
    columns: dict[str, Sequence[object]] = {
        "one_Int64": [2**53 + 1, -(2**63), 2**63 - 1, None],
        "one_Float32": [0.1, 1e-45, math.nan, None],
        "one_Float64": [math.nan, math.inf, -math.inf, 1e22],
        "all_Float32": [[0.1], [math.nan, 1.0], [], None],
        "all_String": [["é", ""], [], None, ["\0"]],
        "one_Bytes": [b"\0\xff", b"", None, b"x"],
    }
    write_rows(odd, "every", {"user_id": ids, **columns}, [NOW] * 4)
    asked = Asked(features=tuple(f"every:{name}" for name in columns))
    found = ours(odd, {"user_id": ids}, asked)
    assert {name: result["values"] for name, result in found.items()} == {
        "user_id": ids,
        "one_Int64": [2**53 + 1, -(2**63), 2**63 - 1, None],
        "one_Float32": [0.10000000149011612, 1.401298464324817e-45, "NaN", None],
        "one_Float64": ["NaN", "Infinity", "-Infinity", 1e22],
        "all_Float32": [[0.10000000149011612], ["NaN", 1.0], [], None],
        "all_String": [["é", ""], [], None, ["\0"]],
        "one_Bytes": ["AP8=", "", None, "eA=="],
    }
    assert found == feasts(odd, {"user_id": ids}, asked)


def test_an_arrow_stream_holds_the_same_rows_in_their_own_types(odd: Store, write_rows: Write) -> None:
    moments = [NOW - timedelta(microseconds=1), NOW - 2 * TTL]
    write_rows(odd, "every", {"user_id": ["s", "t"], "vector": [[1, 2, 3], None], "one_Int64": [2**53 + 1, 4]}, moments)
    write_rows(odd, "fading", {"user_id": ["s", "t"], "n": [1, 2]}, moments)
    asked = Asked(features=("fading:n", "every:vector", "every:one_Int64"))
    body = as_stream(look_up(odd, {"user_id": ["t", "nobody", "s", "t"]}, asked, at=NOW))
    table = pa.ipc.open_stream(io.BytesIO(body)).read_all()
    assert table.schema.field("vector").type == pa.list_(pa.float32())
    assert table.to_pydict() == {
        "user_id": ["t", "nobody", "s", "t"],
        "n": [None, None, 1, None],
        "vector": [None, None, [1, 2, 3], None],
        "one_Int64": [4, None, 2**53 + 1, 4],
        "fading:status": ["OUTSIDE_MAX_AGE", "NOT_FOUND", "PRESENT", "OUTSIDE_MAX_AGE"],
        "fading:event_timestamp": [moments[1], None, moments[0], moments[1]],
        "every:status": ["PRESENT", "NOT_FOUND", "PRESENT", "PRESENT"],
        "every:event_timestamp": [moments[1], None, moments[0], moments[1]],
    }


def test_a_stock_store_answers_the_same(odd: Store, tmp_path: Path) -> None:
    stock = Store(Settings(home=tmp_path, online_store="sqlite"))
    stock.apply()
    vectors = pa.table(
        {"user_id": ["u", "v"], "event_timestamp": pa.array([NOW] * 2, TIMESTAMP), "user_vector": [[0.1] * 128, None]}
    )
    tastes = pa.table(
        {
            "user_id": ["u", "v"],
            "event_timestamp": pa.array([NOW, NOW - timedelta(days=800)], TIMESTAMP),
            "affinity_categories": [["x", "y"], ["x"]],
            "affinity_weights": pa.array([[0.1, 0.9], [1.0]], pa.list_(pa.float32())),
            "last_categories": [[], ["x"]],
        }
    )
    for store in (odd, stock):
        store.push("user_vectors", vectors.set_column(2, "user_vector", vectors[2].cast(pa.list_(pa.float32()))))
        store.push("user_item_affinity", tastes)
    entities = {"user_id": ["v", "nobody", "u"]}
    asked = Asked("retrieval_v1")
    assert ours(stock, entities, asked) == ours(odd, entities, asked)
    assert ours(stock, entities, asked)["affinity_weights"]["statuses"] == ["OUTSIDE_MAX_AGE", "NOT_FOUND", "PRESENT"]


def test_what_a_stock_row_lacks_is_a_present_null_unlike_from_feast(tmp_path: Path) -> None:
    stock = Store(Settings(home=tmp_path, online_store="sqlite"))
    fields = [Field(name="user_id", dtype=String), Field(name="old", dtype=Int64), Field(name="new", dtype=Int64)]
    for n in (2, 3):
        source = rows_source(stock.settings, "grown")
        view = FeatureView(name="grown", entities=[USER], schema=fields[:n], source=source, ttl=timedelta(0))
        stock.feast.apply([USER, view])
        if n == 2:
            row = {"user_id": ["u"], "old": [1], "event_timestamp": [NOW], "created_timestamp": [NOW]}
            stock.feast.write_to_online_store("grown", pd.DataFrame(row))
    asked = Asked(features=("grown:old", "grown:new"))
    found, by_feast = (answer(stock, {"user_id": ["u"]}, asked) for answer in (ours, feasts))
    assert found["old"] == by_feast["old"]
    assert found["new"].pop("statuses") == ["PRESENT"]
    assert by_feast["new"].pop("statuses") == ["OUTSIDE_MAX_AGE"]  # Feast's NOT_FOUND with a moment, see `feasts`
    assert found["new"] == by_feast["new"]


@pytest.mark.parametrize(
    ("features", "entities", "named"),
    [
        (("every:one_Int64", "every:one_Int64"), {"user_id": ["u"]}, "one_Int64 .* twice"),
        (("pair:n_of_pair",), {"user_id": ["u"]}, r"need \['item_id', 'user_id'\]"),
        (("every:none",), {"user_id": ["u"]}, "'every:none' is not registered"),
        (("request_context:context_hour",), {"requested_at": ["soon"]}, "requested_at holds a value that is no int64"),
        (("fading:n",), {"user_id": ["u"], "item_id": ["i", "j"]}, "equally many"),
    ],
)
def test_what_cannot_be_looked_up_is_named(odd: Store, features, entities, named) -> None:
    with pytest.raises(StoreError, match=named):
        look_up(odd, entities, Asked(features=features), at=NOW)


def test_features_of_the_request_alone_need_no_entity(odd: Store) -> None:
    asked = Asked(features=("request_context:context_weekday", "request_context:context_device"), full_names=True)
    found = ours(odd, {"device": ["tv", "phone"]}, asked)
    assert {name: one["values"] for name, one in found.items()} == {
        "request_context__context_weekday": [NOW.weekday()] * 2,
        "request_context__context_device": ["tv", "phone"],
    }
