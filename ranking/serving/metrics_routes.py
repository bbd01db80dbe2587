"""`GET /metrics`: what the server measures of itself, for Prometheus."""

from fastapi import APIRouter
from fastapi.responses import Response as HttpResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from ranking.serving.engine import Engine


def metrics_routes(engine: Engine) -> APIRouter:
    """The route, over an engine."""
    router = APIRouter()

    @router.get("/metrics", summary="What the server measures of itself, for Prometheus", response_class=HttpResponse)
    def metrics() -> HttpResponse:
        """Text of Prometheus' exposition format; of this process alone."""
        return HttpResponse(engine.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
