"""What a registered feature service takes: its columns in a fixed order, and where each stored input comes from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa

from feature_repo import schema, transforms
from feature_repo.errors import StoreError
from feature_repo.stores.packed_layout import Layout, layout_of

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView, Field, OnDemandFeatureView

Fields: TypeAlias = dict[str, pa.DataType]

_BYTES: Final = {"BYTES": pa.binary(), "BYTES_LIST": pa.list_(pa.binary())}  # which Feast holds but does not convert


@dataclass(frozen=True)
class StoredView:
    """The part of a stored view that a service needs. ttl: zero where rows never expire."""

    view: "FeatureView"
    ttl: timedelta
    fields: Fields = field(default_factory=dict)
    _layouts: dict[str, Layout] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, view: "FeatureView", features: Iterable["Field"] = ()) -> "StoredView":
        """Some features of a view; none yet by default."""
        return cls(view, view.ttl or timedelta(0), arrow_fields(features))

    def layout(self, project: str) -> Layout:
        """How its rows lie in the packed store.

        Raises:
            StoreError: a field has a type that is not held there.
        """
        if project not in self._layouts:
            self._layouts[project] = layout_of(project, self.view)
        return self._layouts[project]


@dataclass(frozen=True)
class Plan:
    """A feature service, resolved.

    refs: the service's features in order as `view:feature`. columns: the same by name, with their types. stored: entity
    key -> view -> its fields, the on-demand views' inputs among them. on_demand: in the order in which the service
    names them.
    """

    refs: tuple[str, ...]
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
            part = of_entity.setdefault(view.name, StoredView.of(view))
            part.fields.update(arrow_fields(one.features))
    used = tuple(on_demand[one.name] for one in projections if one.name in on_demand)
    refs = tuple(f"{one.name}:{field.name}" for one in projections for field in one.features)
    return Plan(refs, columns, stored, used)


def arrow_fields(fields: Iterable["Field"]) -> Fields:
    """Names and Arrow types of Feast's fields."""
    from feast.types import from_feast_to_pyarrow_type

    return {
        one.name: _BYTES.get(one.dtype.to_value_type().name) or from_feast_to_pyarrow_type(one.dtype) for one in fields
    }


def entity_rows(rows: pa.Table, plan: Plan) -> pa.Table:
    """What Feast's join takes of rows: keys, moment, and the request's columns if any view is on demand.

    Raises:
        StoreError: a column is missing.
    """
    wanted = [*plan.stored, schema.EVENT_TIMESTAMP]
    request = [transforms.REQUESTED_AT, schema.DEVICE, schema.PLACE] if plan.on_demand else []
    if absent := [name for name in [*wanted, *request] if name not in rows.column_names]:
        raise StoreError(f"rows lack {', '.join(absent)}; needed: {', '.join([*wanted, *request])}")
    taken = rows.select(wanted)
    if request:
        taken = taken.append_column(transforms.AS_OF, rows[schema.EVENT_TIMESTAMP].cast(pa.int64()))
        taken = taken.append_column(transforms.REQUESTED_AT, rows[transforms.REQUESTED_AT].cast(pa.int64()))
        for name in (schema.DEVICE, schema.PLACE):
            taken = taken.append_column(name, rows[name])
    return taken
