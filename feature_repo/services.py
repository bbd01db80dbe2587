"""What each model reads: the contract between training and serving."""

from collections.abc import Mapping
from typing import Final

from feast import FeatureService, FeatureView, OnDemandFeatureView

from feature_repo import transforms
from feature_repo.schema import RANKING, RETRIEVAL

_ANCHORS: Final = {"user_first_event_at", "user_last_event_at", "item_first_event_at", "item_last_event_at"}


def feature_services(
    views: Mapping[str, FeatureView], on_demand: Mapping[str, OnDemandFeatureView]
) -> dict[str, FeatureService]:
    """Every feature service by name.

    retrieval_v1: what candidates are found by, all of the user. ranking_v1: every scalar of user, item and request;
    moments of events only as ages, since a model must not learn from the date.
    """
    retrieval = FeatureService(
        name=RETRIEVAL, features=[views["user_vectors"], views["user_activity"], views["user_item_affinity"]]
    )
    ranking = FeatureService(
        name=RANKING,
        features=[
            _without(views["user_activity"], _ANCHORS),
            _without(views["item_popularity"], _ANCHORS),
            _without(views["item_content"], set(transforms.MATCH.names)),
            on_demand["request_context"],
            on_demand["user_item_match"],
        ],
    )
    return {service.name: service for service in (retrieval, ranking)}


def _without(view: FeatureView, names: set[str]) -> FeatureView:
    rest: FeatureView = view[[field.name for field in view.features if field.name not in names]]
    return rest
