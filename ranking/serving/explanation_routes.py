"""`GET /v1/explanations/{request_id}`: why an earlier answer held what it held."""

from fastapi import APIRouter

from ranking.serving.engine import Engine
from ranking.serving.explanation_payloads import Explanation
from ranking.serving.paths import PathId
from ranking.serving.problems import Problem


def explanation_routes(engine: Engine) -> APIRouter:
    """The route, over an engine."""
    router = APIRouter()

    @router.get(
        "/v1/explanations/{request_id}",
        summary="Why an earlier answer held its items",
        responses={404: {"model": Problem, "description": "Not remembered, or its release is no longer loaded"}},
    )
    def explanation(request_id: PathId) -> Explanation:
        """Generators, contributions of features, events that speak for each item, and a checked counterfactual."""
        return engine.explain(request_id)

    return router
