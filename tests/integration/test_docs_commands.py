"""The README's commands, run as they stand there on a home that a run has filled."""

import re
import shlex
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
ASK = ("recommend", "features", "evaluate")  # commands that change nothing; `releases` has but one that does so


def commands() -> list[list[str]]:
    """Words of the README's `trichord` commands that only ask."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", README.read_text(), re.MULTILINE | re.DOTALL)
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
