"""The HTTP API. No path or URL in a request is ever opened, and no body beyond its limit is read."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Body, FastAPI, Header, Query
from fastapi.responses import JSONResponse
from fastapi.responses import Response as HttpResponse
from pydantic import JsonValue, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feature_repo.arrow_stream import MEDIA_TYPE, as_stream
from feature_repo.asked import Asked
from feature_repo.feast_json import as_json
from feature_repo.settings import Settings
from ranking.candidates.threads import one_blas_thread_for_good
from ranking.errors import NotReadyError
from ranking.serving.dashboard import dashboard_routes
from ranking.serving.direct import JSON, Direct
from ranking.serving.engine import Engine
from ranking.serving.explanation_routes import explanation_routes
from ranking.serving.faults import Fault
from ranking.serving.feature_payloads import OnlineFeatures, OnlineFeaturesRequest
from ranking.serving.guard import access
from ranking.serving.listing_routes import listing_routes
from ranking.serving.media_routes import media_routes
from ranking.serving.metrics import Counted
from ranking.serving.metrics_routes import metrics_routes
from ranking.serving.negotiation import prefers
from ranking.serving.paths import PathId, SegmentsApart
from ranking.serving.payloads import (
    MAX_K,
    CheckedRules,
    Id,
    Live,
    PostedEvent,
    Ready,
    Receipt,
    Request,
    Response,
    RulesToCheck,
    Similar,
)
from ranking.serving.problems import Problem, install, problem
from ranking.serving.rank_routes import rank_routes
from ranking.serving.releases import Releases
from ranking.serving.similar import ALL
from ranking.serving.web_routes import add_web

MAX_BODY: Final = 1 << 20  # bytes: about 5,000 events
MAX_QUERY_BODY: Final = 1 << 24  # bytes: a picture and a sound of `MAX_FILE` each, in base64
ASKS: Final = frozenset({"/v1/recommendations", "/v1/rank"})  # whose bodies may hold a query

_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_EVENT: Final = PostedEvent.model_json_schema()
_EVENTS: Final = WithJsonSchema({"anyOf": [_EVENT, {"type": "array", "items": _EVENT}]})


def create_app(engine: Engine, *, media_root: Path | None = None) -> FastAPI:
    """The API over an engine, and the page; it begins to load the current release when the server starts.

    media_root: the folder that the dataset's pictures and sounds lie in; None: none are sent.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with suppress(NotReadyError):
            engine.follow()
        yield
        engine.served.flush()

    app = FastAPI(
        title="Trichord",
        description="Recommendations from text, image, sound and behaviour.",
        lifespan=lifespan,
        responses={status: {"model": Problem} for status in (400, 401, 403, 404, 413, 422, 429, 503)},
    )
    access.limit_bodies(app)
    app.add_middleware(LimitedBody)
    access.install(app, engine.settings.api)
    install(app)
    _add_recommendations(app, engine)
    _add_features(app, engine)
    _add_health(app, engine)
    app.include_router(listing_routes(engine))
    app.include_router(media_routes(engine, media_root))
    app.include_router(dashboard_routes(engine))
    add_web(app)
    app.include_router(rank_routes(engine))
    app.include_router(explanation_routes(engine))
    app.include_router(metrics_routes(engine))
    app.add_middleware(Counted, metrics=engine.metrics, router=app.router)
    app.add_middleware(SegmentsApart)  # the last is asked first
    return app


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    open_to_all: bool = False,
    media_root: Path | None = None,
) -> None:
    """Run the API until interrupted, with a log on stderr.

    open_to_all: other machines may reach it though no API key is set. media_root: see `create_app`.

    Raises:
        SettingsError: they could, and it is not said that they may.
        ArtifactError: no release is current.
    """
    import uvicorn  # only a server needs one

    access.check_address(host, settings.api, open_to_all=open_to_all)
    Releases.of(settings).current()
    prepare_process()
    uvicorn.run(create_app(Engine(settings), media_root=media_root), host=host, port=port, access_log=False)


def prepare_process() -> None:
    """What a process that serves needs: a log on stderr, and one thread of BLAS a request."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("ranking").setLevel(logging.INFO)
    one_blas_thread_for_good()  # more threads in each request only wait for cores


def _add_recommendations(app: FastAPI, engine: Engine) -> None:
    router = APIRouter(route_class=Direct)

    @router.post("/v1/recommendations", summary="Recommend items to a user or a session")
    def recommend(request: Request) -> Response:
        return engine.recommend(request)

    app.include_router(router)

    @app.post("/v1/rules/check", summary="What is wrong with rules")
    def check_rules(asked: RulesToCheck) -> CheckedRules:
        """Errors, with which a request is refused, and warnings, of rules that do nothing."""
        return engine.check_rules(asked)

    @app.get("/v1/items/{item_id}/similar", summary="Items near an item")
    def similar(item_id: PathId, k: Annotated[int, Query(ge=1, le=MAX_K)] = 10, by: Id = ALL) -> Similar:
        """by: `text`, `image`, `audio` or `behaviour` alone, or `all`."""
        return engine.similar(item_id, k=k, by=by)

    @app.post("/v1/events", summary="Tell what happened: one event or a list", response_model=Receipt)
    def accept(events: Annotated[JsonValue, Body(), _EVENTS]) -> Receipt | JSONResponse:
        """The next request of the same user sees the events. Bad ones are refused one by one, the others go on."""
        receipt = engine.accept(events if isinstance(events, list) else [events])
        if receipt.rejected and not receipt.accepted and not receipt.duplicates:
            faults = [Fault(field=f"[{one.index}]", text=one.reason) for one in receipt.rejected]
            return problem(422, f"no event was taken: {faults[0].text}", faults)
        return receipt


def _add_features(app: FastAPI, engine: Engine) -> None:
    @app.post(
        "/get-online-features",
        summary="Online features, as a Feast server answers, or as Arrow",
        response_class=HttpResponse,
        responses={200: {"model": OnlineFeatures, "content": {MEDIA_TYPE: _BINARY}, "description": "Features"}},
    )
    def online_features(
        request: OnlineFeaturesRequest, accept: Annotated[str, Header(include_in_schema=False)] = ""
    ) -> HttpResponse:
        """Without a service or features: all that is stored of the entities.

        With `Accept: application/vnd.apache.arrow.stream` an Arrow IPC stream: a row for each place in the ids, the
        same columns by name, and of each view `VIEW:status` and `VIEW:event_timestamp`. With any other, JSON.
        """
        asked = Asked(request.feature_service, tuple(request.features), request.full_feature_names)
        found = engine.online_features(request.entities, asked)
        arrow = prefers(accept, MEDIA_TYPE, over=JSON)
        return HttpResponse(
            as_stream(found) if arrow else as_json(found),
            media_type=MEDIA_TYPE if arrow else JSON,
            headers={"Vary": "Accept"},
        )


def _add_health(app: FastAPI, engine: Engine) -> None:
    # async: they answer while all threads are busy

    @app.get("/health/live", summary="The process runs")
    async def live() -> Live:
        return Live()

    @app.get("/health/ready", summary="A release answers; 503 before")
    async def ready() -> Ready:
        return Ready(release=engine.follow().release.id, refused=engine.refused)


class LimitedBody:
    """Middleware that stops reading a body at its limit, whatever its header says."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in."""
        read = 0
        most = MAX_QUERY_BODY if scope.get("path") in ASKS else MAX_BODY

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413, f"body over {most} bytes; accepted are at most so many: send it in parts")
            return message

        await self._app(scope, counted, send)
