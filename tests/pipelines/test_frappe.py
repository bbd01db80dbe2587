import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest

from feature_repo import schema
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.frappe import HOURS, MONDAY, WEEKDAYS, WEEKS, read_frappe
from pipelines.datasets.open import fingerprint, open_dataset
from pipelines.errors import DatasetError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DATA = os.environ.get("TRICHORD_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TRICHORD_DATA names no folder with frappe")

USES = """user\titem\tcnt\tdaytime\tweekday\tisweekend\thomework\tcost\tweather\tcountry\tcity
0\t0\t1\tmorning\tsunday\tweekend\tunknown\tfree\tsunny\tunknown\t0
1\t1\t7\tnight\tmonday\tworkday\thome\tfree\tcloudy\tSpain\t369
0\t1\t3\tevening\tfriday\tworkday\twork\tpaid\tunknown\tPeru\t5
"""
APPS = (
    "item\tpackage\tcategory\tdownloads\tdeveloper\ticon\tlanguage\tdescription\tname\tprice\trating\tshort desc\n"
    '0\tcom.do\tProductivity\t100 - 500\tAny\thttp://x/y.png\ten\t"To ""do"" lists"\tAny.DO\tFree\t4.5\tshort\n'
    "1\tcom.hop\tArcade & Action\t1 - 5\tHop\thttp://x/z.png\tes\tJump\tHop\t$1.99\t3.9\t\n"
    "2\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\tunknown\n"
    "3\tcom.ye\tTools\t1 - 5\tYe\thttp://x/w.png\tde\tUhr\tUhr\t3,99\u00a0€\t4\t\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "frappe"
    place.mkdir()
    (place / "frappe.csv").write_text(USES, encoding="utf-8")
    (place / "meta.csv").write_text(APPS, encoding="utf-8")
    return place


def read(folder: Path) -> Dataset:
    return read_frappe(folder, now=NOW)


def test_apps_have_texts_and_attributes_and_unknown_is_nothing(folder: Path) -> None:
    items = read(folder).items
    assert items[schema.ITEM_ID].to_pylist() == ["0", "1", "2", "3"]
    assert items[schema.TITLE].to_pylist() == ["Any.DO", "Hop", None, "Uhr"]
    assert items[schema.DESCRIPTION].to_pylist() == ['To "do" lists', "Jump", None, "Uhr"]
    assert items[schema.CATEGORIES].to_pylist() == [["Productivity"], ["Arcade & Action"], [], ["Tools"]]
    assert items["price"].to_pylist() == [0, 1.99, None, None]  # no rate of exchange stands there
    assert items["rating"].to_pylist() == [4.5, 3.9, None, 4]
    assert items["language"].to_pylist() == ["en", "es", None, "de"]


def test_events_say_how_often_and_where(folder: Path) -> None:
    events = read(folder).events
    rows = zip(*(events[name].to_pylist() for name in ("user_id", "item_id", "value", "place")), strict=True)
    assert sorted(rows, key=str) == [("0", "0", 1, None), ("0", "1", 3, "work"), ("1", "1", 7, "home")]
    assert set(events[schema.KIND].to_pylist()) == {"use"}


def test_moments_agree_with_weekday_and_time_of_day(folder: Path) -> None:
    events = read(folder).events
    at = {events["value"][row].as_py(): events[schema.OCCURRED_AT][row].as_py() for row in range(3)}
    assert [(WEEKDAYS[at[n].weekday()], at[n].hour) for n in (1, 7, 3)] == [
        ("sunday", pytest.approx(9.5, abs=2)),
        ("monday", pytest.approx(2.5, abs=3)),
        ("friday", pytest.approx(21.5, abs=2)),
    ]
    assert all(0 <= (moment - MONDAY).days < 7 * WEEKS for moment in at.values())


def test_users_live_where_their_first_event_that_tells_says(folder: Path) -> None:
    users = read(folder).users
    assert dict(zip(users["user_id"].to_pylist(), users["country"].to_pylist(), strict=True)) == {
        "0": "Peru",
        "1": "Spain",
    }
    assert sorted(users["city"].to_pylist()) == ["369", "5"]


def test_the_archive_as_published_reads_like_its_files(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "published"
    place.mkdir()
    with ZipFile(place / "Mobile_Frappe.zip", "w") as archive:
        for name in ("frappe.csv", "meta.csv"):
            archive.write(folder / name, f"Mobile_Frappe/frappe/{name}")
    assert read(place).events.equals(read(folder).events)
    assert open_dataset(f"frappe:{place}", home=tmp_path, now=NOW).items.equals(read(folder).items)
    assert fingerprint(f"frappe:{place}") != fingerprint(f"frappe:{folder}")


def test_a_row_with_a_weekday_of_its_own_is_rejected(folder: Path) -> None:
    (folder / "frappe.csv").write_text(USES.replace("friday", "someday"), encoding="utf-8")
    dataset = read(folder)
    assert len(dataset.events) == 2
    assert dataset.rejected.counts["events", "missing_occurred_at"] == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: (place / "meta.csv").unlink(), r"neither Mobile_Frappe\.zip nor frappe\.csv and meta\.csv"),
        (lambda place: (place / "frappe.csv").write_text("user\titem\n0\t0\n"), "no column cnt, daytime"),
        (
            lambda place: [
                (place / "meta.csv").unlink(),
                (place / "Mobile_Frappe.zip").write_bytes(b"no archive"),
            ],
            "Mobile_Frappe.zip: File is not a zip file",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder: Path, spoil, message: str) -> None:
    spoil(folder)
    with pytest.raises(DatasetError, match=message):
        read(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder; accepted"):
        read(tmp_path / "nowhere")


@needs_data
def test_the_published_set_is_read_in_full() -> None:
    dataset = read(Path(str(DATA)) / "frappe")
    assert (len(dataset.items), len(dataset.users), len(dataset.events)) == (4082, 957, 96_203)
    assert dataset.rejected.counts == {("items", "no_content"): 550}  # apps of which the set knows the number alone
    at = dataset.events[schema.OCCURRED_AT].to_pylist()
    days = Counter(WEEKDAYS[moment.weekday()] for moment in at)
    assert (days["friday"], days["tuesday"]) == (15_825, 11_532)
    parts = Counter(name for moment in at for name, (first, end) in HOURS.items() if first <= moment.hour < end)
    assert (parts["evening"], parts["sunrise"]) == (23_138, 3_895)
    assert Counter(dataset.events[schema.PLACE].to_pylist()) == {None: 75_670, "home": 15_771, "work": 4_762}
    assert len(set(dataset.events[schema.EVENT_ID].to_pylist())) == 96_203
