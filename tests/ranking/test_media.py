"""Pictures and sounds over HTTP: what is sent, and that nothing outside the media folder ever is."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feature_repo import schema
from ranking.errors import UnknownEntityError
from ranking.serving import media
from ranking.serving.app import create_app
from ranking.serving.catalogue import Catalogue
from ranking.serving.media import Media
from ranking.types import IdIndex

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SECRET = b"\x89PNG\r\n\x1a\n secret"


def catalogue(name: str | None, audio: str | None = None) -> Catalogue:
    row = {"item_id": "i", "categories": [], "image": name, "audio": audio}
    return Catalogue.of(pa.Table.from_pylist([row], schema.ITEMS), IdIndex(("i",)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(PNG)
    (folder / "inner" / "b.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(SECRET)
    (tmp_path / "media-beside").mkdir()
    (tmp_path / "media-beside" / "secret.png").write_bytes(SECRET)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "out").symlink_to(tmp_path)
    (folder / "own.png").symlink_to("a.png")
    os.mkfifo(folder / "pipe.png")
    return folder


@pytest.mark.parametrize("name", ["a.png", "inner/b.png", "inner/../a.png", "./a.png", "own.png"])
def test_a_file_inside_is_found(root, name):
    found = Media(root).find(catalogue(name), "i", "image")
    assert found.path.read_bytes() == PNG
    assert found.content_type == "image/png"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "../media-beside/secret.png",
        "inner/../../secret.png",
        "link.png",
        "out/secret.png",
        "out/media/a.png/../../secret.png",
        "file:///etc/passwd",
        "file:a.png",
        "https://example.org/a.png",
        "data:image/png;base64,AAAA",
        "C:\\a.png",
        "a.png\0.jpg",
        "pipe.png",
        "inner",
        ".",
        "",
        "nothing.png",
        "x" * 5000,
    ],
)
def test_hostile_paths_are_not_found(root, name):
    with pytest.raises(UnknownEntityError):
        Media(root).find(catalogue(name), "i", "image")


def test_an_absolute_path_is_not_found_even_inside(root):
    for path in (root / "a.png", root.parent / "secret.png"):
        with pytest.raises(UnknownEntityError):
            Media(root).find(catalogue(str(path)), "i", "image")


pieces = st.sampled_from(
    ["..", ".", "", "/", "//", "a.png", "inner", "b.png", "out", "link.png", "secret.png", "media", "media-beside"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["out", "secret.png"])
@given(st.one_of(st.lists(pieces, max_size=8), st.text(max_size=30).map(lambda text: [text])))
def test_whatever_a_catalogue_says_nothing_outside_is_opened(root, parts):
    try:
        found = Media(root).find(catalogue("/".join(parts)), "i", "image")
    except UnknownEntityError:
        return
    assert found.path.is_relative_to(root.resolve())
    assert found.path.read_bytes() == PNG


@pytest.mark.parametrize(
    ("head", "kind", "content_type"),
    [
        (b"\xff\xd8\xff\xe0", "image", "image/jpeg"),
        (b"GIF89a", "image", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image", "image/webp"),
        (b"\0\0\0\x20ftypavif", "image", "image/avif"),
        (b"RIFF\0\0\0\0WAVE", "audio", "audio/wav"),
        (b"fLaC", "audio", "audio/flac"),
        (b"OggS", "audio", "audio/ogg"),
        (b"ID3", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio", "audio/mpeg"),
        (b"\0\0\0\x20ftypM4A ", "audio", "audio/mp4"),
    ],
)
def test_the_type_is_told_by_the_first_bytes_not_the_name(root, head, kind, content_type):
    (root / "file.txt").write_bytes(head + bytes(64))
    found = Media(root).find(catalogue("file.txt", "file.txt"), "i", kind)
    assert found.content_type == content_type


@pytest.mark.parametrize("head", [b"<svg xmlns=", b"<html>", b"%PDF-1.7", b"fLaC", b"\x00", b""])
def test_what_is_no_picture_on_the_list_is_not_sent(root, head):
    (root / "a.png").write_bytes(head)
    with pytest.raises(UnknownEntityError):
        Media(root).find(catalogue("a.png"), "i", "image")


def test_a_file_that_is_too_large_is_not_sent(root, monkeypatch):
    monkeypatch.setattr(media, "MAX_BYTES", len(PNG) - 1)
    with pytest.raises(UnknownEntityError):
        Media(root).find(catalogue("a.png"), "i", "image")


@pytest.fixture
def client(settled, tmp_path):
    """The world's items name images/N.png; only that of i01 is there."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(PNG)
    return TestClient(create_app(settled, media_root=tmp_path))


def test_a_picture_is_sent_with_what_browsers_need(client):
    answer = client.get("/media/i01/image")
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "max-age" in answer.headers["cache-control"]
    again = client.get("/media/i01/image", headers={"If-None-Match": f'"other", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


def test_a_range_of_bytes_is_sent(client):
    answer = client.get("/media/i01/image", headers={"Range": "bytes=8-11"})
    assert (answer.status_code, answer.content) == (206, PNG[8:12])
    assert answer.headers["content-range"] == f"bytes 8-11/{len(PNG)}"
    assert client.get("/media/i01/image", headers={"Range": "bytes=99999-"}).status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        "/media/i02/image",
        "/media/i01/audio",
        "/media/i99/image",
        "/media/..%2f..%2fetc%2fpasswd/image",
        "/media/%2e%2e/image",
        "/media/images%2F1.png/image",
        "/media/i01/image%2f..%2f..",
        "/web/../app.py",
        "/web/%2e%2e/app.py",
        "/web/..%2fapp.py",
        "/web//etc/passwd",
    ],
)
def test_no_path_of_a_request_is_read(client, path):
    answer = client.get(path)
    assert answer.status_code in (404, 405, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@given(st.text(min_size=1, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_only_an_item_id_gives_a_file(client, name):
    from urllib.parse import quote

    answer = client.get(f"/media/{quote(name, safe='', errors='replace')}/image")
    assert (answer.status_code == 200) == (name == "i01")


def test_without_a_media_folder_nothing_is_sent(settled):
    assert TestClient(create_app(settled)).get("/media/i01/image").status_code == 404
