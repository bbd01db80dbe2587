"""Users, items and choices of a loaded release, for those who look around in it."""

import math
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from feature_repo import schema
from ranking.serving.answer import Loaded
from ranking.serving.listing_payloads import Category, ItemDetails, ListedItem, ListedUser, Sorting
from ranking.types import UNKNOWN

_LISTED: Final = (schema.ITEM_ID, schema.TITLE, schema.CATEGORIES, schema.CREATED_AT, schema.IMAGE, schema.AUDIO)
_NAMED: Final = (*_LISTED, schema.DESCRIPTION)


class Listings:
    """Lists of one loaded release. Each order and count is computed when it is first asked for, and kept."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._table = loaded.catalogue.table

    def users(self, prefix: str, limit: int) -> list[ListedUser]:
        """Users whose id begins so, the most active first, then by id."""
        best = self.loaded.histories.most_active(prefix, limit)
        return [ListedUser(user_id=user_id, events=events) for user_id, events in best]

    def search(self, text: str, limit: int, order: Sorting) -> list[ListedItem]:
        """Items whose title or id holds a text, whatever its case; those first whose title begins with it."""
        sought = text.casefold().strip()
        codes = self._orders[order]
        if sought:
            found = [code for code in codes if sought in self._folded[code]]
            codes = sorted(found, key=lambda code: not self._folded[code].startswith(sought))
        return [self._listed(code) for code in codes[:limit]]

    def items(self, item_ids: Sequence[str]) -> list[ListedItem]:
        """These items in their order; ids that the release does not know are left out."""
        codes = self.loaded.catalogue.index.codes(item_ids).tolist()
        return [self._listed(code) for code in codes if code != UNKNOWN]

    def details(self, item_id: str) -> ItemDetails:
        """All that is known of an item; UnknownEntityError where the release does not know it."""
        code = self.loaded.catalogue.code(item_id, release=self.loaded.release.id)
        others = [name for name in self._table.column_names if name not in _NAMED]
        return ItemDetails(
            **self._listed(code).model_dump(),
            description=self._table[schema.DESCRIPTION][code].as_py(),
            attributes={name: plain(self._table[name][code].as_py()) for name in others},
            modalities=list(self.loaded.neighbours.spaces_of(code)),
            release=self.loaded.release.id,
        )

    @cached_property
    def categories(self) -> list[Category]:
        """The most frequent first."""
        counted = pc.value_counts(pc.list_flatten(self._table[schema.CATEGORIES]).drop_null()).to_pylist()
        ordered = sorted(counted, key=lambda one: (-one["counts"], one["values"]))
        return [Category(name=one["values"], items=one["counts"]) for one in ordered]

    @cached_property
    def surroundings(self) -> dict[str, list[str]]:
        """The devices and the places of the events that the release was loaded with, in the order of the alphabet."""
        return {name: self.loaded.recorded.values(name) for name in (schema.DEVICE, schema.PLACE)}

    @cached_property
    def _orders(self) -> dict[Sorting, list[int]]:
        created = self._table[schema.CREATED_AT].cast(pa.int64()).fill_null(0).to_numpy()
        return {
            Sorting.POPULAR: np.lexsort([-created, -self._events]).tolist(),
            Sorting.NEWEST: np.argsort(-created, kind="stable").tolist(),
        }

    @cached_property
    def _events(self) -> npt.NDArray[np.int64]:
        return self.loaded.histories.events_by_item(len(self.loaded.catalogue.index))

    @cached_property
    def _folded(self) -> list[str]:
        """Title and id of each item, as texts are looked for in."""
        catalogue = self.loaded.catalogue
        pairs = zip(catalogue.titles, catalogue.index.ids, strict=True)
        return [f"{title or ''} {item_id}".casefold().strip() for title, item_id in pairs]

    def _listed(self, code: int) -> ListedItem:
        row = {name: self._table[name][code].as_py() for name in _LISTED}
        return ListedItem(
            item_id=row[schema.ITEM_ID],
            title=row[schema.TITLE],
            categories=[one for one in row[schema.CATEGORIES] if one is not None],
            created_at=row[schema.CREATED_AT],
            image=bool(row[schema.IMAGE]),
            audio=bool(row[schema.AUDIO]),
            events=int(self._events[code]),
        )


def plain(value: object) -> JsonValue:
    """A value of any column as JSON: times in ISO 8601, numbers that are none as null, what JSON lacks as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return str(value)
