"""The page's files: sent with a strict policy, which they keep to, and whole."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ranking.serving.app import create_app
from ranking.serving.web_routes import ADDRESSES

WEB = Path(str(files("ranking.serving") / "web"))
SOURCES = sorted(path for path in WEB.rglob("*") if path.is_file())
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def named(path: Path) -> str:
    return path.relative_to(WEB).as_posix()


@pytest.fixture
def client(settled):
    return TestClient(create_app(settled))


@pytest.mark.parametrize("address", [one.replace("{item_id}", "i01") for one in ADDRESSES])
def test_every_address_gives_the_page(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_every_file_is_sent_as_what_it_is(client, path):
    answer = client.get(f"/web/{named(path)}")
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"].startswith(TYPES[path.suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"/web/{named(path)}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_browsers_find_an_icon_beside_any_document(client):
    answer = client.get("/favicon.ico")
    assert (answer.headers["content-type"], answer.content) == ("image/svg+xml", (WEB / "icon.svg").read_bytes())


def test_the_page_has_no_inline_script_style_or_handler():
    html = (WEB / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"<style|\bstyle=|\bon\w+=", html)


@pytest.mark.parametrize("path", [one for one in SOURCES if one.suffix == ".js"], ids=named)
def test_no_module_reads_text_as_html_or_code(path):
    text = path.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style", text
    )


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_file_names_another_server(path):
    named_there = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
    assert named_there <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", [one for one in SOURCES if one.suffix in (".js", ".html")], ids=named)
def test_what_a_file_asks_for_is_there(path):
    text = path.read_text()
    for target in re.findall(r"(?:from|import\()\s*\"(\.[^\"]+)\"", text):
        assert (path.parent / target).is_file(), target
    for target in re.findall(r"(?:src|href)=\"/web/([^\"]+)\"", text):
        assert (WEB / target).is_file(), target


@pytest.mark.parametrize("path", [one for one in SOURCES if one.suffix == ".js"], ids=named)
def test_what_a_module_imports_is_exported_and_used(path):
    text = path.read_text()
    for names, target in re.findall(r"import \{([^}]+)\} from \"([^\"]+)\"", text):
        exported = set(re.findall(r"export (?:async )?(?:function|const) (\w+)", (path.parent / target).read_text()))
        for name in (one.strip() for one in names.split(",")):
            assert name in exported, f"{name} of {target}"
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is not used"


@pytest.mark.parametrize("path", [one for one in SOURCES if one.suffix == ".css"], ids=named)
def test_colours_stand_in_one_file(path):
    known = set(re.findall(r"(--[\w-]+):", (WEB / "css" / "tokens.css").read_text()))
    set_elsewhere = {"--hue", "--ms", "--share", "--family"}
    assert set(re.findall(r"var\((--[\w-]+)", path.read_text())) <= known | set_elsewhere


def test_the_contract_names_the_new_endpoints(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/users", "/v1/items", "/v1/items/{item_id}", "/v1/choices", "/v1/dashboard"} <= set(paths)
    assert "/media/{item_id}/{kind}" in paths
    assert not {"/", "/compare", "/dashboard"} & set(paths)
