"""What events may be."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from feature_repo import schema
from validation.expectations import FINITE, between, finite, not_null, one_of, rows, unique
from validation.suite import Suite, ids

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IDS: Final = (schema.EVENT_ID, schema.USER_ID, schema.ITEM_ID)
_NEVER_NULL: Final = (schema.KIND, schema.OCCURRED_AT, schema.WEIGHT, schema.POSITIVE)
_OPTIONAL: Final = (schema.VALUE, schema.POSITION, schema.PROPENSITY)


def suite(*, kinds: Collection[str], now: datetime) -> Suite:
    """Events of `schema.LABELLED_EVENTS`: at least one, each id once, of known kinds, between 1970 and `now`."""
    return Suite(
        "events",
        (*_IDS, *_NEVER_NULL, *_OPTIONAL),
        [
            rows(1),
            *ids(*_IDS),
            unique(schema.EVENT_ID),
            *map(not_null, _NEVER_NULL),
            one_of(schema.KIND, kinds),
            between(schema.OCCURRED_AT, EPOCH, now),
            between(schema.WEIGHT, 0, FINITE),
            finite(schema.VALUE),
            between(schema.POSITION, 0),
            between(schema.PROPENSITY, 0, 1, above_least=True),
        ],
    )
