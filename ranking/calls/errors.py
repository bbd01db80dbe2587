"""What a client raises: see `ranking.client`."""

from collections.abc import Sequence

from ranking.serving.faults import Fault


class TrichordError(Exception):
    """Root of all errors of a client."""


class UnreachableError(TrichordError):
    """No answer: no connection, or not in time."""


class ProblemError(TrichordError):
    """An answer that is a problem. faults: what is wrong, field by field; retry_after_s: when to ask again."""

    def __init__(self, status: int, detail: str, faults: Sequence[Fault], retry_after_s: float | None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail, self.faults, self.retry_after_s = status, detail, tuple(faults), retry_after_s


class RefusedError(ProblemError):
    """The request cannot be honoured as it is."""


class ForbiddenError(ProblemError):
    """No API key, or one that has not the scope."""


class TooManyError(ProblemError):
    """Ask less often."""


class UnavailableError(ProblemError):
    """The server cannot answer now."""
