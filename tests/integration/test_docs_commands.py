"""The commands of the README and of the page on strategy, run as they stand there on a home that a run has filled."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from feature_repo.settings import Settings
from ranking.serving.app import create_app
from ranking.serving.engine import Engine

README = Path(__file__).parents[2] / "README.md"
STRATEGY = README.parent / "docs" / "strategy.md"
API = README.parent / "docs" / "api.md"
ASK = ("recommend", "features", "evaluate", "rules")  # they change nothing; `releases` has but one that does not


def commands(page: Path = README) -> list[list[str]]:
    """Words of a page's `trichord` commands that only ask."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    asked = [words[1:] for words in (shlex.split(line, comments=True) for line in lines) if words[:1] == ["trichord"]]
    return [words for words in asked if words[0] in ASK or words[:2] == ["releases", "list"]]


def test_the_readme_asks_everything_once():
    assert {words[0] for words in commands()} == {*ASK, "releases"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_readme_runs(home, trichord, words):
    if "--home" in words:
        words = [*words[: words.index("--home")], *words[words.index("--home") + 2 :]]
    done = trichord.anew(*words, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.fixture(scope="module")
def ruled(home, tmp_path_factory):
    """A copy of the home, with the rules of the page on strategy."""
    folder = shutil.copytree(home, tmp_path_factory.mktemp("ruled") / "home", symlinks=True)
    (text,) = re.findall(r"^```rules\n(.*?)^```$", STRATEGY.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "rules.txt").write_text(text)
    return folder


@pytest.mark.parametrize("words", commands(STRATEGY), ids=" ".join)
def test_a_command_of_the_page_on_strategy_runs(ruled, trichord, words):
    done = trichord(*words, home=ruled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_the_rules_of_the_page_shape_an_answer(ruled, trichord):
    tried = json.loads(trichord("rules", "try", "u00001", "--json", home=ruled).stdout)
    assert tried["without"]["rules"] == [] and tried["with"]["fallbacks"] == []
    assert any(note.startswith("exclude where categories") for note in tried["with"]["rules"])


def test_wrong_rules_are_told_with_their_places(ruled, trichord, tmp_path):
    (tmp_path / "wrong.txt").write_text("cap maker at 1\n\n  boost 2 wher minutes < 3\n")
    done = trichord("rules", "check", str(tmp_path / "wrong.txt"), home=ruled)
    assert done.returncode == 2
    assert "wrong.txt:3:11: error: 'wher' is not expected" in done.stdout
    assert "2 rules, 1 errors, 0 warnings" in done.stdout
    found = json.loads(trichord("rules", "check", str(tmp_path / "wrong.txt"), "--json", home=ruled).stdout)
    assert (found["ok"], [(one["line"], one["column"]) for one in found["faults"]]) == (False, [(3, 11)])
    for words in (["rules", "check", "nowhere.txt"], ["rules", "try", "u00001", "--rule", "cap nobody at 1"]):
        done = trichord(*words, home=ruled)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1


def test_the_requests_of_the_page_on_the_api_are_answered_in_their_order(home, tmp_path):
    folder = shutil.copytree(home, tmp_path / "home", symlinks=True)
    engine = Engine(Settings(home=folder))
    engine.load()
    client, asked, request_id = TestClient(create_app(engine)), 0, ""
    for block in re.findall(r"^```sh\n(.*?)^```$", API.read_text(), re.MULTILINE | re.DOTALL):
        words = shlex.split(block.replace("\\\n", " ").replace("REQUEST_ID", request_id))
        assert words[:2] == ["curl", "-s"]
        path = words[2].removeprefix("localhost:8080")
        body = words[words.index("-d") + 1] if "-d" in words else None
        json_type = {"content-type": "application/json"}
        answer = client.get(path) if body is None else client.post(path, content=body, headers=json_type)
        assert answer.status_code == 200, answer.text
        if path == "/v1/recommendations":
            request_id = answer.json()["request_id"]
        asked += 1
    assert asked >= 6
