"""What a catalogue may be."""

from dataclasses import dataclass
from functools import reduce
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from validation.expectations import one_of, rows, unique
from validation.suite import Suite, ids

_HAS_CATEGORIES: Final = "has_categories"
_HAS_CONTENT: Final = "has_content"
_CONTENT: Final = (schema.TITLE, schema.DESCRIPTION, schema.IMAGE, schema.AUDIO, schema.VIDEO)


@dataclass(frozen=True)
class Limits:
    """How poor a catalogue may be.

    content_share: least share of items with a title, description, image, sound or video; below it the encoders have too
    little to work on, and a column was probably lost.
    """

    content_share: float = 0.5


def suite(limits: Limits = Limits()) -> Suite:
    """Items of `schema.ITEMS`: at least one, each id once, a list of categories (be it empty), content for enough."""
    return Suite(
        "items",
        (schema.ITEM_ID, schema.CATEGORIES, *_CONTENT),
        [
            rows(1),
            *ids(schema.ITEM_ID),
            unique(schema.ITEM_ID),
            one_of(_HAS_CATEGORIES, [True]),
            one_of(_HAS_CONTENT, [True], share=limits.content_share),
        ],
        _measured,
    )


def _measured(items: pa.Table) -> pa.Table:
    has_content = [pc.fill_null(pc.not_equal(items[column], ""), False) for column in _CONTENT]
    return pa.table(
        {
            schema.ITEM_ID: items[schema.ITEM_ID],
            _HAS_CATEGORIES: pc.is_valid(items[schema.CATEGORIES]),
            _HAS_CONTENT: reduce(pc.or_, has_content),
        }
    )
