"""The vocabulary of our suites: each word is one expectation of Great Expectations, named without importing it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

FINITE: Final = 3.4028234663852886e38  # the largest float32: what lies beyond is infinite


@dataclass(frozen=True)
class Expectation:
    """Great Expectations' name of an expectation, and its arguments.

    remedy: what to do where it is not met. of_table: its column holds one number, about the table as a whole, in the
    first row, and null below (also there, if it could not be judged).
    """

    type: str
    arguments: Mapping[str, object]
    remedy: str = ""
    of_table: bool = False

    def or_else(self, remedy: str) -> "Expectation":
        """The same with a remedy."""
        return replace(self, remedy=remedy)


def rows(least: int) -> Expectation:
    """The table has at least so many rows."""
    return Expectation("expect_table_row_count_to_be_between", {"min_value": least})


def not_null(column: str) -> Expectation:
    """No value is null (nor NaN)."""
    return Expectation("expect_column_values_to_not_be_null", {"column": column})


def not_empty(column: str) -> Expectation:
    """No value is the empty string."""
    return Expectation("expect_column_values_to_not_be_in_set", {"column": column, "value_set": [""]})


def unique(*columns: str) -> Expectation:
    """No value, or combination of values, stands twice."""
    if len(columns) == 1:
        return Expectation("expect_column_values_to_be_unique", {"column": columns[0]})
    arguments = {"column_list": list(columns), "ignore_row_if": "never"}
    return Expectation("expect_compound_columns_to_be_unique", arguments)


def one_of(column: str, accepted: Collection[str | int | bool], *, share: float = 1.0) -> Expectation:
    """At least that share of the values that are not null are among the accepted."""
    arguments = {"column": column, "value_set": sorted(accepted), "mostly": share}
    return Expectation("expect_column_values_to_be_in_set", arguments)


def between(
    column: str,
    least: float | datetime | None = None,
    most: float | datetime | None = None,
    *,
    above_least: bool = False,
) -> Expectation:
    """Values that are not null lie between two bounds, themselves accepted (`above_least`: all but the lower one)."""
    arguments = {"column": column, "min_value": least, "max_value": most, "strict_min": above_least}
    return Expectation("expect_column_values_to_be_between", arguments)


def of_table(column: str, least: float | None = None, most: float | None = None) -> Expectation:
    """The one number that a column holds about the table as a whole, if it holds one, lies between two bounds."""
    return replace(between(column, least, most), of_table=True)


def finite(column: str) -> Expectation:
    """Values that are not null are finite."""
    return between(column, -FINITE, FINITE)


def at_least(larger: str, smaller: str, *, nulls: bool = False) -> Expectation:
    """In each row one column reaches the other; rows where either is null are passed over if `nulls`, else fail."""
    return _greater(larger, smaller, or_equal=True, nulls=nulls)


def above(larger: str, smaller: str, *, nulls: bool = False) -> Expectation:
    """In each row one column is larger than the other; rows where either is null are passed over if `nulls`."""
    return _greater(larger, smaller, or_equal=False, nulls=nulls)


def equal(one: str, other: str) -> Expectation:
    """In each row two columns are equal, and not null."""
    arguments = {"column_A": one, "column_B": other, "ignore_row_if": "neither"}
    return Expectation("expect_column_pair_values_to_be_equal", arguments)


def _greater(larger: str, smaller: str, *, or_equal: bool, nulls: bool) -> Expectation:
    return Expectation(
        "expect_column_pair_values_a_to_be_greater_than_b",
        {
            "column_A": larger,
            "column_B": smaller,
            "or_equal": or_equal,
            "ignore_row_if": "either_value_is_missing" if nulls else "neither",
        },
    )
