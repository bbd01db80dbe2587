"""Views whose definition changes under rows of the former one, and views whose Parquet file is gone or damaged."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from feast import Field
from feast.types import Int64, String

from feature_repo import compute, schema, views
from feature_repo.backfill import backfill
from feature_repo.errors import StoreError
from feature_repo.freshness import freshness
from feature_repo.online import missing
from feature_repo.settings import OnlineStore, Settings
from feature_repo.sources import rows_path
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = START + timedelta(hours=1)
VIEW = "user_vectors"
ADDED = [*views._vector("user_vector"), Field(name="user_mood", dtype=String)]
LOST = [Field(name="user_mood", dtype=String)]
RETYPED = [Field(name="user_vector", dtype=Int64)]
Change = Callable[[list[Field]], Store]


def row(fields: list[Field], number: int) -> pa.Table:
    """A row of one user in a definition of the view, all of one number."""
    values = {"user_vector": [float(number)] * 128, "user_mood": f"mood {number}"}
    if fields is RETYPED:
        values = {"user_vector": number}
    keys = {"user_id": "u", "event_timestamp": START + timedelta(minutes=number)}
    return pa.Table.from_pylist([keys | {field.name: values[field.name] for field in fields}])


def read(store: Store) -> dict[str, object]:
    """The user's features of the view, and whether nothing at all is known of them."""
    answer = store.online_rows({"user_id": ["u"]}, at=NOW, service="retrieval_v1")
    found = {name: answer[name][0].as_py() for name in store.plan("retrieval_v1").stored["user_id"][VIEW].fields}
    return found | {"missing": missing(answer)["user_id"] == ["u"]}


def state(store: Store) -> str:
    """The view's, as `trichord features --freshness` shows it."""
    (one,) = (one for one in freshness(store, clock=NOW) if one.view == VIEW)
    return one.to_json()["state"]


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Give the view other fields and register it, as a deployment of changed code does."""
    vector = views._vector

    def to(fields: list[Field]) -> Store:
        monkeypatch.setattr(views, "_vector", lambda name: fields if name == "user_vector" else vector(name))
        store = Store(Settings(home=tmp_path))
        store.apply()
        return store

    return to


@pytest.mark.parametrize(
    ("fields", "nothing"),
    [
        (ADDED, {"user_vector": None, "user_mood": None}),
        (LOST, {"user_mood": None}),
        (RETYPED, {"user_vector": None}),
    ],
)
def test_rows_of_a_former_definition_are_never_read_as_new(
    change: Change, fields: list[Field], nothing: dict[str, object]
) -> None:
    old = change(views._vector("user_vector"))
    old.write_view(VIEW, row(views._vector("user_vector"), 1))
    old.materialize(NOW)
    before = read(old)
    assert before == {"user_vector": [1.0] * 128, "missing": False}
    assert state(old) == "ok"

    new = change(fields)
    assert read(new) == nothing | {"missing": True}
    assert read(old) == before  # a server that has not been restarted
    for ask in (
        lambda: new.materialize(NOW),
        lambda: backfill(new, START, NOW, clock=NOW),
        lambda: freshness(new, clock=NOW),
    ):
        with pytest.raises(StoreError, match=rf"{VIEW}.parquet: .* of a former definition.*{fields[-1].name}.*`trich"):
            ask()
    assert read(new) == nothing | {"missing": True}
    assert read(old) == before

    new.write_view(VIEW, row(fields, 2))
    assert state(new) == "stale"
    new.materialize(NOW)
    assert state(new) == "ok"
    after = read(new)
    wanted = row(fields, 2).to_pylist()[0]
    assert after == {name: wanted[name] for name in nothing} | {"missing": False}
    new.apply()  # now the former rows go
    assert read(new) == after
    assert read(old) == {"user_vector": None, "missing": True}


@pytest.fixture(params=[OnlineStore.PACKED, OnlineStore.SQLITE])
def online(request: pytest.FixtureRequest, tmp_path: Path, items: pa.Table) -> Store:
    """Two views, one row of each online."""
    store = Store(Settings(home=tmp_path, online_store=request.param))
    store.apply()
    store.write_view(VIEW, row(views._vector("user_vector"), 1))
    store.write_view("item_content", compute.content_rows(items))
    store.materialize(NOW)
    return store


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(content[:4] + bytes(200) + content[204:])


@pytest.mark.parametrize("how", ["missing", "cut off", "empty", "overwritten"])
def test_a_view_whose_file_fails_is_named_and_what_is_online_stays(online: Store, how: str) -> None:
    before = read(online)
    path = rows_path(online.settings, VIEW)
    damage(path, how)
    later = NOW + timedelta(hours=1)
    asks: list[Callable[[], object]] = [
        lambda: online.materialize(later),
        lambda: backfill(online, START, later, clock=later),
        lambda: online.read_view(VIEW),
        lambda: online.training_frame(
            pa.table({"user_id": ["u"], "event_timestamp": pa.array([NOW], schema.TIMESTAMP)}), service="retrieval_v1"
        ),
    ]
    if how != "overwritten":  # it reads moments alone
        asks.append(lambda: freshness(online, clock=later))
    for ask in asks:
        with pytest.raises(StoreError, match=f"{VIEW}.*`trichord run`"):
            ask()
        assert read(online) == before
        assert read(Store(online.settings)) == before
    online.write_view(VIEW, row(views._vector("user_vector"), 2))
    online.materialize(later)
    assert read(online)["user_vector"] == [2.0] * 128
    assert [one.ok for one in freshness(online, clock=later) if one.view in (VIEW, "item_content")] == [True, True]
