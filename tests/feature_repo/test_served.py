import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.errors import SettingsError
from feature_repo.served import ServedLog
from feature_repo.settings import Sampling, load_settings

READ_AT = datetime(2024, 1, 1, tzinfo=UTC)
ALL = Sampling(share=1, flush_s=3600)


def rows(n: int, value: float = 0.5) -> pa.Table:
    return pa.table({"item_id": [f"i{one}" for one in range(n)], "feature": pa.array([value] * n, pa.float32())})


def offer(log: ServedLog, request: str, n: int = 3) -> None:
    log.offer(rows(n), request_id=request, read_at=READ_AT, release="r", service="s")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "served"


def test_the_sampling_is_a_part_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings().served == Sampling()
    Path("trichord.toml").write_text("[served]\nshare = 0.25\ndays = 2\n")
    monkeypatch.setenv("TRICHORD_SERVED_DAYS", "3")
    monkeypatch.setenv("TRICHORD_SERVED_FLUSH_S", "0.5")
    assert load_settings().served == Sampling(share=0.25, days=3, flush_s=0.5)
    assert ServedLog.of(load_settings())._sampling == load_settings().served


@pytest.mark.parametrize(
    ("file", "variable", "named"),
    [
        ("[served]\nshaer = 1\n", "", "setting served.shaer: .*TRICHORD_SERVED_SHAER"),
        ("", "TRICHORD_SERVED_SHAER", "setting served.shaer: .*TRICHORD_SERVED_SHAER"),
        ("[served]\nshare = 2\n", "", "setting served.share 2: .*less than or equal to 1"),
        ('[served]\nitems = "many"\n', "", "setting served.items 'many'"),
        ("served = 1\n", "", "setting served 1"),
        ('[served]\nonline_url = "redis://:s3cret@h"\n', "", "setting served.online_url: "),
    ],
)
def test_a_setting_that_is_misspelt_or_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, variable: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trichord.toml").write_text(file)
    if variable:
        monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=named) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_what_was_offered_comes_back_as_it_was(home: Path) -> None:
    log = ServedLog(home, ALL)
    offer(log, "one")
    offer(log, "two", n=5)
    log.flush()
    found, others = ServedLog(home, ALL).sample(10)
    assert others == 0
    one = found.filter(pa.compute.equal(found["request_id"], "one")).sort_by("item_id")
    assert one.select(["item_id", "feature"]) == rows(3)
    assert set(one["read_at"].to_pylist()) == {READ_AT}
    assert log.counts() == {"offered": 2, "kept": 2, "vectors": 8, "over_cap": 0, "dropped": 0}


def test_a_sample_is_of_whole_requests_and_drawn_by_the_seed(home: Path) -> None:
    log = ServedLog(home, ALL)
    for request in range(20):
        offer(log, str(request))
    log.flush()
    drawn = [set(log.sample(4, seed=seed)[0]["request_id"].to_pylist()) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(log.sample(4)[0]) == 4 * 3


def test_a_share_of_zero_keeps_nothing_and_counts_what_it_left(home: Path) -> None:
    log = ServedLog(home, Sampling(share=0, flush_s=3600))
    offer(log, "one")
    log.flush()
    assert (log.counts()["offered"], log.counts()["kept"]) == (1, 0)
    assert len(log.sample(5)[0]) == 0


def test_a_day_has_a_cap_that_all_processes_share(home: Path) -> None:
    few = Sampling(share=1, vectors=7, flush_s=3600)
    for _ in range(2):
        log = ServedLog(home, few)
        for request in range(3):
            offer(log, f"{request}")
        log.flush()
        offer(log, "after the first file")
        log.flush()
    counts = log.counts()
    assert counts["offered"] == 8
    assert counts["over_cap"] + counts["kept"] == 8
    assert counts["vectors"] <= 7 + 6  # a process learns of the others' with its first file


def test_of_a_long_slate_some_items_are_kept(home: Path) -> None:
    log = ServedLog(home, Sampling(share=1, items=10, flush_s=3600))
    offer(log, "long", n=500)
    log.flush()
    assert len(set(log.sample(1)[0]["item_id"].to_pylist())) == 10


def test_vectors_of_other_definitions_are_counted_and_not_drawn(home: Path) -> None:
    log = ServedLog(home, ALL)
    offer(log, "new")
    log._definitions = "of yesterday"
    offer(log, "old")
    log.flush()
    found, others = ServedLog(home, ALL).sample(10)
    assert set(found["request_id"].to_pylist()) == {"new"}
    assert others == 1


def test_a_folder_that_cannot_be_written_costs_vectors_and_no_request(home: Path, caplog) -> None:
    home.write_text("in the way")
    log = ServedLog(home, ALL)
    offer(log, "one")
    log.flush()
    assert "vectors of 1 requests are dropped" in caplog.text
    home.unlink()
    offer(log, "two")
    log.flush()
    assert set(log.sample(5)[0]["request_id"].to_pylist()) == {"two"}
    assert (log.counts()["offered"], log.counts()["dropped"]) == (2, 1)


def test_the_timer_writes_without_being_asked(home: Path) -> None:
    log = ServedLog(home, Sampling(share=1, flush_s=0.05))
    offer(log, "one")
    timer = log._timer
    assert timer is not None and timer.daemon
    timer.join(30)
    assert log.counts()["kept"] == 1


def test_days_go_after_their_time(home: Path) -> None:
    (home / "day=2020-01-01").mkdir(parents=True)
    (home / "day=2020-01-01" / "counts.json").write_text(json.dumps({"offered": 5}))
    log = ServedLog(home, ALL)
    offer(log, "one")
    log.flush()
    assert not (home / "day=2020-01-01").exists()
    assert log.counts()["offered"] == 1


def test_no_offer_of_many_threads_is_lost(home: Path) -> None:
    log = ServedLog(home, ALL)

    def work(name: str) -> None:
        for number in range(20):
            offer(log, f"{name}-{number}")
            if number % 7 == 0:
                log.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.flush()
    assert log.counts() == {"offered": 60, "kept": 60, "vectors": 180, "over_cap": 0, "dropped": 0}
    assert len(log.sample(100)[0]) == 180


def test_a_home_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    log = ServedLog(tmp_path / "home" / "served", ALL)
    offer(log, "one")
    log.flush()
    assert not (tmp_path / "home").exists()
