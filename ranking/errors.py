"""Errors of `ranking`.

RankingError
├── UnknownEntityError   a user or item that no data names
├── BadRequestError      a request whose values are out of range
├── ArtifactError        a file of a release that is missing, damaged or of another version
├── NotReadyError        no release is loaded yet
├── EncoderError         weights that cannot be found or loaded
├── RecallError          an approximate index that misses too much of what exact search finds
├── TuningError          a tuning that cannot start, or not go on
└── UnreadableContentError   an item's text, picture, sound or video that cannot be encoded
"""


class RankingError(Exception):
    """Root of all errors that `ranking` raises on purpose."""


class UnknownEntityError(RankingError):
    """A user or item that no data names."""


class BadRequestError(RankingError):
    """A request whose values are out of range."""


class ArtifactError(RankingError):
    """A file of a release that is missing, damaged or of another version."""


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
