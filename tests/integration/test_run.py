"""The whole path: run, run again, run after a kill, after new events, after bad data."""

import json
import shutil
import signal
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo.settings import Settings, Suites
from pipelines.errors import SuiteError
from pipelines.run import run
from pipelines.workspace import Workspace


class Recorder:
    """A listener that remembers."""

    def __init__(self):
        self.artifacts = {}

    def built(self, artifact):
        self.artifacts[artifact.name] = artifact

    def step(self, what, done, total):
        pass


def run_recorded(home, dataset=None):
    recorder = Recorder()
    run(Workspace(Settings(home=home), listener=recorder, dataset=None if dataset is None else str(dataset)))
    return recorder.artifacts


@pytest.fixture
def copy(home, tmp_path):
    """A copy of the home that a test may change."""
    return shutil.copytree(home, tmp_path / "home", symlinks=True)


def test_a_second_run_keeps_everything_and_says_the_same(home):
    report = json.loads((home / "reports" / "evaluation.json").read_text())
    again = run_recorded(home)
    assert all(artifact.reused for artifact in again.values())
    assert json.loads((home / "reports" / "evaluation.json").read_text()) == report


def test_new_events_are_taken_in_without_encoding_anything(copy, world, tmp_path):
    dataset = shutil.copytree(world, tmp_path / "world")
    choice = copy / "dataset.json"
    choice.write_text(json.dumps({"dataset": str(dataset)}))
    events = pq.read_table(dataset / "events.parquet")
    last = pc.max(events["occurred_at"]).as_py()
    clicks = events.filter(pc.equal(events["kind"], "click")).slice(0, 30)
    later = clicks.set_column(
        clicks.column_names.index("occurred_at"), "occurred_at", pa.repeat(pa.scalar(last), len(clicks))
    )
    renamed = pa.array([f"new-{number}" for number in range(len(clicks))])
    later = later.set_column(later.column_names.index("event_id"), "event_id", renamed)
    pq.write_table(pa.concat_tables([events, later.cast(events.schema)]), dataset / "events.parquet")
    before = run_recorded_facts(copy, "events")["rows"]
    after = run_recorded(copy)
    assert after["event_log"].facts["new"] == 30
    assert after["events"].facts["rows"] == before + 30
    assert [after[f"{modality}_embeddings"].facts["encoded"] for modality in ("text", "image", "audio")] == [0, 0, 0]
    assert not after["release"].reused


def run_recorded_facts(home, artifact):
    return Workspace(Settings(home=home)).home.stamp(artifact).facts


