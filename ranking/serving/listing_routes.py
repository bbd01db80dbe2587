"""Routes for looking around: users, items, and what requests and events may name."""

import threading
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.exceptions import HTTPException

from feature_repo import schema
from ranking.errors import UnknownEntityError
from ranking.serving.engine import Engine
from ranking.serving.listing_payloads import (
    Choices,
    ChoosableKind,
    ItemDetails,
    ListedItems,
    ListedRelease,
    ListedUsers,
    Sorting,
)
from ranking.serving.listings import Listings
from ranking.serving.paths import PathId
from ranking.serving.payloads import MAX_K, Id
from ranking.serving.problems import Problem

Limit = Annotated[int, Query(ge=1, le=MAX_K)]
Sought = Annotated[str, Query(max_length=256)]


def listing_routes(engine: Engine) -> APIRouter:
    """Reads of what the engine holds in memory."""
    router = APIRouter(tags=["listings"])
    kept = _Kept(engine)

    @router.get("/v1/users", summary="Users, the most active first")
    def users(prefix: Sought = "", limit: Limit = 20) -> ListedUsers:
        """prefix: how their id begins; empty for all."""
        return ListedUsers(users=kept.current().users(prefix, limit))

    @router.get("/v1/items", summary="Items by title, by id, or all of them")
    def items(
        search: Sought = "",
        limit: Limit = 20,
        order: Sorting = Sorting.POPULAR,
        id: Annotated[list[Id] | None, Query(max_length=MAX_K)] = None,
    ) -> ListedItems:
        """search: what the title or id holds, whatever its case. id, repeated: these items instead, in this order."""
        listings = kept.current()
        return ListedItems(items=listings.search(search, limit, order) if id is None else listings.items(id))

    @router.get("/v1/items/{item_id}", summary="All that is known of an item", responses={404: {"model": Problem}})
    def item(item_id: PathId) -> ItemDetails:
        """Of the release that answers."""
        try:
            return kept.current().details(item_id)
        except UnknownEntityError as error:
            raise HTTPException(404, str(error)) from error

    @router.get("/v1/choices", summary="What requests and events may name")
    def choices() -> Choices:
        """Of the release that answers, and the releases that it may be compared with."""
        return _choices(engine, kept.current())

    return router


class _Kept:
    """The listings of the release that answers, made anew when another one does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._making = threading.Lock()
        self._listings: Listings | None = None

    def current(self) -> Listings:
        """Raises NotReadyError while no release answers."""
        loaded = self._engine.follow()
        with self._making:
            if self._listings is None or self._listings.loaded is not loaded:
                self._listings = Listings(loaded)
            return self._listings


def _choices(engine: Engine, listings: Listings) -> Choices:
    loaded, around = listings.loaded, listings.surroundings
    return Choices(
        release=loaded.release.id,
        dataset=loaded.release.manifest.dataset_name,
        now=engine.now(),
        devices=around[schema.DEVICE],
        places=around[schema.PLACE],
        kinds=[
            ChoosableKind(name=one.name, weight=one.weight, positive=one.positive, positive_from=one.positive_from)
            for one in loaded.kinds.values()
        ],
        categories=listings.categories,
        modalities=list(loaded.neighbours.spaces),
        generators=[one.name for one in loaded.hybrid.generators],
        releases=[
            ListedRelease(id=one.id, created_at=one.manifest.created_at, current=one.id == loaded.release.id)
            for one in engine.releases.list()
        ],
    )
