"""Answers of a look-up as the JSON of a Feast server.

Values are those of protobuf's JSON, as Feast gives them: a float32 in the digits of its double, NaN and infinities as
texts, bytes in base64, a moment in whole seconds since 1970. `feast.feature_server_utils.convert_response_to_dict` is
the same for one protobuf value at a time.
"""

import base64
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.lookup import STATUSES, Part
from feature_repo.schema import TIMESTAMP
from feature_repo.stores.packed_layout import NEVER

Value: TypeAlias = bool | int | float | str | list[object] | None
Plain: TypeAlias = "list[object] | npt.NDArray[np.generic]"

_ODD: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NAMES: Final = np.array(STATUSES)
_UNITS: Final = (("s", 1_000_000), ("ms", 1_000), ("us", 1))  # a moment's fraction has as many digits as it needs


def as_json(answer: Sequence[Part]) -> bytes:
    """The body of Feast's answer."""
    names: list[str] = []
    results: list[dict[str, object]] = []
    for part in answer:
        names += part.columns
        statuses = orjson.Fragment(orjson.dumps(_NAMES[part.statuses].tolist()))
        moments = orjson.Fragment(orjson.dumps(_moments(part.event_us)))
        results += [
            {"values": _plain(column), "statuses": statuses, "event_timestamps": moments}
            for column in part.columns.values()
        ]
    body = {"results": results, "metadata": {"feature_names": names}}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def first_values(answer: Sequence[Part]) -> dict[str, Value]:
    """The values of the first row by name, as `as_json` writes them."""
    written = orjson.loads(as_json(answer))
    values = (result["values"][0] for result in written["results"])
    return dict(zip(written["metadata"]["feature_names"], values, strict=True))


def _moments(event_us: npt.NDArray[np.int64]) -> list[str]:
    """ISO 8601, of no moment 1970."""
    known_us = np.where(event_us == NEVER, 0, event_us)
    texts = np.empty(len(known_us), "U32")
    left = np.ones(len(known_us), bool)
    for unit, size in _UNITS:
        these = left & (known_us % size == 0)
        texts[these] = np.datetime_as_string((known_us[these] // size).astype(f"M8[{unit}]"), timezone="UTC")
        left &= ~these
    named: list[str] = texts.tolist()
    return named


def _plain(column: pa.Array) -> Plain:
    """Values that orjson writes as Feast does."""
    kind = column.type
    if pa.types.is_list(kind):
        return _lists(column)
    if pa.types.is_binary(kind):
        return [None if one is None else base64.b64encode(one).decode() for one in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        return _plain(pc.divide(column.cast(TIMESTAMP).cast(pa.int64()), 1_000_000))
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(column)
    values: list[object] = column.to_pylist()
    return values


def _numbers(column: pa.Array) -> Plain:
    whole = column.fill_null(False if pa.types.is_boolean(column.type) else 0) if column.null_count else column
    numbers: npt.NDArray[np.generic] = whole.to_numpy(zero_copy_only=False)
    odd: dict[int, str | None] = {}
    if pa.types.is_floating(column.type):
        numbers = numbers.astype(np.float64)
        odd |= {place: _ODD[str(numbers[place])] for place in np.flatnonzero(~np.isfinite(numbers)).tolist()}
    if column.null_count:
        odd |= dict.fromkeys(np.flatnonzero(column.is_null()).tolist())
    if not odd:
        return numbers
    values: list[object] = numbers.tolist()
    for place, value in odd.items():
        values[place] = value
    return values


def _lists(column: pa.Array) -> Plain:
    """One list a row; where all are numbers and of one length, the rows of a matrix."""
    inner = _plain(column.flatten())
    lengths = column.value_lengths().fill_null(0).to_numpy()
    if isinstance(inner, np.ndarray) and not column.null_count and len(column) and (lengths == lengths[0]).all():
        matrix: npt.NDArray[np.generic] = inner.reshape(len(column), lengths[0])
        return matrix
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    null = column.is_null().to_pylist()
    return [None if no else inner[start:end] for no, start, end in zip(null, starts, ends, strict=True)]
