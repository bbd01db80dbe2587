"""Errors of `ranking`.

RankingError
├── UnknownEntityError   a user or item that no data names
├── GoneError            an answer that is no longer remembered, or whose release is no longer loaded
├── BadRequestError      a request whose values are out of range
│   └── RuleError        rules that are wrong, each fault with its place
├── ArtifactError        a file of a release that is missing, damaged or of another version
├── UnfitError           a release whose answers to golden requests are not fit to be served
├── NotReadyError        no release is loaded yet
├── EncoderError         weights that cannot be found or loaded
├── RecallError          an approximate index that misses too much of what exact search finds
├── TuningError          a tuning that cannot start, or not go on
└── UnreadableContentError   an item's text, picture, sound or video that cannot be encoded
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RankingError(Exception):
    """Root of all errors that `ranking` raises on purpose."""


class UnknownEntityError(RankingError):
    """A user or item that no data names."""


class GoneError(RankingError):
    """An answer that is no longer remembered, or whose release is no longer loaded."""


class BadRequestError(RankingError):
    """A request whose values are out of range."""


@dataclass(frozen=True)
class RuleFault:
    """Something in a rule that is wrong, or, as a warning, that will do nothing.

    rule: its number, from 0. line, column: from 1; the line is 1 for a rule that came alone.
    """

    rule: int
    line: int
    column: int
    what: str
    accepted: str = ""
    remedy: str = ""
    warning: bool = False

    @property
    def text(self) -> str:
        """In one line, without the place."""
        accepted = f"accepted {'are' if ',' in self.accepted else 'is'} {self.accepted}" if self.accepted else ""
        return "; ".join(part for part in (self.what, accepted, self.remedy) if part)


class RuleError(BadRequestError):
    """Rules that are wrong; `faults` has each fault with its place."""

    def __init__(self, faults: Sequence[RuleFault]) -> None:
        told = [f"rules[{one.rule}], column {one.column}: {one.text}" for one in faults]
        super().__init__("; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else ""))
        self.faults = tuple(faults)


class ArtifactError(RankingError):
    """A file of a release that is missing, damaged or of another version."""


class UnfitError(RankingError):
    """A release whose answers to golden requests are not fit to be served."""


class NotReadyError(RankingError):
    """No release is loaded yet."""


class EncoderError(RankingError):
    """Weights that cannot be found or loaded."""


class RecallError(RankingError):
    """An approximate index that misses too much of what exact search finds."""


class TuningError(RankingError):
    """A tuning that cannot start, or not go on: too little to learn from, no room on the disk."""


class UnreadableContentError(RankingError):
    """An item's text or file that cannot be encoded; `reason` is a snake_case code, the message says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
