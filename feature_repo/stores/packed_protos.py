"""Between Feast's protobuf values and Arrow, for the callers that speak protobuf."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from feast.protos.feast.types import Value_pb2
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type

from feature_repo.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP, TIMESTAMP
from feature_repo.stores.packed_layout import Column, Layout
from feature_repo.stores.packed_rows import Rows

_MICROSECONDS: Final = 1_000_000  # protobuf values hold moments in whole seconds

# Feast's types of one value -> protobuf's name of its field, and the message that holds a list
_FIELDS: Final = {
    "BOOL": "bool_val",
    "INT32": "int32_val",
    "INT64": "int64_val",
    "FLOAT": "float_val",
    "DOUBLE": "double_val",
    "UNIX_TIMESTAMP": "unix_timestamp_val",
    "STRING": "string_val",
    "BYTES": "bytes_val",
}
_LISTS: Final = {
    "BOOL": Value_pb2.BoolList,
    "INT32": Value_pb2.Int32List,
    "INT64": Value_pb2.Int64List,
    "FLOAT": Value_pb2.FloatList,
    "DOUBLE": Value_pb2.DoubleList,
    "UNIX_TIMESTAMP": Value_pb2.Int64List,
    "STRING": Value_pb2.StringList,
    "BYTES": Value_pb2.BytesList,
}
_COLUMNAR: Final = {*_FIELDS.values(), *(field.replace("_val", "_list_val") for field in _FIELDS.values())}


def key_columns(layout: Layout, keys: Sequence[EntityKey]) -> dict[str, pa.Array]:
    """Columns of entity keys by name."""
    columns: dict[str, list[object]] = {name: [] for name, _ in layout.keys}
    for key in keys:
        for name, value in zip(key.join_keys, key.entity_values, strict=True):
            columns[name].append(getattr(value, value.WhichOneof("val")))
    return {name: pa.array(columns[name], kind) for name, kind in layout.keys}


def table_of(
    layout: Layout, data: Iterable[tuple[EntityKey, Mapping[str, Value], datetime, datetime | None]]
) -> pa.Table:
    """Rows that Feast writes, as `PackedOnlineStore.write_arrow` takes them; a feature that is not given is null."""
    keys, values, event, created = zip(*data, strict=True) if data else ((), (), (), ())
    columns = key_columns(layout, keys)
    for column in layout.columns:
        columns[column.name] = _column(column, [row.get(column.name) for row in values])
    columns[EVENT_TIMESTAMP] = pa.array([_utc(moment) for moment in event], TIMESTAMP)
    columns[CREATED_TIMESTAMP] = pa.array([_utc(moment) for moment in created], TIMESTAMP)
    return pa.table(columns)


def values_of(layout: Layout, rows: Rows, names: Sequence[str]) -> list[dict[str, Value]]:
    """One protobuf value a feature, for every row."""
    columns = [_values(layout.columns[layout.places[name]], rows.columns[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def array_of(kind: pa.DataType, values: Sequence[Value | None]) -> pa.Array:
    """Protobuf values of one type as an Arrow array of a type; null where none is set."""
    field = next((name for one in values if one and (name := one.WhichOneof("val")) != "null_val" and name), None)
    if field is None:
        return pa.nulls(len(values), kind)
    if field not in _COLUMNAR:
        return pa.array([None if one is None else feast_value_type_to_python_type(one) for one in values], kind)
    return _array(field, kind, values)


def _column(column: Column, values: Sequence[Value | None]) -> pa.Array:
    return _array(_field(column), column.type, values)


def _array(field: str, kind: pa.DataType, values: Sequence[Value | None]) -> pa.Array:
    given = [getattr(one, field) if one and one.WhichOneof("val") == field else None for one in values]
    if field.endswith("_list_val"):
        given = [None if one is None else list(one.val) for one in given]
    return _scaled(pa.array(given, _wire(kind)), kind, pc.multiply)


def _values(column: Column, values: pa.Array) -> list[Value]:
    field = _field(column)
    plain = _scaled(values, _wire(column.type), pc.divide).to_pylist()
    null = Value()
    if column.is_list:
        repeated = _LISTS[column.element_type]
        return [null if one is None else Value(**{field: repeated(val=one)}) for one in plain]
    return [null if one is None else Value(**{field: one}) for one in plain]


def _field(column: Column) -> str:
    """Protobuf's name of the value."""
    return _FIELDS[column.element_type].replace("_val", "_list_val" if column.is_list else "_val")


def _wire(kind: pa.DataType) -> pa.DataType:
    """A type as protobuf has it: moments are whole seconds since 1970."""
    if pa.types.is_list(kind):
        return pa.list_(_wire(kind.value_type))
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _scaled(values: pa.Array, kind: pa.DataType, scale: Callable[[pa.Array, int], pa.Array]) -> pa.Array:
    """Values in another type, moments multiplied or divided on the way."""
    if values.type == kind:
        return values
    if pa.types.is_list(kind):
        inner = _scaled(values.values, kind.value_type, scale)
        return pa.ListArray.from_arrays(values.offsets, inner, mask=values.is_null())
    return scale(values.cast(pa.int64()), _MICROSECONDS).cast(kind)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
