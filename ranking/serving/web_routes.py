"""The page: HTML at every address that it knows, and its styles and modules below `/web`."""

from importlib.resources import files
from os import PathLike, stat_result
from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ADDRESSES: Final = ("/", "/compare", "/items", "/items/{item_id}", "/dashboard")
SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"  # blob: media that are fetched with a key
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # an installation of another version is seen at once: its ETag is another
}

_FOLDER: Final = Path(str(files("ranking.serving") / "web"))


def add_web(app: FastAPI) -> None:
    """Let an app send the page."""
    router = APIRouter(include_in_schema=False)
    for address in ADDRESSES:
        router.add_api_route(address, _page, methods=["GET", "HEAD"], response_class=FileResponse)
    router.add_api_route("/favicon.ico", _icon, methods=["GET", "HEAD"], response_class=FileResponse)
    app.include_router(router)
    app.mount("/web", _Assets(directory=_FOLDER), name="web")


def _page() -> FileResponse:
    """The one page; which of its views is shown, it reads from the address."""
    return FileResponse(_FOLDER / "index.html", media_type="text/html; charset=utf-8", headers=SECURITY)


def _icon() -> FileResponse:
    """What browsers ask for beside any document that names no icon."""
    return FileResponse(_FOLDER / "icon.svg", media_type="image/svg+xml", headers=SECURITY)


class _Assets(StaticFiles):
    """Files of the page, with the headers of the page."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """A file, or that it is not modified."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(SECURITY)
        return response
