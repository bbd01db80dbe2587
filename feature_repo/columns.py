"""Columns of which many rows share a value: of one user, or of one request."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Places: TypeAlias = npt.NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Column:
    """Values, and the place among them of each of the n rows; None where every row has its own, in order."""

    values: pa.Array
    place: Places | None = None

    def __len__(self) -> int:
        return len(self.values if self.place is None else self.place)

    def __getitem__(self, row: int) -> pa.Scalar:
        return self.values[row if self.place is None else int(self.place[row])]

    def plain(self) -> pa.Array:
        """The value of each row."""
        if self.place is None:
            return self.values
        if len(self.values) == 1:
            return pa.repeat(self.values[0], len(self.place))
        return self.values.take(pa.array(self.place))

    def numbers(self) -> npt.NDArray[np.int64]:
        """The number of each row, 0 for null; of a column of int64."""
        first = self.values.offset
        given = np.frombuffer(self.values.buffers()[1], np.int64)[first : first + len(self.values)]
        return self.of_rows(np.where(self._null, 0, given) if self.values.null_count else given)

    def nulls(self) -> npt.NDArray[np.bool_]:
        """Whether each row is null."""
        return self.of_rows(self._null)

    @cached_property
    def _null(self) -> npt.NDArray[np.bool_]:
        return nulls(self.values)

    def of_rows(self, of_values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """For each row what there is for its value."""
        return of_values if self.place is None else of_values.take(self.place)


def nulls(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each value is null, bool [n]."""
    valid = values.buffers()[0]
    if valid is None or not values.null_count:
        return np.full(len(values), values.null_count > 0)  # all are where the type is that of nulls
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), count=values.offset + len(values), bitorder="little")
    return np.asarray(bits[values.offset :] == 0)


Columns: TypeAlias = Mapping[str, Column]  # of equally many rows


def columns_of(rows: pa.Table) -> dict[str, Column]:
    """A table's columns, each row with its own values."""
    return {
        name: Column(_one_chunk(column)) for name, column in zip(rows.column_names, rows.itercolumns(), strict=True)
    }


def distinct(column: pa.ChunkedArray) -> Column:
    """A column as its distinct values in the order in which they come first, null as the last of them."""
    chunks = pc.dictionary_encode(column).unify_dictionaries().chunks
    if not chunks:
        return Column(pa.array([], column.type))
    values = chunks[0].dictionary
    place = np.concatenate([one.indices.fill_null(len(values)).to_numpy() for one in chunks]).astype(np.int64)
    return Column(pa.concat_arrays([values, pa.nulls(int(column.null_count > 0), values.type)]), place)


def table_of(columns: Columns) -> pa.Table:
    """Columns with the value of each row."""
    return pa.table({name: column.plain() for name, column in columns.items()})


def typed(columns: Columns, schema: pa.Schema) -> dict[str, Column]:
    """Those that a schema names, in its types."""
    found = {}
    for name, kind in zip(schema.names, schema.types, strict=True):
        column = columns[name]
        found[name] = column if column.values.type == kind else Column(column.values.cast(kind), column.place)
    return found


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    one = column.combine_chunks()
    return one if isinstance(one, pa.Array) else pa.concat_arrays(one.chunks)
