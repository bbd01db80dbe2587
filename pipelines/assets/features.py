"""Behavioural and content features: computed from the events by SQL, kept by Feast, put online."""

from datetime import datetime
from pathlib import Path
from typing import cast

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import compute, schema
from feature_repo.configuration import location
from feature_repo.fingerprint import definitions
from feature_repo.freshness import freshness
from feature_repo.labels import label_events
from pipelines.assets.data import events, items
from pipelines.assets.materialized import materialized
from pipelines.home import Facts, Json
from pipelines.workspace import Workspace

GROUP = "features"
BEHAVIOUR = tuple(compute.BEHAVIOUR)


def behaviour_view(name: str, description: str) -> dg.AssetsDefinition:
    """The asset of one behavioural view: a row at every moment at which an entity's features change."""

    @dg.asset(name=name, group_name=GROUP, deps=[events, items], description=description)
    def view(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
        def make(folder: Path) -> Facts:
            rows = compute.view_rows(name, workspace.events, workspace.items, until=workspace.clock)
            workspace.store.write_view(name, rows)
            return {"rows": len(rows)}

        config: Facts = {"definitions": definitions(), "until": workspace.clock.isoformat()}
        return materialized(workspace.build_view(name, make, inputs=["events", "items"], config=config))

    return view


user_activity = behaviour_view("user_activity", "How much and what a user has done, lately and ever.")
user_item_affinity = behaviour_view("user_item_affinity", "Which categories a user likes, recent ones more.")
item_popularity = behaviour_view("item_popularity", "How often an item was chosen and liked, lately and ever.")
item_context = behaviour_view("item_context", "When, where and on what an item is chosen.")


@dg.asset(group_name=GROUP, deps=[items])
def item_content(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """What an item is: categories, age, which modalities it has."""

    def make(folder: Path) -> Facts:
        rows = compute.content_rows(workspace.items)
        workspace.store.write_view("item_content", rows)
        return {"rows": len(rows)}

    config: Facts = {"definitions": definitions()}
    return materialized(workspace.build_view("item_content", make, inputs=["items"], config=config))


@dg.asset(group_name=GROUP)
def feature_registry(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Entities, views, on-demand views and services in Feast's registry."""

    def make(folder: Path) -> Facts:
        workspace.store.apply()
        return {}

    where = str(workspace.settings.home.resolve())  # the registry names the files of the views
    config: dict[str, Json] = {"definitions": definitions(), "home": where}
    return materialized(workspace.build("feature_registry", make, config=config))


@dg.asset(
    group_name=GROUP,
    deps=[*BEHAVIOUR, item_content, "item_vectors", "user_vectors", feature_registry],
)
def online_features(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The latest row of every entity in the online store, as of the data's own clock."""
    views = [*BEHAVIOUR, "item_content", "item_vectors", "user_vectors"]
    store = workspace.store

    def make(folder: Path) -> Facts:
        until = workspace.clock
        store.materialize(until)
        return {"until": until.isoformat(), "later_events": refresh_later(workspace, until)}

    store.apply()  # a server that is new to this home, or was emptied, has no tables
    seen = freshness(store, clock=workspace.clock)
    if not all(view.online and (view.materialized_until or not view.last_event_timestamp) for view in seen):
        workspace.home.forget("online_features")  # the online store, or the registry, has lost what it was given
    config: Facts = {"online_store": location(workspace.settings)}
    built = workspace.build("online_features", make, inputs=["feature_registry", *views], config=config)
    found = {view.view: view.to_json() for view in freshness(store, clock=workspace.clock)}
    return materialized(built, now={"freshness": cast(Json, found)})


def refresh_later(workspace: Workspace, until: datetime) -> int:
    """Bring online what apps have posted after the moment up to which rows were materialized."""
    later = workspace.log.read(since=until)
    if not len(later):
        return 0
    touched = {key: pc.unique(later[key]).to_pylist() for key in (schema.USER_ID, schema.ITEM_ID)}
    of_users = workspace.log.read(users=touched[schema.USER_ID])
    of_items = workspace.log.read(items=touched[schema.ITEM_ID])
    new = of_items.filter(pc.invert(pc.is_in(of_items[schema.EVENT_ID], of_users[schema.EVENT_ID].combine_chunks())))
    workspace.store.refresh(
        label_events(pa.concat_tables([of_users, new]), workspace.kinds),
        workspace.items,
        at=pc.max(later[schema.OCCURRED_AT]).as_py() + compute.TICK,
        users=touched[schema.USER_ID],
        item_ids=touched[schema.ITEM_ID],
    )
    return len(later)
