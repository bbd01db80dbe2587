"""Errors of `ranking`.

RankingError
├── UnknownEntityError   a user or item that no data names
├── BadRequestError      a request whose values are out of range
├── ArtifactError        a file of a release that is missing, damaged or of another version
└── EncoderError         weights that cannot be found or loaded
"""


class RankingError(Exception):
    """Root of all errors that `ranking` raises on purpose."""


class UnknownEntityError(RankingError):
    """A user or item that no data names."""


class BadRequestError(RankingError):
    """A request whose values are out of range."""


class ArtifactError(RankingError):
    """A file of a release that is missing, damaged or of another version."""


class EncoderError(RankingError):
    """Weights that cannot be found or loaded."""
