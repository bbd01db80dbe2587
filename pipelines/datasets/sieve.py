"""Which rows of a table are turned away, and the line that says why."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.rejected import EXAMPLES, Rejected

SOURCE: Final = "__source"  # column that says where a row stands, `events.csv row 12`; gone once the rows are checked
SHOWN: Final = 80  # characters of a bad value that a message repeats


@dataclass(frozen=True)
class Sieve:
    """Turns away the bad rows of one table, each counted under its reason and the first ones named in full.

    table: name in the counts. key: the column that names a row; where it is absent, the row's place in its file does.
    """

    table: str
    key: str
    rejected: Rejected

    def reject(self, rows: pa.Table, bad: pa.ChunkedArray, reason: str, *, column: str, remedy: str) -> pa.Table:
        """The rows that are not bad; the others are counted."""
        return self.reject_values(rows, bad, reason, column=column, values=rows[column], remedy=remedy)

    def reject_values(
        self, rows: pa.Table, bad: pa.ChunkedArray, reason: str, *, column: str, values: pa.ChunkedArray, remedy: str
    ) -> pa.Table:
        """The same, for values of `column` that do not stand in `rows` (any more)."""
        if not pc.any(bad).as_py():
            return rows
        self.count(rows, bad, reason, column=column, values=values, remedy=remedy)
        return rows.filter(pc.invert(pc.fill_null(bad, False)))

    def count(
        self, rows: pa.Table, bad: pa.ChunkedArray, reason: str, *, column: str, values: pa.ChunkedArray, remedy: str
    ) -> None:
        """Count the bad rows and leave them in."""
        where = np.flatnonzero(pc.fill_null(bad, False).to_numpy(zero_copy_only=False))
        for row in where[:EXAMPLES].tolist():
            place = rows[SOURCE][row].as_py()
            name = rows[self.key][row].as_py() if self.key in rows.column_names else None
            self.add(reason, row=name, place=place, column=column, value=values[row].as_py(), remedy=remedy)
        if len(where) > EXAMPLES:
            self.rejected.counts[self.table, reason] += len(where) - EXAMPLES

    def add(self, reason: str, *, row: object, place: str, column: str, value: object, remedy: str) -> None:
        """Count one row, named `row`, or by its place in the file if that is None."""
        shown = "is missing" if value is None else repr(value)[:SHOWN]
        detail = f"{column} {shown}: {remedy} ({place})"
        named = str(row) if str(row).isprintable() else repr(row)  # a line break in an id would break the message
        self.rejected.add(self.table, reason, row=place if row is None else named, detail=detail)
