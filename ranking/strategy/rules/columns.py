"""The items' columns as rules see them: five kinds, and which items have which value."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from feature_repo import schema
from ranking.types import Bools, IdIndex, Times

NO_TIME: Final = np.iinfo(np.int64).min  # of an item without one

Label: TypeAlias = str | float | bool
Numbers: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = npt.NDArray[np.int64]


class Kind(StrEnum):
    """What a column holds, in a merchandiser's words."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "true or false"
    TIME = "time"
    LIST = "list of texts"


@dataclass(frozen=True)
class ItemColumn:
    """A column of n items in a kind that rules know; everything else about it is computed when first asked for."""

    name: str
    kind: Kind
    array: pa.Array

    @cached_property
    def missing(self) -> Bools:
        """Which items have no value, bool [n]; an empty list and a NaN are none."""
        if self.kind is Kind.LIST:
            return np.asarray(pc.equal(pc.fill_null(pc.list_value_length(self.array), 0), 0))
        if self.kind is Kind.NUMBER:
            return np.isnan(self.numbers)
        return np.asarray(self.array.is_null())

    @cached_property
    def numbers(self) -> Numbers:
        """float64 [n], NaN where missing."""
        return np.asarray(self.array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)

    @cached_property
    def times(self) -> Times:
        """Microseconds UTC, int64 [n], `NO_TIME` where missing."""
        return np.asarray(pc.fill_null(self.array.cast(schema.TIMESTAMP, safe=False).cast(pa.int64()), NO_TIME))

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The values that items have; a value's code is its place here. Not of times."""
        return tuple(self._pairs[0])

    def code(self, label: Label) -> int | None:
        """A value's code, None where no item has it."""
        return self._codes.get(label)

    def having(self, code: int) -> Rows:
        """The items with the value of a code, ascending."""
        _, starts, items, _, _ = self._sorted
        return items[starts[code] : starts[code + 1]]

    def values_of(self, item: int) -> Rows:
        """Codes of the values that an item has; none or one but for lists."""
        *_, starts, codes = self._sorted
        return codes[starts[item] : starts[item + 1]]

    def mask(self, labels: Sequence[Label]) -> Bools:
        """Which items have one of the values, bool [n]."""
        found = np.zeros(len(self.array), bool)
        for code in map(self.code, labels):
            if code is not None:
                found[self.having(code)] = True
        return found

    def containing(self, text: str) -> Bools:
        """Which items' text holds another, in whatever case, bool [n]."""
        return np.asarray(pc.fill_null(pc.match_substring(self.array, text, ignore_case=True), False))

    @cached_property
    def _codes(self) -> dict[Label, int]:
        return {label: code for code, label in enumerate(self.labels)}

    @cached_property
    def _pairs(self) -> tuple[list[Label], Rows, Rows]:
        """Labels, and every (item, code of a value of it)."""
        if self.kind is Kind.LIST:
            values, items = pc.list_flatten(self.array), np.asarray(pc.list_parent_indices(self.array), np.int64)
        else:
            values, items = self.array, np.arange(len(self.array))
            if self.kind is Kind.NUMBER:
                values = pa.array(self.numbers, from_pandas=True)  # so that 3 and 3.0 are one value, and NaN none
        encoded = values.dictionary_encode()
        there = np.asarray(values.is_valid())
        return encoded.dictionary.to_pylist(), items[there], np.asarray(encoded.indices.filter(values.is_valid()))

    @cached_property
    def _sorted(self) -> tuple[int, Rows, Rows, Rows, Rows]:
        """How many labels; where each label's items start, and they; where each item's codes start, and they."""
        labels, items, codes = self._pairs
        n = len(self.array)
        items, codes = np.unique(np.stack([items, codes.astype(np.int64)], axis=1), axis=0).T
        by_code = np.argsort(codes, kind="stable")
        label_starts = np.searchsorted(codes[by_code], np.arange(len(labels) + 1))
        return len(labels), label_starts, items[by_code], np.searchsorted(items, np.arange(n + 1)), codes


class Columns:
    """The columns of a release's items that rules may name, rows in the order of the item codes."""

    def __init__(self, table: pa.Table) -> None:
        self.items = IdIndex(tuple(table[schema.ITEM_ID].to_pylist()))
        known = {name: _kind(table.schema.field(name).type) for name in table.column_names}
        self._kinds = {name: kind for name, kind in known.items() if kind is not None}
        self._table = table.select(list(self._kinds))
        self._built: dict[str, ItemColumn] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, name: str) -> bool:
        return name in self._kinds

    @property
    def names(self) -> list[str]:
        """Of the columns that rules may name."""
        return list(self._kinds)

    def __getitem__(self, name: str) -> ItemColumn:
        if name not in self._built:
            kind = self._kinds[name]
            self._built[name] = ItemColumn(name, kind, _plain(self._table[name], kind))
        return self._built[name]


def _kind(kind: pa.DataType) -> Kind | None:
    """None for what rules cannot use: vectors, structs, bytes."""
    if pt.is_dictionary(kind):
        return _kind(kind.value_type)
    if pt.is_string(kind) or pt.is_large_string(kind):
        return Kind.TEXT
    if pt.is_boolean(kind):
        return Kind.TRUTH
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return Kind.NUMBER
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return Kind.TIME
    if pt.is_list(kind) or pt.is_large_list(kind):
        return Kind.LIST if _kind(kind.value_type) is Kind.TEXT else None
    return None


def _plain(column: pa.ChunkedArray, kind: Kind) -> pa.Array:
    """One array without dictionaries, of one type a kind."""
    if kind is Kind.TEXT:
        column = column.cast(pa.string())
    if kind is Kind.LIST:
        column = column.cast(pa.list_(pa.string()))
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
