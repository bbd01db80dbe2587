"""`trichord parity` on a finished home: nothing logged, something logged, something wrong."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.served import ServedLog
from feature_repo.settings import Sampling, Settings
from pipelines.checks import served_equals_offline
from pipelines.workspace import Workspace
from ranking.serving.engine import Engine
from ranking.serving.payloads import Context, Request


@pytest.fixture
def copy(home, tmp_path):
    return shutil.copytree(home, tmp_path / "home", symlinks=True)


def serve_some(home):
    engine = Engine(Settings(home=home), served=ServedLog(home / "served", Sampling(share=1, flush_s=3600)))
    engine.load()
    for user in ("u00001", "u00002", "u00003"):
        engine.recommend(Request(user_id=user, context=Context(device="phone")))
        item = engine.loaded.catalogue.index.ids[int(user[1:])]
        engine.accept([{"user_id": user, "item_id": item, "kind": "click", "device": "phone"}])
        engine.recommend(Request(user_id=user))
    engine.served.flush()


def test_a_fresh_home_serves_a_sample_and_finds_it_equal(home, trichord):
    done = trichord.anew("parity", "--sample", "3", "--json", home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["passed"], found["source"], found["requests"]) == (True, "served_now", 3)
    assert found["values"]["equal"] + found["values"]["within_float32"] == found["vectors"] * len(found["features"]) > 0
    assert set(found["features"]["item_positives"]) == set(found["values"])


def test_logged_vectors_are_replayed_and_a_wrong_one_is_named(copy, trichord):
    serve_some(copy)
    found = json.loads(trichord("parity", "--json", home=copy).stdout)
    assert (found["passed"], found["source"], found["requests"], found["log"]["kept"]) == (True, "log", 6, 6)

    (file,) = (copy / "served").glob("day=*/*.parquet")
    table = pq.read_table(file)
    wrong = pa.array([value + (row == 7) for row, value in enumerate(table["item_positives"].fill_null(0).to_pylist())])
    pq.write_table(table.set_column(table.column_names.index("item_positives"), "item_positives", wrong), file)
    done = trichord("parity", home=copy)
    assert done.returncode == 1
    named = [line for line in done.stdout.splitlines() if line.startswith("DIFFERENT item_positives")]
    assert any(table["item_id"][7].as_py() in line and "served" in line and "offline" in line for line in named)


def test_the_asset_check_notes_an_empty_log_and_counts_a_full_one(copy):
    nothing = served_equals_offline(workspace=Workspace(Settings(home=copy)))
    assert nothing.passed and "nothing was logged" in nothing.metadata["note"].text
    serve_some(copy)
    something = served_equals_offline(workspace=Workspace(Settings(home=copy)))
    assert something.passed and something.metadata["requests"].value == 6
