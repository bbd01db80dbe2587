"""Moments as numbers."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, as Arrow's timestamps hold them; moments before it are negative.

    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The moment that is so many microseconds after the beginning of 1970, in UTC."""
    return EPOCH + microseconds * _MICROSECOND
