"""A run speaks to a person and is quiet in a pipe."""

import io
import re

import pytest
from rich.console import Console

from pipelines.home import Built, Facts
from pipelines.terminal import Terminal


def built(name: str, facts: Facts, *, reused: bool = False) -> Built:
    return Built(name, "f", facts, reused=reused, seconds=1.25)


def shown(artifacts: list[Built], *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
    with Terminal(console) as listener:
        for one in artifacts:
            listener.step(one.name, 1, 2)
            listener.step(one.name, 2, 2)
            listener.built(one)
    return console.file.getvalue()


@pytest.fixture
def artifacts() -> list[Built]:
    return [built("items", {"rows": 1200}), built("events", {"rows": 7, "note": "x"}, reused=True)]


def test_nothing_is_written_into_a_pipe(artifacts):
    assert shown(artifacts, terminal=False) == ""


def test_a_terminal_gets_a_line_an_artifact_with_its_counts(artifacts):
    lines = shown(artifacts, terminal=True).splitlines()
    assert any("✓ items" in line and "1.2 s" in line and "rows 1,200" in line for line in lines)
    assert any("✓ events" in line and "unchanged" in line and "rows 7" in line for line in lines)
    assert not any("note" in line for line in lines)


def test_a_bar_tells_rate_and_time_left():
    seconds = iter(range(100))
    console = Console(
        file=io.StringIO(), force_terminal=True, width=120, color_system=None, get_time=lambda: next(seconds)
    )
    with Terminal(console) as listener:
        for done in (0, 50, 100, 150):
            listener.step("image_embeddings", done, 300)
    assert re.search(r"image_embeddings .*150/300 [\d.]+/s 0:0\d:\d\d", console.file.getvalue())


def test_rejected_rows_are_told_by_reason_and_file():
    listener = Terminal(Console(file=io.StringIO()))
    listener.built(built("items", {"rows": 3, "rejected": {"events.unknown_kind": 1200, "events.future": 1}}))
    listener.built(built("users", {"rows": 3}))
    listener.built(built("image_embeddings", {"rejected": {}}))
    assert listener.rejected() == [
        "1,200 x events.unknown_kind (lake/items/rejected.json)",
        "1 x events.future (lake/items/rejected.json)",
    ]
