"""Events in memory: those of a user and of an item, against a plain search."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import schema
from ranking.serving import recorded
from ranking.serving.recorded import Recorded

events = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abc")), max_size=8)
some = st.lists(st.sampled_from(["u", "v", "w", "nobody"]), unique=True)


def table(pairs: list[tuple[str, str]], start: int) -> pa.Table:
    rows = [
        {"event_id": f"e{number}", "user_id": user, "item_id": item, "kind": "click", "occurred_at": number}
        | {"weight": 1.0, "positive": True}
        for number, (user, item) in enumerate(pairs, start)
    ]
    return pa.Table.from_pylist(rows, schema.LABELLED_EVENTS)


@settings(max_examples=60)
@given(
    batches=st.lists(events, min_size=1, max_size=5), users=some, items=st.lists(st.sampled_from("abcx"), unique=True)
)
def test_of_users_and_items_all_events_are_found_once(
    batches: list[list[tuple[str, str]]], users: list[str], items: list[str]
) -> None:
    tables, start = [], 0
    for batch in batches:
        tables.append(table(batch, start))
        start += len(batch)
    memory = Recorded(tables[0])
    for one in tables[1:]:
        memory.add(one)
    wanted = [row for row in pa.concat_tables(tables).to_pylist() if row["user_id"] in users or row["item_id"] in items]
    assert memory.of(users, items).to_pylist() == wanted


def test_many_single_events_stay_few_chunks() -> None:
    memory = Recorded(table([], 0))
    for number in range(2 * recorded._CHUNKS + 3):
        memory.add(table([("u", "a")], number))
    assert len(memory.of(["u"], [])) == 2 * recorded._CHUNKS + 3
    assert memory._added["event_id"].num_chunks <= recorded._CHUNKS + 1