def test_a_run_that_was_killed_is_completed_by_the_next(world, trichord, tmp_path):
    home = tmp_path / "home"
    for begun in ("event_log", "text_embeddings"):  # in reading, and in encoding
        process = trichord.start("run", "--dataset", str(world), "--home", str(home))
        while not list(home.glob(f"lake/*{begun}*")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {stamp: stamp.stat().st_mtime_ns for stamp in home.glob("lake/*/stamp.json")}
    assert home / "lake" / "image_embeddings" / "stamp.json" in finished
    assert home / "lake" / "item_vectors" / "stamp.json" not in finished
    done = trichord.anew("run", "--dataset", str(world), "--home", str(home))
    assert done.returncode == 0, done.stderr[-3000:]
    assert {stamp: stamp.stat().st_mtime_ns for stamp in finished} == finished  # goes on, does not begin again
    assert (home / "current" / "manifest.json").exists()
    events = pq.read_table(home / "lake" / "events" / "table.parquet")
    assert len(events) == len(pq.read_table(world / "events.parquet"))


def test_a_failing_suite_stops_everything_behind_it(tmp_path):
    dataset = tmp_path / "bare"
    dataset.mkdir()
    (dataset / "dataset.toml").write_text('name = "bare"\n[kinds.click]\nweight = 1.0\npositive = true\n')
    (dataset / "items.csv").write_text("item_id\n" + "".join(f"i{number}\n" for number in range(10)))
    rows = "".join(f"u{number % 3},i{number},click,2025-01-0{1 + number % 9}T00:00:00Z\n" for number in range(10))
    (dataset / "events.csv").write_text("user_id,item_id,kind,occurred_at\n" + rows)
    home = tmp_path / "home"
    with pytest.raises(SuiteError, match="items"):
        run_recorded(home, dataset)
    assert not (home / "current").exists()
    assert not (home / "lake" / "online_features").exists()
    assert not (home / "lake" / "text_embeddings").exists()


def suite_report(home, table):
    return json.loads((home / "reports" / "suites" / f"{table}.json").read_text())


def test_a_run_compares_with_the_last_release_and_says_where_it_cannot(copy):
    release = (copy / "current").readlink().name
    run_recorded(copy)
    for table in ("text_embeddings", "image_embeddings", "audio_embeddings", "item_vectors"):
        report = suite_report(copy, table)
        assert report["passed"]
        [note] = report["notes"]
        assert note.startswith(f"drift against release {release}: not checked: ")
        assert note.endswith("; 200 of both are needed")


def test_a_limit_of_the_configuration_stops_a_run(copy):
    strict = Workspace(Settings(home=copy, suites=Suites(effective_rank=1000)))
    with pytest.raises(SuiteError, match=r"effective_rank: .*min_value=1000.*observed"):
        run(strict)
    reports = [suite_report(copy, f"{modality}_embeddings") for modality in ("text", "image", "audio")]
    assert not all(report["passed"] for report in reports)


def test_two_runs_on_one_home_at_once_are_refused(copy, trichord):
    with Workspace(Settings(home=copy)).home.lock():
        refused = trichord("run", "--home", str(copy))
    assert refused.returncode == 2
    assert "in use by another run" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_another_dataset_in_the_same_home_is_refused(copy, trichord):
    refused = trichord("run", "--dataset", "synthetic", "--home", str(copy))
    assert refused.returncode == 2
    assert "holds the dataset" in refused.stderr


def edge(folder, events):
    """A dataset folder of (user, item, kind) rows, an hour apart."""
    folder.mkdir()
    kinds = "[kinds.like]\nweight = 1.0\npositive = true\n[kinds.look]\nweight = 0.5\npositive = false\n"
    (folder / "dataset.toml").write_text(f'name = "edge"\n{kinds}')
    names = sorted({item for _, item, _ in events})
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"{item},The title of {item}\n" for item in names))
    rows = [
        f"{user},{item},{kind},2025-01-{1 + n // 24:02}T{n % 24:02}:00:00Z"
        for n, (user, item, kind) in enumerate(events)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,kind,occurred_at", *rows]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([(f"u{n % 6}", f"i{n * 7 % 13}", "look") for n in range(90)], "is of a positive kind"),
        ([(f"u{n}", "i", "like") for n in range(30)], "are with one item"),
    ],
    ids=["no positives", "one item"],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(trichord, tmp_path, events, said):
    refused = trichord("run", "--dataset", str(edge(tmp_path / "edge", events)), "--home", str(tmp_path / "home"))
    assert refused.returncode == 2
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("trichord: "))
    assert said in line
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "home" / "current").exists()


def test_a_single_user_is_enough_for_a_run(trichord, tmp_path):
    dataset = edge(tmp_path / "edge", [("u", f"i{n:02}", "like") for n in range(30)])
    done = trichord.anew("run", "--dataset", str(dataset), "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1 users, 30 items" in done.stdout
    assert "illegal value" not in done.stderr  # LAPACK's, of a matrix of nothing
    page = (tmp_path / "home" / "reports" / "evaluation.html").read_text()
    assert "Evaluation of" in page


def test_a_page_is_written_and_named(home, trichord):
    shown = trichord("evaluate", "--slices", home=home)
    assert shown.returncode == 0
    assert f"the same with plots: {home / 'reports' / 'evaluation.html'}" in shown.stdout
    assert "NDCG@10 by attribute of the user and the request" in shown.stdout
    assert "daypart=" in shown.stdout
    page = (home / "reports" / "evaluation.html").read_text()
    for said in ("The hybrid against each model", "The hybrid without a part", "By attribute of the user"):
        assert said in page
