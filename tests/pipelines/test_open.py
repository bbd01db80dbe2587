import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feature_repo import schema
from pipelines.datasets.open import fingerprint, open_dataset
from pipelines.datasets.planted.latents import SMALL
from pipelines.errors import DatasetError

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset.toml").write_text('name = "shop"\n[kinds.buy]\n')
    (folder / "items.csv").write_text("item_id,title\na,Apple\n")
    (folder / "events.csv").write_text("user_id,item_id,kind,occurred_at\nu,a,buy,10\n")
    return folder


def write_movielens(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "movies.csv").write_text("movieId,title,genres\n1,Toy Story (1995),Comedy\n")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,1,4.0,964982703\n")
    return folder


def test_a_folder_is_opened_by_its_path(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_folder(tmp_path / "with:colon")), home=tmp_path, now=NOW)
    assert dataset.name == "shop"


def test_a_published_set_is_opened_by_scheme_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_movielens(tmp_path / "ml")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (f"movielens:{folder}", "movielens:~/ml"):
        assert open_dataset(name, home=tmp_path, now=NOW).items[schema.TITLE].to_pylist() == ["Toy Story"]


def test_events_after_now_are_rejected_by_the_clock_that_is_given(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shop")
    with (folder / "events.csv").open("a") as file:
        file.write("u,a,buy,2024-06-02\n")
    assert open_dataset(str(folder), home=tmp_path, now=NOW).events.num_rows == 1
    assert open_dataset(str(folder), home=tmp_path).events.num_rows == 2


@pytest.mark.parametrize("name", ["netflix:/data", "nowhere", "", "movielens", "movielens:", "frappe:", "synthetic:7"])
def test_an_unknown_name_is_told_what_is_accepted(name: str, tmp_path: Path) -> None:
    for use in (lambda: open_dataset(name, home=tmp_path), lambda: fingerprint(name)):
        with pytest.raises(
            DatasetError, match=r"accepted: synthetic, movielens:PATH, frappe:PATH, or a folder"
        ) as error:
            use()
        assert repr(name) in str(error.value)


def test_a_fingerprint_changes_with_any_file_and_only_then(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "shop")
    first = fingerprint(str(folder))
    assert fingerprint(str(folder)) == first
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.jpg").write_bytes(b"x")
    second = fingerprint(str(folder))
    (folder / ".trichord").mkdir()
    (folder / ".trichord" / "warehouse.duckdb").write_bytes(b"x")
    assert fingerprint(str(folder)) == second
    os.utime(folder / "events.csv", (1, 1))
    assert len({first, second, fingerprint(str(folder))}) == 3


def test_the_fingerprint_of_ml_100k_covers_the_posters_beside_it(tmp_path: Path) -> None:
    folder = write_movielens(tmp_path / "ml-100k")
    posters = tmp_path / "ml-latest-small" / "posters_by_movieId"
    posters.mkdir(parents=True)
    before = fingerprint(f"movielens:{folder}")
    (posters / "1.jpg").write_bytes(b"x")
    assert fingerprint(f"movielens:{folder}") != before


def test_the_synthetic_dataset_is_built_once_and_passes_every_rule(tmp_path: Path) -> None:
    dataset = open_dataset("synthetic", home=tmp_path, world=SMALL, progress=False)
    assert set(dataset.rejected.counts) <= {("items", "no_content")}
    assert dataset.items[schema.IMAGE].null_count < dataset.items.num_rows
    built = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = open_dataset("synthetic", home=tmp_path, world=SMALL, progress=False)
    assert again.events.equals(dataset.events)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == built
