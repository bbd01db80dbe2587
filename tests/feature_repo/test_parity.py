from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import compute, schema
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]
EXAMPLE = count()  # ids are new in every example: the online store keeps what earlier ones left

rows = st.tuples(
    st.sampled_from("uvw"),
    st.sampled_from("abcd"),
    st.integers(0, 24 * 40),
    st.fixed_dictionaries(
        {
            "weight": st.sampled_from([0.0, 1.0, 3.0]),
            "positive": st.booleans(),
            "value": st.sampled_from([None, 1.0, 2.5]),
            "device": st.sampled_from([None, "phone", "tv"]),
            "place": st.sampled_from([None, "home"]),
        }
    ),
)


@settings(max_examples=12)
@given(
    log=st.lists(rows, min_size=1, max_size=15),
    user=st.sampled_from("uvwn"),
    hours=st.integers(0, 24 * 50),
    device=st.sampled_from([None, "phone", "car"]),
)
def test_a_row_online_equals_the_row_offline(
    store: Store,
    make_events: Events,
    make_items: Callable[[dict[str, list[str]]], pa.Table],
    log: list[Row],
    user: str,
    hours: int,
    device: str | None,
) -> None:
    mark = next(EXAMPLE)
    items = make_items({f"a{mark}": ["x"], f"b{mark}": ["x", "y"], f"c{mark}": ["z"], f"d{mark}": []})
    events = make_events([(f"{who}{mark}", f"{what}{mark}", when, changed) for who, what, when, changed in log])
    at, user, item_ids = START + timedelta(hours=hours), f"{user}{mark}", items["item_id"].to_pylist()

    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, events, items, until=START + timedelta(days=60)))
    content = compute.content_rows(items)
    store.write_view("item_content", content)
    asked = {"user_id": [user] * 4, "item_id": item_ids, "device": [device] * 4, "place": ["home"] * 4}
    moments = dict.fromkeys(["event_timestamp", "requested_at"], pa.array([at] * 4, schema.TIMESTAMP))
    offline = store.training_frame(pa.table({name: pa.array(of, pa.string()) for name, of in asked.items()} | moments))

    store.push("item_content", content)
    store.refresh(events, items, at=at, users=[user], item_ids=item_ids)
    online = store.online_frame(user, item_ids, at=at, device=device, place="home")

    for name in store.feature_columns("ranking_v1").names:
        assert online[name].type == offline[name].type
        for one, other in zip(online[name].to_pylist(), offline[name].to_pylist(), strict=True):
            assert one == (pytest.approx(other, rel=1e-6) if isinstance(other, float) else other), name
