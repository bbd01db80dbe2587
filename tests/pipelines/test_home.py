"""The home: artifacts are rebuilt when what they are made from has changed, and only then; one run holds it."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.settings import Settings
from pipelines.errors import HomeError
from pipelines.home import STAMP, Facts, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    one = Home(Settings(home=tmp_path / "home"))
    one.prepare()
    return one


class Maker:
    """Writes one file and counts how often it was asked to."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.times = 0

    def __call__(self, folder: Path) -> Facts:
        self.times += 1
        (folder / "made.txt").write_text(self.text)
        return {"rows": len(self.text)}


def made(home: Home, name: str) -> str:
    return (home.folder(name) / "made.txt").read_text()


def test_an_artifact_is_made_once_and_then_kept_with_its_facts(home):
    make = Maker("abc")
    first = home.build("one", make, config={"k": 1})
    again = home.build("one", make, config={"k": 1})
    assert make.times == 1
    assert (first.reused, again.reused) == (False, True)
    assert (again.fingerprint, again.facts, again.seconds) == (first.fingerprint, {"rows": 3}, 0.0)
    assert made(home, "one") == "abc"


def test_another_configuration_makes_it_again(home):
    home.build("one", Maker("old"), config={"k": 1})
    assert not home.build("one", Maker("new"), config={"k": 2}).reused
    assert made(home, "one") == "new"


def test_a_changed_input_makes_everything_below_it_again(home):
    def chain(k: int) -> list[bool]:
        home.build("top", Maker(), config={"k": k})
        middle = home.build("middle", Maker(), inputs=["top"])
        return [middle.reused, home.build("bottom", Maker(), inputs=["middle"]).reused]

    assert chain(1) == [False, False]
    assert chain(1) == [True, True]
    assert chain(2) == [False, False]


def test_the_order_of_a_configuration_does_not_count(home):
    home.build("one", Maker(), config={"a": 1, "b": 2})
    assert home.build("one", Maker(), config={"b": 2, "a": 1}).reused


def test_two_artifacts_of_the_same_recipe_are_two(home):
    assert home.build("one", Maker()).fingerprint != home.build("two", Maker()).fingerprint


def test_a_failing_make_leaves_the_old_artifact(home):
    home.build("one", Maker("old"), config={"k": 1})

    def fail(folder: Path) -> Facts:
        (folder / "made.txt").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        home.build("one", fail, config={"k": 2})
    assert made(home, "one") == "old"
    assert home.build("one", Maker(), config={"k": 1}).reused
    assert not home.build("one", Maker("new"), config={"k": 2}).reused


def test_what_a_killed_run_left_half_made_is_not_built_upon(home):
    left = home.settings.lake / ".one.new"
    left.mkdir()
    (left / "torn.txt").write_text("half")
    home.build("one", Maker("whole"))
    assert sorted(path.name for path in home.folder("one").iterdir()) == ["made.txt", STAMP]
    assert [path.name for path in home.settings.lake.iterdir()] == ["one"]


def test_nothing_of_the_older_artifact_stays(home):
    home.build("one", lambda folder: {"n": (folder / "old.txt").write_text("x")}, config={"k": 1})
    home.build("one", Maker(), config={"k": 2})
    assert sorted(path.name for path in home.folder("one").iterdir()) == ["made.txt", STAMP]
    assert [path.name for path in home.settings.lake.iterdir()] == ["one"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"fingerprint": "x"}'])
def test_an_artifact_with_a_damaged_stamp_is_made_again(home, damage: str):
    home.build("one", Maker("old"))
    (home.folder("one") / STAMP).write_text(damage)
    assert home.stamp("one") is None
    assert not home.build("one", Maker("new")).reused
    assert made(home, "one") == "new"


def test_an_input_that_was_never_built_is_named(home):
    home.build("there", Maker())
    make = Maker()
    with pytest.raises(HomeError, match="below: needs `absent`, which was never built here; run `trichord run` first"):
        home.build("below", make, inputs=["there", "absent"])
    assert make.times == 0
    assert not home.folder("below").exists()


def test_tables_are_read_as_they_were_written(home):
    table = pa.table({"item_id": ["a", "b"], "n": [1, None]})

    def make(folder: Path) -> Facts:
        home.write(folder, table)
        return {}

    home.build("items", make)
    assert home.read("items").equals(table)


def test_a_table_that_is_not_there_says_what_to_run(home):
    with pytest.raises(HomeError, match=r"items/table.parquet: not there; run `trichord run --home .*` first"):
        home.read("items")


def test_a_second_run_on_one_home_is_refused_in_one_line(home):
    refused = pytest.raises(HomeError, match=r"in use by another run \(process \d+\); wait")
    with home.lock(), refused as error, Home(home.settings).lock():
        pass
    assert len(str(error.value).splitlines()) == 1


def test_the_lock_is_free_again_after_a_run_even_a_failed_one(home):
    with pytest.raises(ValueError, match="failed"), home.lock():
        raise ValueError("failed")
    with home.lock():
        pass


def test_the_lock_of_another_process_is_named_and_ends_with_it(home):
    script = (
        "import sys; from pathlib import Path\n"
        "from feature_repo.settings import Settings; from pipelines.home import Home\n"
        "with Home(Settings(home=Path(sys.argv[1]))).lock():\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(home.settings.home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HomeError, match=rf"process {other.pid}\)"), home.lock():
            pass
        other.kill()
        other.wait()
        with home.lock():
            pass


def test_a_home_that_cannot_be_written_says_why_and_what_to_give(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    where = tmp_path / "file" / "home"
    with pytest.raises(HomeError, match=r"cannot be written \(Not a directory\); give a folder of yours with --home"):
        Home(Settings(home=where)).prepare()


def test_preparing_twice_leaves_no_trace(home):
    home.prepare()
    assert sorted(path.name for path in home.settings.home.iterdir()) == ["lake", "releases", "reports"]


def test_a_stamp_is_readable_by_people(home):
    built = home.build("one", Maker("abc"))
    assert json.loads((home.folder("one") / STAMP).read_text()) == {
        "fingerprint": built.fingerprint,
        "facts": {"rows": 3},
    }


def test_what_is_forgotten_is_made_again(home: Home) -> None:
    make = Maker()
    home.build("a", make)
    home.forget("a")
    home.forget("never-built")
    assert not home.build("a", make).reused
    assert make.times == 2
