"""The feature views: names and types of every stored feature.

Behavioural views come from sql/ by `compute`, `item_content` from the items, the vectors from the alignment.
Feature names are distinct over all views, so that short names are enough everywhere.
"""

from datetime import timedelta
from typing import Final

from feast import Entity, FeatureView, Field
from feast.types import Array, Bool, Float32, Int64, String

from feature_repo.compute import BEHAVIOUR, definition
from feature_repo.entities import ITEM, USER
from feature_repo.settings import Settings
from feature_repo.sources import push_source, rows_source
from feature_repo.stores.packed_layout import DEFINITION

VECTOR_LENGTH: Final = 128
TASTE_EXPIRES: Final = timedelta(days=730)  # after two years away, a user's old tastes are no longer held against them

_COUNTS: Final = ("1d", "7d", "28d", "365d")


def _counts(prefix: str) -> list[Field]:
    """Counts in each window and since ever."""
    names = [f"{prefix}_{window}" for window in _COUNTS]
    return [Field(name=name, dtype=Int64) for name in [*names, prefix]]


USER_ACTIVITY: Final = [
    *_counts("user_interactions"),
    *_counts("user_positives"),
    Field(name="user_impressions_7d", dtype=Int64),
    Field(name="user_mean_value", dtype=Float32),
    Field(name="user_categories", dtype=Int64, description="distinct categories among the interactions"),
    Field(name="user_first_event_at", dtype=Int64, description="microseconds since 1970"),
    Field(name="user_last_event_at", dtype=Int64, description="microseconds since 1970"),
]

USER_ITEM_AFFINITY: Final = [
    Field(name="affinity_categories", dtype=Array(String), description="the 20 best liked, by name"),
    Field(name="affinity_weights", dtype=Array(Float32), description="their shares, recent positives weigh more"),
    Field(name="last_categories", dtype=Array(String), description="categories of the latest item"),
]

ITEM_POPULARITY: Final = [
    *_counts("item_interactions"),
    *_counts("item_positives"),
    Field(name="item_impressions_28d", dtype=Int64),
    Field(name="item_response_rate_28d", dtype=Float32),
    Field(name="item_mean_value", dtype=Float32),
    Field(name="item_positive_share", dtype=Float32),
    Field(name="item_first_event_at", dtype=Int64, description="microseconds since 1970"),
    Field(name="item_last_event_at", dtype=Int64, description="microseconds since 1970"),
]

ITEM_CONTEXT: Final = [
    Field(name="item_night", dtype=Int64, description="interactions between 0 and 6 h UTC"),
    Field(name="item_morning", dtype=Int64, description="interactions between 6 and 12 h UTC"),
    Field(name="item_afternoon", dtype=Int64, description="interactions between 12 and 18 h UTC"),
    Field(name="item_evening", dtype=Int64, description="interactions between 18 and 24 h UTC"),
    Field(name="item_weekend", dtype=Int64, description="interactions on Saturdays and Sundays"),
    Field(name="item_devices", dtype=Array(String)),
    Field(name="item_device_counts", dtype=Array(Int64), description="interactions on each of item_devices"),
    Field(name="item_places", dtype=Array(String)),
    Field(name="item_place_counts", dtype=Array(Int64), description="interactions at each of item_places"),
]

ITEM_CONTENT: Final = [
    Field(name="categories", dtype=Array(String)),
    Field(name="created_at", dtype=Int64, description="microseconds since 1970"),
    Field(name="has_text", dtype=Bool),
    Field(name="has_image", dtype=Bool),
    Field(name="has_audio", dtype=Bool),
]


def _vector(name: str) -> list[Field]:
    return [
        Field(
            name=name,
            dtype=Array(Float32),
            vector_index=True,
            vector_length=VECTOR_LENGTH,
            vector_search_metric="cosine",
        )
    ]


def feature_views(settings: Settings) -> dict[str, FeatureView]:
    """Every stored view by name, over the rows of one deployment."""

    def view(name: str, entity: Entity, fields: list[Field], ttl: timedelta = timedelta(0)) -> FeatureView:
        key = Field(name=entity.join_key, dtype=String)
        source = push_source(settings, name) if name in BEHAVIOUR else rows_source(settings, name)
        tags = {DEFINITION: definition(name)} if name in BEHAVIOUR else {}
        return FeatureView(name=name, entities=[entity], schema=[key, *fields], source=source, ttl=ttl, tags=tags)

    views = [
        view("user_activity", USER, USER_ACTIVITY),
        view("user_item_affinity", USER, USER_ITEM_AFFINITY, TASTE_EXPIRES),
        view("user_vectors", USER, _vector("user_vector")),
        view("item_popularity", ITEM, ITEM_POPULARITY),
        view("item_context", ITEM, ITEM_CONTEXT),
        view("item_content", ITEM, ITEM_CONTENT),
        view("item_vectors", ITEM, _vector("item_vector")),
    ]
    return {one.name: one for one in views}
