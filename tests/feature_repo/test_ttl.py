"""Rows at the very edge of their view's ttl: masked online exactly where they are masked offline."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feature_repo import schema
from feature_repo.asked import Asked
from feature_repo.lookup import STATUSES, look_up
from feature_repo.settings import OnlineStore, Settings
from feature_repo.store import Store
from feature_repo.view_rows import columns_of
from feature_repo.views import TASTE_EXPIRES, feature_views

START = datetime(2020, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
NAMES = ("affinity_categories", "affinity_weights", "last_categories")

moments = st.integers(0, 3_000_000).map(lambda us: START + us * US)  # of rows, within seconds: halves and wholes of one
edges = st.one_of(st.integers(-2, 2), st.sampled_from([-1_000_000, -500_000, 499_999, 500_000, 1_000_000]))


def rows(at: dict[str, datetime]) -> pa.Table:
    return pa.table(
        {
            "user_id": [*at],
            "event_timestamp": pa.array(at.values(), schema.TIMESTAMP),
            "affinity_categories": [["x"]] * len(at),
            "affinity_weights": [[1.0]] * len(at),
            "last_categories": [["x"]] * len(at),
        }
    )


@pytest.fixture(scope="module", params=[OnlineStore.PACKED, OnlineStore.SQLITE])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(Settings(home=tmp_path_factory.mktemp(request.param), online_store=request.param))
    store.apply()
    users = {"user_id": ["nobody"], "event_timestamp": pa.array([START], schema.TIMESTAMP)}
    store.write_view("user_vectors", pa.table(users | {"user_vector": [[0.0] * 128]}))
    columns = columns_of(feature_views(store.settings)["user_activity"])
    counts = {name: pa.nulls(1, kind) for name, kind in columns.items()}
    store.write_view("user_activity", pa.table(counts | users))
    return store


@settings(max_examples=20)
@given(moment=moments, edge=edges)
@example(moment=START, edge=0)
@example(moment=START, edge=1)
@example(moment=START + 500_000 * US, edge=0)
@example(moment=START + 999_999 * US, edge=1)
def test_a_row_expires_at_the_same_microsecond_online_and_offline(stores: Store, moment: datetime, edge: int) -> None:
    if stores.settings.online_store is OnlineStore.SQLITE:
        moment = moment.replace(microsecond=0)  # Feast's store keeps no more
    at = moment + TASTE_EXPIRES + edge * US
    user = f"u {moment.isoformat()}"
    stores.push("user_item_affinity", rows({user: moment}))
    stores.write_view("user_item_affinity", rows({user: moment}))
    asked = pa.table({"user_id": [user], "event_timestamp": pa.array([at], schema.TIMESTAMP)})
    offline = stores.training_frame(asked, service="retrieval_v1").select(NAMES)
    online = stores.online_rows({"user_id": [user]}, at=at, service="retrieval_v1").select(NAMES)
    assert offline[NAMES[0]].to_pylist() == [["x"] if edge <= 0 else None]
    assert online == offline
    answered = look_up(stores, {"user_id": [user]}, Asked(service="retrieval_v1"), at=at)
    [part] = [one for one in answered if one.view == "user_item_affinity"]
    assert {name: column.to_pylist() for name, column in part.columns.items()} == offline.to_pydict()
    assert [STATUSES[status] for status in part.statuses] == ["PRESENT" if edge <= 0 else "OUTSIDE_MAX_AGE"]
