"""On-demand views: the request's features, computed by Feast from `transforms` in both paths.

Feast stores a function's source text and runs it again elsewhere, so each body imports what it uses.
"""

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Final, cast

import pandas as pd
from feast import FeatureView, Field, OnDemandFeatureView, RequestSource
from feast.types import Bool, Float32, Float64, Int64, String

from feature_repo import schema, transforms

REQUEST: Final = RequestSource(
    name="request",
    schema=[
        Field(name=transforms.AS_OF, dtype=Int64),
        Field(name=transforms.REQUESTED_AT, dtype=Int64),
        Field(name=schema.DEVICE, dtype=String),
        Field(name=schema.PLACE, dtype=String),
    ],
)

# without descriptions: Feast compares these fields with ones that it infers, which have none
REQUEST_CONTEXT: Final = [
    Field(name="context_hour", dtype=Int64),
    Field(name="context_weekday", dtype=Int64),
    Field(name="context_daypart", dtype=Int64),
    Field(name="context_is_weekend", dtype=Bool),
    Field(name="context_device", dtype=String),
    Field(name="context_place", dtype=String),
]

USER_ITEM_MATCH: Final = [
    Field(name="category_affinity", dtype=Float32),
    Field(name="last_category_overlap", dtype=Float32),
    Field(name="daypart_lift", dtype=Float32),
    Field(name="weekend_lift", dtype=Float32),
    Field(name="device_lift", dtype=Float32),
    Field(name="place_lift", dtype=Float32),
    Field(name="item_age_s", dtype=Float64),
    Field(name="item_idle_s", dtype=Float64),
    Field(name="user_idle_s", dtype=Float64),
]


def _request_context(inputs: pd.DataFrame) -> pd.DataFrame:
    from feature_repo import transforms

    return transforms.on_frame(transforms.request_context, transforms.REQUEST, inputs)


def _user_item_match(inputs: pd.DataFrame) -> pd.DataFrame:
    from feature_repo import transforms

    return transforms.on_frame(transforms.user_item_match, transforms.MATCH, inputs)


def on_demand_views(views: Mapping[str, FeatureView]) -> dict[str, OnDemandFeatureView]:
    """Every on-demand view by name, over stored views."""
    needed = [
        view[names]
        for view in views.values()
        if (names := [field.name for field in view.features if field.name in transforms.MATCH.names])
    ]
    on_demand = [
        _view("request_context", REQUEST_CONTEXT, _request_context, []),
        _view("user_item_match", USER_ITEM_MATCH, _user_item_match, needed),
    ]
    return {one.name: one for one in on_demand}


def _view(
    name: str, fields: list[Field], body: Callable[[pd.DataFrame], pd.DataFrame], stored: list[FeatureView]
) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name=name,
        sources=[REQUEST, *stored],
        schema=fields,
        udf=cast(FunctionType, body),
        udf_string=inspect.getsource(body),
        mode="pandas",
    )
