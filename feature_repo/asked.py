"""What a look-up asks for, and which views and features of the registry that is."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feature_repo.errors import StoreError
from feature_repo.plan import Fields, StoredView, arrow_fields
from feature_repo.store import Store

if TYPE_CHECKING:
    from feast import FeatureView, Field, OnDemandFeatureView


@dataclass(frozen=True)
class Asked:
    """What is wanted: a service, or features as `view:feature`, or neither for all stored features of the entities."""

    service: str | None = None
    features: tuple[str, ...] = ()
    full_names: bool = False


@dataclass(frozen=True)
class Wanted:
    """What is asked for, resolved.

    features: those asked for by view, in order. stored: what must be read, the on-demand views' inputs among it.
    """

    features: dict[str, list[str]] = field(default_factory=dict)
    stored: dict[str, StoredView] = field(default_factory=dict)
    on_demand: "dict[str, OnDemandFeatureView]" = field(default_factory=dict)

    @property
    def keys(self) -> Fields:
        """Entity keys of all that must be read, with their types."""
        keys: Fields = {}
        for one in self.stored.values():
            keys |= arrow_fields(one.view.entity_columns)
        return keys


def resolve(store: Store, asked: Asked, keys: Collection[str]) -> Wanted:
    """Find in the registry what is asked for of entities with these keys.

    Raises:
        StoreError: no such service or feature, two of one name, or features of other entities.
    """
    stored = {view.name: view for view in store.feast.list_feature_views(allow_cache=True)}
    on_demand = {view.name: view for view in store.feast.list_on_demand_feature_views(allow_cache=True)}
    known = {f"{name}:{one.name}": name for name, view in (stored | on_demand).items() for one in view.features}
    refs = asked.features if asked.service is None else store.plan(asked.service).refs
    if not refs:
        refs = tuple(sorted(ref for ref, name in known.items() if name in stored and _suffice(keys, stored[name])))
    if unknown := [ref for ref in refs if ref not in known]:
        raise StoreError(f"feature {unknown[0]!r} is not registered; known: {', '.join(sorted(known))}")
    names = Counter(ref if asked.full_names else ref.partition(":")[2] for ref in refs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise StoreError(f"{', '.join(twice)} would stand there twice; ask once, or with full_feature_names")
    wanted = Wanted()
    for ref in refs:
        wanted.features.setdefault(known[ref], []).append(ref.partition(":")[2])
    for name, features in wanted.features.items():
        if name in stored:
            _read(wanted, stored[name], [one for one in stored[name].features if one.name in features])
            continue
        wanted.on_demand[name] = on_demand[name]
        for source in on_demand[name].source_feature_view_projections.values():
            _read(wanted, stored[source.name], source.features)
    if not refs or not _suffice(keys, *(one.view for one in wanted.stored.values())):
        raise StoreError(f"entities {sorted(keys)}: these features need {sorted(wanted.keys)}; give ids of each")
    return wanted


def _suffice(keys: Collection[str], *views: "FeatureView") -> bool:
    return all(key in keys for view in views for key in view.join_keys)


def _read(wanted: Wanted, view: "FeatureView", fields: Iterable["Field"]) -> None:
    """Add fields of a view to what must be read."""
    part = wanted.stored.setdefault(view.name, StoredView.of(view))
    part.fields.update(arrow_fields(fields))
