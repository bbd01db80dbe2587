"""Every command, link and example of README.md and docs/ is what the code takes."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import typer
from fastapi import FastAPI
from PIL import Image
from typer.core import TyperGroup

from feature_repo.settings import Settings
from pipelines.cli import app
from pipelines.datasets.tables import read_tables
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.feature_payloads import OnlineFeaturesRequest
from ranking.serving.payloads import PostedEvent, RankRequest, Request, RulesToCheck
from ranking.strategy.rules.parsing import parse
from ranking.strategy.rules.syntax import Rule

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BODIES = {
    "/v1/recommendations": Request,
    "/v1/rank": RankRequest,
    "/v1/events": PostedEvent,
    "/v1/rules/check": RulesToCheck,
    "/get-online-features": OnlineFeaturesRequest,
}


def blocks(page: Path, language: str) -> Iterator[str]:
    """Texts of a page's code blocks in a language, without the indentation of a list."""
    for indent, text in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def commands() -> list[list[str]]:
    """Words of every shell command, continued lines joined and comments left out."""
    text = "\n".join(block for page in PAGES for block in blocks(page, "sh"))
    lines = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def of(program: str) -> list[list[str]]:
    found = [words[1:] for words in commands() if words[0] == program]
    assert found, program
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_blocks_are_shell(page: Path) -> None:
    for text in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_no_other_program_is_asked_for() -> None:
    known = {"trichord", "make", "pip", "python3.11", ".", "export", "curl", "dagster", "dg", "feast"}
    assert {words[0] for words in commands()} <= known


@pytest.mark.parametrize("words", of("trichord"), ids=" ".join)
def test_trichord_takes_the_command_and_its_options(words: list[str]) -> None:
    command, rest = typer.main.get_command(app), list(words)
    while isinstance(command, TyperGroup):
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)  # parses and checks without running


def test_make_has_the_targets() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {words[0] for words in of("make")} <= set(targets)


def test_dagster_has_the_module_and_the_jobs() -> None:
    from pipelines.definitions import defs

    for words in of("dagster"):
        assert words == ["dev", "-m", "pipelines.definitions"]
    assert importlib.util.find_spec("pipelines.definitions")
    for words in of("dg"):
        assert words[:2] == ["launch", "--job"]
        job = defs.resolve_job_def(words[2])
        if words[3:]:
            assert words[3] in ("--partition", "--partition-range")
            assert {*words[4].split("...")} <= {*job.partitions_def.get_partition_keys()}


def test_pages_name_the_schedules_and_the_sensor() -> None:
    from pipelines.schedules import SCHEDULES, SENSORS

    assert all(f"`{one.name}`" in PAGES[0].read_text() for one in [*SCHEDULES, *SENSORS])


def test_feast_has_the_commands() -> None:
    ask = "from feast.cli.cli import cli; print(*cli.commands)"  # in a process of its own: feast leaves files open
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    for words in of("feast"):
        assert words[:2] == ["-c", "feature_repo"]
        if words[2] == "-f":
            assert (ROOT / words[3]).exists()
            del words[2:4]
        assert words[2] in done.stdout.split()


def test_curl_asks_for_paths_and_bodies_that_the_api_takes(tmp_path: Path) -> None:
    api: FastAPI = create_app(Engine(Settings(home=tmp_path)))
    paths = [re.sub(r"\{\w+\}", "[^/]+", one) for one in api.openapi()["paths"]]
    for words in of("curl"):
        url = next(word for word in words if word.startswith("localhost:8080"))
        path = url.removeprefix("localhost:8080")
        assert any(re.fullmatch(one, path) for one in paths), path
        if "-d" in words:
            body = json.loads(words[words.index("-d") + 1])
            for one in body if isinstance(body, list) else [body]:
                BODIES[path].model_validate(one)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}, target


def test_the_readmes_dataset_is_read_without_a_rejection(tmp_path: Path) -> None:
    files = re.findall(r"`shop/([\w.]+)`.*?\n\n( *)```\w+\n(.*?)^ *```$", PAGES[0].read_text(), re.M | re.S)
    assert [name for name, _, _ in files] == ["dataset.toml", "items.csv", "events.csv"]
    for name, indent, text in files:
        (tmp_path / name).write_text(re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
    (tmp_path / "media").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "media" / "kettle.jpg")
    dataset = read_tables(tmp_path, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert len(dataset.rejected) == 0, dataset.rejected.summary()
    assert (len(dataset.items), len(dataset.events), len(dataset.users)) == (3, 5, 2)
    assert dataset.items["price"].to_pylist() == [34.5, 12.0, 19.9]


def test_rules_of_the_pages_are_rules() -> None:
    texts = [line for page in PAGES for text in blocks(page, "rules") for line in text.splitlines()]
    asked = [words[place + 1] for words in of("trichord") for place, word in enumerate(words) if word == "--rule"]
    found = [parse(text) for text in [*(line for line in texts if line.split("#")[0].strip()), *asked]]
    assert len(found) > 8
    assert all(isinstance(one, Rule) for one in found), found


def test_sql_examples_parse() -> None:
    queries = [text for page in PAGES for text in blocks(page, "sql")]
    assert queries
    with duckdb.connect() as con:
        for query in queries:
            (statement,) = con.extract_statements(query)
            assert statement.type == duckdb.StatementType.SELECT


def test_the_example_of_a_new_feature_works(tmp_path: Path) -> None:
    page = ROOT / "docs" / "feature-store.md"
    shutil.copytree(ROOT / "feature_repo", tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    for text in blocks(page, "diff"):
        head, *hunks = re.split(r"^@@\n", text, flags=re.MULTILINE)
        path = tmp_path / re.findall(r"^\+\+\+ b/(.*)$", head, re.MULTILINE)[0]
        code = path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
            assert code.count(old) == 1, old
            code = code.replace(old, new)
        path.write_text(code)
    script, _ = blocks(page, "python")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,  # before anything else on the path
        env={**os.environ, "TRICHORD_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"^print\(found\)  # (.*)$", script, re.MULTILINE)
    assert done.stdout.splitlines() == shown


def test_every_reason_of_rejection_is_explained() -> None:
    sources = [*(ROOT / "pipelines" / "datasets").glob("*.py"), *(ROOT / "ranking" / "representation").glob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    reasons = set(re.findall(r'(?:UnreadableContentError|MediaProblem)\("(\w+)"', code))
    reasons |= set(re.findall(r'"((?:bad|unknown|future|malformed|unclosed|no)_[a-z_]+)"', code))
    explained = (ROOT / "docs" / "data.md").read_text()
    assert {reason for reason in reasons if f"`{reason}`" not in explained} == set()
