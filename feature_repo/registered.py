"""Every object that the registry knows."""

from typing import TypeAlias

from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView, RequestSource

from feature_repo.entities import ITEM, USER
from feature_repo.on_demand import REQUEST, on_demand_views
from feature_repo.services import feature_services
from feature_repo.settings import Settings
from feature_repo.views import feature_views

Registered: TypeAlias = Entity | RequestSource | FeatureView | OnDemandFeatureView | FeatureService


def registered(settings: Settings) -> dict[str, Registered]:
    """Entities, views and services by name, over the rows of one deployment."""
    views = feature_views(settings)
    on_demand = on_demand_views(views)
    return {"user": USER, "item": ITEM, "request": REQUEST, **views, **on_demand, **feature_services(views, on_demand)}
