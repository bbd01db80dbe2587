"""Users, items and choices over HTTP, against counts of the world's own events."""

from collections import Counter

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from ranking.serving.app import create_app
from ranking.serving.histories import Histories
from ranking.serving.listings import plain
from ranking.types import IdIndex, Interactions


@pytest.fixture
def client(settled):
    return TestClient(create_app(settled))


def clicks(world, column):
    return Counter(row[column] for row in world.events.to_pylist() if row["kind"] == "click")


def test_users_are_the_most_active_first(client, world):
    users = client.get("/v1/users", params={"limit": 100}).json()["users"]
    counted = clicks(world, "user_id")
    assert users == [
        {"user_id": user, "events": n} for user, n in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    ]


def test_a_prefix_and_a_limit_narrow_the_users(client):
    users = client.get("/v1/users", params={"prefix": "u1", "limit": 3}).json()["users"]
    assert len(users) == 3
    assert all(one["user_id"].startswith("u1") for one in users)
    assert client.get("/v1/users", params={"prefix": "nobody"}).json() == {"users": []}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99)), max_size=30), st.integers(0, 30))
def test_events_that_came_later_count_too(rows, cut):
    def log(part):
        users = IdIndex.of(user for user, _ in part)
        n = len(part)
        return Interactions(
            users=users,
            items=IdIndex(("i",)),
            user=users.codes(user for user, _ in part),
            item=np.zeros(n, np.int32),
            occurred_at=np.array([at for _, at in part], np.int64),
            weight=np.ones(n, np.float32),
            positive=np.ones(n, bool),
            device=np.full(n, None, object),
            place=np.full(n, None, object),
        )

    histories = Histories(log(sorted(rows[:cut], key=lambda row: row[1])))
    histories.add(log(sorted(rows[cut:], key=lambda row: row[1])))
    counted = sorted(Counter(user for user, _ in rows).items(), key=lambda one: (-one[1], one[0]))
    assert histories.most_active("", 10) == counted
    assert histories.most_active("b", 1) == [one for one in counted if one[0] == "b"]


def test_a_posted_event_is_counted_at_once(engine):
    client = TestClient(create_app(engine))
    event = {"user_id": "newcomer", "item_id": "i00", "kind": "click"}
    assert client.get("/v1/users", params={"prefix": "newcomer"}).json()["users"] == []
    assert client.post("/v1/events", json=event).status_code == 200
    assert client.get("/v1/users", params={"prefix": "newcomer"}).json()["users"] == [
        {"user_id": "newcomer", "events": 1}
    ]


def test_items_are_the_most_popular_first(client, world):
    items = client.get("/v1/items", params={"limit": 40}).json()["items"]
    counted = clicks(world, "item_id")
    assert [one["events"] for one in items] == sorted((counted[one["item_id"]] for one in items), reverse=True)
    assert all(one["events"] == counted[one["item_id"]] for one in items)
    assert {one["item_id"] for one in items} == set(world.items["item_id"].to_pylist())


def test_a_search_finds_what_the_title_or_the_id_holds(client):
    found = client.get("/v1/items", params={"search": "TITLE 3"}).json()["items"]
    assert {one["title"] for one in found} == {"Title 3", *(f"Title {n}" for n in range(30, 40))}
    assert [one["item_id"] for one in client.get("/v1/items", params={"search": "i07"}).json()["items"]] == ["i07"]
    assert client.get("/v1/items", params={"search": "%"}).json() == {"items": []}


def test_items_by_id_come_in_the_order_of_the_ids_without_unknown_ones(client):
    found = client.get("/v1/items", params={"id": ["i05", "nothing", "i01"]}).json()["items"]
    assert [one["item_id"] for one in found] == ["i05", "i01"]
    assert found[0] == {
        "item_id": "i05",
        "title": "Title 5",
        "categories": ["south"],
        "created_at": "2023-12-31T00:00:00Z",
        "image": True,
        "audio": False,
        "events": found[0]["events"],
    }


def test_an_item_is_told_with_its_release(client):
    item = client.get("/v1/items/i05").json()
    assert (item["title"], item["description"], item["release"]) == ("Title 5", None, "first")
    assert "image" not in item["attributes"]


def test_an_item_names_the_modalities_by_which_it_has_neighbours(client):
    choices, item = client.get("/v1/choices").json(), client.get("/v1/items/i05").json()
    for by in choices["modalities"]:
        answered = client.get("/v1/items/i05/similar", params={"by": by}).status_code == 200
        assert answered == (by in item["modalities"])


def test_an_unknown_item_is_not_found(client):
    answer = client.get("/v1/items/i99")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "'i99'" in answer.json()["detail"]


def test_choices_are_what_the_events_and_the_release_hold(client):
    choices = client.get("/v1/choices").json()
    assert (choices["devices"], choices["places"]) == (["mobile", "tv"], ["home"])
    assert [kind["name"] for kind in choices["kinds"]] == ["impression", "click"]
    assert choices["categories"] == [{"name": "north", "items": 20}, {"name": "south", "items": 20}]
    assert choices["releases"] == [{"id": "first", "created_at": "2024-01-01T00:00:00Z", "current": True}]
    assert {"popular", "ease"} <= set(choices["generators"])
    assert "image" in choices["modalities"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", "order=best", f"search={'x' * 300}"])
def test_a_query_out_of_range_is_refused(client, query):
    assert client.get(f"/v1/items?{query}").status_code == 422


@pytest.mark.parametrize(
    ("value", "said"),
    [(float("nan"), None), (2.5, 2.5), (["a", None], ["a", None]), (b"x", "b'x'"), (None, None), (True, True)],
)
def test_values_of_any_column_become_json(value, said):
    assert plain(value) == said
