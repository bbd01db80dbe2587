"""Every registered object: the one file that `feast apply` reads.

Feast finds objects among a module's names, so each is bound to its own; all are built for the home of this process.
"""

from typing import TypeAlias

from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView, RequestSource

from feature_repo.entities import ITEM, USER
from feature_repo.on_demand import REQUEST, on_demand_views
from feature_repo.services import feature_services
from feature_repo.settings import Settings, load_settings
from feature_repo.views import feature_views

Definition: TypeAlias = Entity | RequestSource | FeatureView | OnDemandFeatureView | FeatureService


def definitions(settings: Settings) -> dict[str, Definition]:
    """Entities, views and services of one deployment by name."""
    views = feature_views(settings)
    on_demand = on_demand_views(views)
    return {"user": USER, "item": ITEM, "request": REQUEST, **views, **on_demand, **feature_services(views, on_demand)}


globals().update(definitions(load_settings()))
