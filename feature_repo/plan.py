"""What a registered feature service takes: its columns in a fixed order, and where each stored input comes from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from feature_repo.errors import StoreError
from feature_repo.stores.packed_layout import Layout, layout_of

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, Field, OnDemandFeatureView

Fields: TypeAlias = dict[str, pa.DataType]


@dataclass(frozen=True)
class StoredView:
    """The part of a stored view that a service needs. ttl: zero where rows never expire."""

    project: str
    view: "FeatureView"
    ttl: timedelta
    fields: Fields = field(default_factory=dict)

    @cached_property
    def layout(self) -> Layout:
        """How its rows lie in the packed store."""
        return layout_of(self.project, self.view)


@dataclass(frozen=True)
class Plan:
    """A feature service, resolved.

    columns: the service's features in order. stored: entity key -> view -> its fields, the on-demand views' inputs
    among them. on_demand: in the order in which the service names them.
    """

    columns: Fields
    stored: dict[str, dict[str, StoredView]]
    on_demand: tuple["OnDemandFeatureView", ...]

    @cached_property
    def answer(self) -> pa.Schema:
        """Entity keys, then the features."""
        return pa.schema([*((key, pa.string()) for key in self.stored), *self.columns.items()])


def plan_service(feast: "FeatureStore", service: str) -> Plan:
    """Resolve a service by the registry.

    Raises:
        StoreError: no such service is registered.
    """
    from feast.errors import FeatureServiceNotFoundException

    try:
        projections = feast.get_feature_service(service).feature_view_projections
    except FeatureServiceNotFoundException as error:
        known = ", ".join(sorted(one.name for one in feast.list_feature_services())) or "none; run apply first"
        raise StoreError(f"feature service {service!r} is not registered; known: {known}") from error
    on_demand = {view.name: view for view in feast.list_on_demand_feature_views()}
    columns: Fields = {}
    stored: dict[str, dict[str, StoredView]] = {}
    for projection in projections:
        columns |= arrow_fields(projection.features)
        inputs = [projection]
        if projection.name in on_demand:
            inputs = list(on_demand[projection.name].source_feature_view_projections.values())
        for one in inputs:
            view = feast.get_feature_view(one.name)
            of_entity = stored.setdefault(view.join_keys[0], {})
            part = of_entity.setdefault(view.name, StoredView(feast.project, view, view.ttl or timedelta(0)))
            part.fields.update(arrow_fields(one.features))
    used = tuple(on_demand[one.name] for one in projections if one.name in on_demand)
    return Plan(columns, stored, used)


def arrow_fields(fields: Iterable["Field"]) -> Fields:
    """Names and Arrow types of Feast's fields."""
    from feast.types import from_feast_to_pyarrow_type

    return {one.name: from_feast_to_pyarrow_type(one.dtype) for one in fields}
