"""What a suite is: the columns it reads, what is measured of them, and what is expected of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from validation.expectations import Expectation, not_empty, not_null


def as_is(table: pa.Table) -> pa.Table:
    """The columns themselves."""
    return table


@dataclass(frozen=True)
class Suite:
    """The suite of one kind of table.

    columns: what the table must have; nothing else of it is read. measured: from a table of `columns`, the columns that
    the expectations speak of; no lists among them. notes: what could not be expected, and why.
    """

    name: str
    columns: tuple[str, ...]
    expectations: Sequence[Expectation]
    measured: Callable[[pa.Table], pa.Table] = as_is
    notes: tuple[str, ...] = ()


def ids(*columns: str) -> list[Expectation]:
    """Expect ids: strings that are there."""
    return [expect(column) for expect in (not_null, not_empty) for column in columns]
