"""Online features in Feast's own shape of request and response, for programs that speak to a Feast server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypedDict, cast

from feature_repo import schema, transforms
from feature_repo.errors import StoreError
from feature_repo.store import EPOCH, Store

MISSING: Final = "NOT_FOUND"
EXPIRED: Final = "OUTSIDE_MAX_AGE"

Value = bool | int | float | str | list[object] | None


class Metadata(TypedDict):
    """Names in the order of the results."""

    feature_names: list[str]


class Result(TypedDict):
    """One feature (or entity key) for every row asked for; times in ISO 8601."""

    values: list[Value]
    statuses: list[str]
    event_timestamps: list[str]


class Answer(TypedDict):
    """What Feast's `/get-online-features` answers."""

    metadata: Metadata
    results: list[Result]


@dataclass(frozen=True)
class Asked:
    """What is wanted: a service, or features as `view:feature`, or neither for all stored features of the entities."""

    service: str | None = None
    features: tuple[str, ...] = ()
    full_names: bool = False


def look_up(store: Store, entities: Mapping[str, Sequence[str | int]], asked: Asked, *, at: datetime) -> Answer:
    """Features of entities, read and computed by Feast.

    entities: equally many ids by entity key; the request's columns (`transforms.REQUEST`) may stand beside them, and
    are `at` and unknown surroundings where they do not. A row older than its view's ttl is masked as Feast's offline
    join does, and marked `OUTSIDE_MAX_AGE`; an on-demand feature is Feast's own, which heeds a ttl where the
    online store does.

    Raises:
        StoreError: no such service, feature or entity key, or ids of unequal number.
        StoreUnavailableError: the online store does not answer.
    """
    from feast.feature_server_utils import convert_response_to_dict  # feast takes seconds

    from feature_repo.stores.packed import as_of

    stored = {view.name: view for view in store.feast.list_feature_views(allow_cache=True)}
    on_demand = {view.name: view for view in store.feast.list_on_demand_feature_views(allow_cache=True)}
    known = {f"{view.name}:{field.name}" for view in (*stored.values(), *on_demand.values()) for field in view.features}
    keys_of = {name: set(view.join_keys) for name, view in stored.items()}
    refs = _refs(store, asked) or sorted(ref for ref in known if keys_of.get(_view(ref), {None}) <= entities.keys())
    if unknown := [ref for ref in refs if ref not in known]:
        raise StoreError(f"feature {unknown[0]!r} is not registered; known: {', '.join(sorted(known))}")
    rows = _rows(entities, at, on_demand=any(_view(ref) in on_demand for ref in refs))
    sources = {name: view.source_feature_view_projections.keys() for name, view in on_demand.items()}
    needed = set().union(*(keys_of[name] for ref in refs for name in sources.get(_view(ref), [_view(ref)])))
    if needed - rows.keys() or not refs:
        raise StoreError(f"entities {sorted(entities)}: these features need {sorted(needed)}; give ids of each")
    with store.answering(), as_of(at):
        response = store.feast.get_online_features(refs, rows, full_feature_names=asked.full_names)
    answer = cast(Answer, convert_response_to_dict(response.proto))
    ttl_s = {field.name: view.ttl.total_seconds() for view in stored.values() if view.ttl for field in view.features}
    for name, result in zip(answer["metadata"]["feature_names"], answer["results"], strict=True):
        _name_missing(result)
        if name.rpartition("__")[2] in ttl_s:
            _mask(result, at - timedelta(seconds=ttl_s[name.rpartition("__")[2]]))
    return answer


def _refs(store: Store, asked: Asked) -> list[str]:
    """Features as `view:feature`, of the service or as asked."""
    if asked.service is None:
        return list(asked.features)
    store.plan(asked.service)  # StoreError where there is no such service
    projections = store.feast.get_feature_service(asked.service, allow_cache=True).feature_view_projections
    return [f"{one.name}:{field.name}" for one in projections for field in one.features]


def _view(ref: str) -> str:
    return ref.partition(":")[0]


def _rows(entities: Mapping[str, Sequence[str | int]], at: datetime, *, on_demand: bool) -> dict[str, list[object]]:
    """What Feast takes: ids as strings and, for on-demand features, the request's columns."""
    sizes = {key: len(ids) for key, ids in entities.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise StoreError(f"entities have {sizes} ids; give equally many of each, at least one")
    moment = (at - EPOCH) // timedelta(microseconds=1)
    request: dict[str, int | None] = {
        transforms.AS_OF: moment,
        transforms.REQUESTED_AT: moment,
        schema.DEVICE: None,
        schema.PLACE: None,
    }
    ids: dict[str, list[object]] = {
        key: [str(one) for one in values] for key, values in entities.items() if key not in request
    }
    if on_demand:
        for name, value in request.items():
            ids[name] = list(entities.get(name, [value] * min(sizes.values())))
    return ids


def _name_missing(result: Result) -> None:
    """Mark what Feast's Redis store does not know: it answers with nulls of 1970."""
    for row, (value, written) in enumerate(zip(result["values"], result["event_timestamps"], strict=True)):
        if value is None and datetime.fromisoformat(written) == EPOCH:
            result["statuses"][row] = MISSING


def _mask(result: Result, earliest: datetime) -> None:
    """Take away what was written before a moment."""
    for row, written in enumerate(result["event_timestamps"]):
        if EPOCH < datetime.fromisoformat(written) < earliest:  # what is missing was written at the epoch
            result["values"][row], result["statuses"][row] = None, EXPIRED
