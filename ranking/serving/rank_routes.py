"""`POST /v1/rank`: items that the caller names, in the order of a user's answer."""

from fastapi import APIRouter

from ranking.serving.direct import Direct
from ranking.serving.engine import Engine
from ranking.serving.payloads import RankRequest, Response


def rank_routes(engine: Engine) -> APIRouter:
    """The route, over an engine."""
    router = APIRouter(route_class=Direct)

    @router.post("/v1/rank", summary="Put given items in order for a user or a session")
    def rank(request: RankRequest) -> Response:
        """Exactly the given items, in the order and with the scores that they have among the user's candidates.

        Items that the user has met are ranked too, and no rules apply.
        """
        return engine.recommend(request)

    return router
