"""Errors of `validation`.

ValidationError         a table that its suite does not accept
└── BrokenSuiteError    an expectation that could not be evaluated: the fault lies in the suite, not (yet) in the data
"""

from collections.abc import Sequence


class ValidationError(Exception):
    """A table that its suite does not accept; `lines` say each failure."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class BrokenSuiteError(ValidationError):
    """An expectation that could not be evaluated: the fault lies in the suite, not (yet) in the data."""
