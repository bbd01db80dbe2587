"""Small worlds of events and items, and one store that a module's tests share."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo import schema
from feature_repo.online import packed_store
from feature_repo.plan import arrow_fields
from feature_repo.settings import Settings
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday, at midnight
CATEGORIES = {"a": ["x"], "b": ["x", "y"], "c": ["z"], "d": []}

Row = tuple[str, str, float, dict[str, object]]  # user, item, hours since START, what differs from the defaults
Events = Callable[[Sequence[Row]], pa.Table]


@pytest.fixture(scope="session")
def make_events() -> Events:
    """Labelled events: by default of weight 1, positive, without value, device and place."""

    def make(rows: Sequence[Row]) -> pa.Table:
        full = [
            {
                "event_id": str(place),
                "user_id": user,
                "item_id": item,
                "kind": "click",
                "occurred_at": START + timedelta(hours=hours),
                "weight": 1.0,
                "positive": True,
                **changed,
            }
            for place, (user, item, hours, changed) in enumerate(rows)
        ]
        return pa.Table.from_pylist(full, schema.LABELLED_EVENTS)

    return make


@pytest.fixture(scope="session")
def make_items() -> Callable[[dict[str, list[str]]], pa.Table]:
    """Items by their categories, created at START, with a title and no media."""

    def make(categories: dict[str, list[str]]) -> pa.Table:
        rows = [
            {"item_id": item, "title": item, "categories": of_item, "created_at": START}
            for item, of_item in categories.items()
        ]
        return pa.Table.from_pylist(rows, schema.ITEMS)

    return make


@pytest.fixture(scope="session")
def items(make_items: Callable[[dict[str, list[str]]], pa.Table]) -> pa.Table:
    return make_items(CATEGORIES)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store on a home of its own, everything registered."""
    home: Path = tmp_path_factory.mktemp("home")
    one = Store(Settings(home=home))
    one.apply()
    return one


@pytest.fixture(scope="session")
def write_rows() -> Callable[[Store, str, Mapping[str, Sequence[object]], Sequence[datetime]], None]:
    """Rows of a registered view into its packed store; features that are not given are null, a NaN stays one."""

    def write(store: Store, view: str, columns: Mapping[str, Sequence[object]], moments: Sequence[datetime]) -> None:
        definition = store.feast.get_feature_view(view)
        rows = {schema.EVENT_TIMESTAMP: pa.array(moments, schema.TIMESTAMP)}
        for name, kind in arrow_fields(definition.schema).items():
            rows[name] = pa.array(columns.get(name, [None] * len(moments)), kind)
        packed = packed_store(store.feast)
        assert packed is not None
        packed.write_arrow(store.feast.config, definition, pa.table(rows))

    return write
