"""The route of an item's picture and sound."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from ranking.errors import UnknownEntityError
from ranking.serving.engine import Engine
from ranking.serving.listing_payloads import MediaKind
from ranking.serving.media import Media
from ranking.serving.paths import PathId
from ranking.serving.problems import Problem


def media_routes(engine: Engine, root: Path | None) -> APIRouter:
    """Files of the current release's items. root: the dataset's media folder; None where none is served."""
    router = APIRouter(tags=["media"])
    media = Media(root)

    @router.get(
        "/media/{item_id}/{kind}",
        summary="An item's own picture or sound",
        response_class=FileResponse,
        responses={304: {"description": "Not modified"}, 404: {"model": Problem}},
    )
    def file(
        item_id: PathId, kind: MediaKind, if_none_match: Annotated[str, Header(include_in_schema=False)] = ""
    ) -> Response:
        """The path is the catalogue's own, never the request's. Ranges of bytes are sent where they are asked for."""
        try:
            found = media.find(engine.follow().catalogue, item_id, kind)
        except UnknownEntityError as error:
            raise HTTPException(404, str(error)) from error
        headers = {
            "ETag": found.etag,
            "Cache-Control": "private, max-age=3600",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        if found.etag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]:
            return Response(status_code=304, headers=headers)
        return FileResponse(found.path, media_type=found.content_type, headers=headers, stat_result=found.status)

    return router
