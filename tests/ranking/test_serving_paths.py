"""Ids with slashes in paths: each is reached by its encoded self, and by nothing else."""

import shutil
from urllib.parse import quote

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from feature_repo.settings import Access, ApiKey, Settings
from ranking.client import Client
from ranking.serving.app import create_app
from ranking.serving.catalogue import save_parts
from ranking.serving.engine import Engine
from ranking.serving.paths import PathId, decoded
from ranking.serving.releases import Releases
from ranking.strategy.hybrid import Hybrid
from ranking.types import IdIndex
from tests.servers import running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
# in the order of what they replace
NAMES = {"i36": "i35/similar", "i37": "i37/a b%2Fc", "i38": "i38/../../i01", "i39": "i39//ü/image"}
KEY = "a-secret-of-the-reader"


@pytest.fixture(scope="module")
def slashed(served, world, tmp_path_factory):
    """An engine on a release whose last items have such ids."""
    folder = shutil.copytree(served[0], tmp_path_factory.mktemp("slashed") / "home", symlinks=True)
    settings = Settings(home=folder, api=Access(keys={"reader": ApiKey(secret=KEY)}))
    ids = [NAMES.get(one, one) for one in world.items["item_id"].to_pylist()]
    items = world.items.set_column(0, "item_id", pa.array(ids, pa.string()))
    own = world.hybrid
    hybrid = Hybrid(
        own.config,
        items=IdIndex(tuple(ids)),
        created_at=own.created_at,
        generators=own.generators,
        knowledge=own.knowledge,
        vocabulary=own.vocabulary,
        ranker=own.ranker,
        routes=own.routes,
    )

    def make(folder):
        save_parts(folder, hybrid, items)
        return world.manifest("slashed")

    releases = Releases.of(settings)
    releases.publish("slashed", make)
    releases.promote("slashed")
    engine = Engine(settings)
    engine.load()
    return engine


@pytest.fixture
def client(slashed, tmp_path):
    (tmp_path / "images").mkdir()
    for number in (36, 37, 38, 39):
        (tmp_path / "images" / f"{number}.png").write_bytes(PNG + bytes([number]))
    return TestClient(create_app(slashed, media_root=tmp_path), headers={"Authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize(("old", "item"), NAMES.items())
def test_an_item_whose_id_holds_slashes_is_described_and_has_neighbours_and_a_picture(client, slashed, old, item):
    name = quote(item, safe="")
    assert client.get(f"/v1/items/{name}").json()["item_id"] == item
    near = client.get(f"/v1/items/{name}/similar", params={"k": 3})
    assert near.json() == slashed.similar(item, k=3, by="all").model_dump()
    assert client.get(f"/media/{name}/image").content == PNG + bytes([int(old[1:])])
    assert client.get(f"/items/{name}").headers["content-type"].startswith("text/html")


def test_an_id_that_ends_as_a_path_does_is_not_mistaken_for_it(client):
    assert client.get("/v1/items/i35%2Fsimilar").json()["title"] == "Title 36"
    assert len(client.get("/v1/items/i35/similar?k=3").json()["items"]) == 3
    assert client.get("/v1/items/i35%2fsimilar/similar?k=3").json()["items"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/items/i37/a%20b%252Fc",  # not encoded: no such route
        "/v1/items/i37%2Fa%20b%2Fc",  # another id: its percent sign is missing
        "/v1/items/i38/../../i01/similar/similar",
        "/v1%2Fitems%2Fi01",
        "/v1/items/..%2F..%2Fhealth%2Flive",
        "/health%2Flive",
        "/v1/items/%00/similar",
        "/v1/items/%ff%fe/similar",
        "/media/..%2F..%2F..%2Fetc%2Fpasswd/image",
        "/media/i36%2F..%2Fi36/image",
        "/web/..%2F..%2Fapp.py",
        "/web%2F..%2Fapp.py",
    ],
)
def test_other_paths_lead_nowhere(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/items/i35%2Fsimilar",
        "/v1%2Fitems/i01",
        "/health%2F..%2Fv1%2Fitems",
        "/health/..%2Fv1%2Fitems",
        "/items%2F..%2Fv1%2Fusers",
        "/media/i39%2F%2F%C3%BC%2Fimage/image",
        "/%76%31/users",
        "/v1/events%2F",
    ],
)
def test_no_way_of_writing_a_path_gets_past_the_guard(slashed, path):
    answer = TestClient(create_app(slashed)).get(path)
    assert answer.status_code in (401, 404)
    assert "item_id" not in answer.text


def test_a_real_server_hands_on_encoded_slashes(slashed):
    with running(create_app(slashed)) as address, Client(address, key=KEY) as client:
        for item in NAMES.values():
            assert client.item(item).item_id == item
            assert client.similar(item, k=3) == slashed.similar(item, k=3, by="all")


@given(st.text(min_size=1, max_size=30))
def test_any_id_comes_out_as_it_was(text):
    try:
        name = quote(text, safe="")
    except UnicodeEncodeError:  # halves of characters, which no path can hold
        return
    _, before, segment, after = decoded(f"/v1/{name}/similar").split("/")
    assert (before, after) == ("v1", "similar")
    assert TypeAdapter(PathId).validate_python(segment) == text
