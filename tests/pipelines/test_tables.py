from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.rejected import Rejected
from pipelines.datasets.columns import conform
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.media import media_problem
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.datasets.tables import read_tables
from pipelines.errors import DatasetError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
TOML = """
name = "shop"
[kinds.impression]
weight = 0
[kinds.buy]
[kinds.rating]
weight = 0.5
positive_from = 4.0
"""
ITEMS = "item_id,title\na,Apple\nb,Banana\n"
EVENTS = "user_id,item_id,kind,value,occurred_at\nu,a,buy,,2024-05-01T10:00:00Z\nv,b,rating,4.5,1714557600\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(items: str = ITEMS, events: str = EVENTS, toml: str = TOML, **others: str) -> Path:
        for name, text in {"items": items, "events": events, **others}.items():
            (tmp_path / f"{name}.csv").write_text(text)
        (tmp_path / "dataset.toml").write_text(toml)
        return tmp_path

    return write


def read(folder: Path) -> Dataset:
    return read_tables(folder, now=NOW)


def events_of(rows: list[str]) -> str:
    return "\n".join(["user_id,item_id,kind,value,occurred_at", *rows])


def reasons(dataset: Dataset) -> dict[tuple[str, str], int]:
    return dict(dataset.rejected.counts)


def one_line(error: pytest.ExceptionInfo[DatasetError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_becomes_the_three_tables_in_their_schemas(write: Callable[..., Path]) -> None:
    dataset = read(write())
    assert dataset.items.schema == schema.ITEMS
    assert dataset.users.schema == schema.USERS
    assert dataset.events.schema == schema.EVENTS
    assert dataset.items[schema.TITLE].to_pylist() == ["Apple", "Banana"]
    assert dataset.items[schema.CATEGORIES].to_pylist() == [[], []]
    assert dataset.events[schema.VALUE].to_pylist() == [None, 4.5]
    # 1714557600 is 2024-05-01T10:00:00Z: both spellings of a time are one moment
    assert set(dataset.events[schema.OCCURRED_AT].to_pylist()) == {datetime(2024, 5, 1, 10, tzinfo=UTC)}
    assert dataset.users[schema.USER_ID].to_pylist() == ["u", "v"]
    assert not dataset.rejected.counts


def test_a_kind_without_weight_is_an_exposure_and_never_positive(write: Callable[..., Path]) -> None:
    dataset = read(write(events=events_of(["u,a,impression,,10", "u,a,buy,,20", "u,a,rating,3,30", "u,a,rating,4,40"])))
    labelled = label_events(dataset.events, dataset.kinds)
    assert labelled[schema.WEIGHT].to_pylist() == [0.0, 1.0, 0.5, 0.5]
    assert labelled[schema.POSITIVE].to_pylist() == [False, True, False, True]


PARTED = "user_id,item_id,kind,occurred_at,part\n"


def test_a_dataset_may_bring_its_own_split(write: Callable[..., Path]) -> None:
    dataset = read(write(events=f"{PARTED}u,a,buy,30,train\nu,b,buy,20,validation\nv,b,buy,10,test\n"))
    assert dataset.events.column_names == [*schema.EVENTS.names, schema.PART]
    assert dataset.events[schema.PART].to_pylist() == ["test", "validation", "train"]
    assert not reasons(dataset)


def test_events_of_no_part_are_turned_away_where_others_have_one(write: Callable[..., Path]) -> None:
    rows = "u,a,buy,10,train\nu,b,buy,20,test\nu,a,buy,30,Test\nu,a,buy,40,\nu,a,buy,50,2\n"
    dataset = read(write(events=PARTED + rows))
    assert dataset.events[schema.PART].to_pylist() == ["train", "test"]
    assert reasons(dataset) == {("events", "bad_part"): 2, ("events", "missing_part"): 1}


def test_a_split_that_holds_nothing_out_or_teaches_nothing_is_refused(write: Callable[..., Path]) -> None:
    for part in ("train", "test"):
        with pytest.raises(DatasetError, match=rf"events\.part names {part} alone; accepted: train and") as error:
            read(write(events=f"{PARTED}u,a,buy,10,{part}\n"))
        one_line(error)
    with pytest.raises(DatasetError, match="column part is double"):
        folder = write()
        (folder / "events.csv").unlink()
        events = {"user_id": ["u"], "item_id": ["a"], "kind": ["buy"], "occurred_at": [10], "part": [1.5]}
        pq.write_table(pa.table(events), folder / "events.parquet")
        read(folder)


def test_an_empty_part_column_is_no_split(write: Callable[..., Path]) -> None:
    dataset = read(write(events=f"{PARTED}u,a,buy,10,\n"))
    assert dataset.events.schema == schema.EVENTS


def test_csv_parquet_and_folders_of_both_give_the_same_dataset(tmp_path: Path) -> None:
    items = pa.table({"item_id": [1, 2, 3], "title": ["x", 'a "quoted", line\nbreak', "ü"], "price": [1.5, 2.0, None]})
    events = pa.table(
        {
            "user_id": ["007", "8", "8"],
            "item_id": [1, 2, 3],
            "kind": ["buy"] * 3,
            "occurred_at": pa.array([NOW - timedelta(days=3 - n) for n in range(3)], schema.TIMESTAMP),
        }
    )
    folders = [tmp_path / name for name in ("csv", "parquet", "parts")]
    for folder in folders:
        folder.mkdir()
        (folder / "dataset.toml").write_text(TOML)
    for name, table in {"items": items, "events": events}.items():
        pyarrow.csv.write_csv(table, folders[0] / f"{name}.csv")
        pq.write_table(table, folders[1] / f"{name}.parquet")
        parts = folders[2] / name / "year=2024"
        parts.mkdir(parents=True)
        pq.write_table(table.slice(0, 1), parts / "0.parquet")
        pyarrow.csv.write_csv(table.slice(1, 1), parts / "1.csv")
        pq.write_table(table.slice(2), parts / "2.parquet")
    (folders[2] / "items" / "_SUCCESS.csv").touch()
    csv, parquet = read(folders[0]), read(folders[1])
    assert csv.items["price"].type == pa.float64()
    assert csv.items[schema.ITEM_ID].to_pylist() == ["1", "2", "3"]
    for table in ("items", "users", "events"):
        assert getattr(csv, table).equals(getattr(parquet, table))


def test_folders_of_parts_are_read_as_one_table(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "events.csv").unlink()
    (folder / "events").mkdir()
    (folder / "events" / "2.csv").write_text(events_of(["u,a,buy,,200"]))
    (folder / "events" / "1.csv").write_text("device," + events_of(["phone,u,b,buy,,100"]))
    (folder / "events" / "_notes.csv").write_text("not a table")
    dataset = read(folder)
    assert dataset.events[schema.ITEM_ID].to_pylist() == ["b", "a"]
    assert dataset.events[schema.DEVICE].to_pylist() == ["phone", None]


def test_attributes_travel_along_and_lose_nothing(write: Callable[..., Path]) -> None:
    items = "item_id,year,zip,score,note,empty\na,1999,007,1.5,x,\nb,2001,42,2,,\n"
    dataset = read(write(items=items, users="user_id,age\nw,30\nu,40\n"))
    kinds = {name: dataset.items.schema.field(name).type for name in ("year", "zip", "score", "note", "empty")}
    assert kinds == {
        "year": pa.int64(),
        "zip": pa.string(),
        "score": pa.float64(),
        "note": pa.string(),
        "empty": pa.string(),
    }
    assert dataset.items["zip"].to_pylist() == ["007", "42"]
    assert dataset.users.to_pylist() == [
        {"user_id": "w", "age": 30},
        {"user_id": "u", "age": 40},
        {"user_id": "v", "age": None},
    ]


def test_categories_are_split_at_bars_and_trimmed(write: Callable[..., Path]) -> None:
    dataset = read(write(items="item_id,title,categories\na,A, x | y||z \nb,B,|\nc,C,\n"))
    assert dataset.items[schema.CATEGORIES].to_pylist() == [["x", "y", "z"], [], []]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",a,buy,,10", "missing_user_id"),
        ("u, ,buy,,10", "missing_item_id"),
        ("u,a,,,10", "missing_kind"),
        ("u,a,buy,,", "missing_occurred_at"),
        ("u,zzz,buy,,10", "unknown_item"),
        ("u,a,steal,,10", "unknown_kind"),
        ("u,a,buy,,yesterday", "bad_time"),
        ("u,a,buy,,2024-02-30", "bad_time"),
        ("u,a,buy,,infinity", "bad_time"),
        ("u,a,buy,,1714557600000", "bad_time"),  # milliseconds
        ("u,a,buy,,2024-06-01T00:05:01Z", "future_time"),
        ("u,a,buy,,2024-06-01T00:00:00-01:00", "future_time"),
        ("u,a,buy,nan,10", "bad_number"),
        ("u,a,buy,1e99,10", "bad_number"),
        ("u,a,buy,many,10", "bad_number"),
        ("u,a,buy", "malformed_row"),
    ],
)
def test_a_bad_event_is_counted_by_reason_and_the_good_ones_go_on(
    write: Callable[..., Path], row: str, reason: str
) -> None:
    dataset = read(write(events=events_of(["u,a,buy,,10", row, "v,b,buy,,20"])))
    assert reasons(dataset) == {("events", reason): 1}
    assert dataset.events[schema.USER_ID].to_pylist() == ["u", "v"]
    (line,) = dataset.rejected.summary()
    assert "events.csv row 3" in line


def test_a_clock_ahead_by_five_minutes_is_forgiven(write: Callable[..., Path]) -> None:
    dataset = read(write(events=events_of(["u,a,buy,,2024-06-01T00:04:59Z"])))
    assert dataset.events.num_rows == 1


def test_impossible_positions_and_propensities_are_rejected(write: Callable[..., Path]) -> None:
    head = "user_id,item_id,kind,occurred_at,position,propensity"
    rows = ["0,0.5", "-1,0.5", "1.5,0.5", "1,0", "1,1.01", "1,-1", ",", "3.0,1"]
    dataset = read(write(events="\n".join([head, *(f"u,a,impression,10,{row}" for row in rows)])))
    assert reasons(dataset) == {
        ("events", "bad_position"): 1,
        ("events", "bad_number"): 1,
        ("events", "bad_propensity"): 3,
    }
    assert dataset.events[schema.POSITION].to_pylist() == [0, None, 3]


def test_items_need_distinct_ids_and_the_first_stays(write: Callable[..., Path]) -> None:
    dataset = read(write(items="item_id,title\na,First\n,None\nb,B\na,Second\n"))
    assert dataset.items[schema.TITLE].to_pylist() == ["First", "B"]
    assert reasons(dataset) == {("items", "missing_item_id"): 1, ("items", "duplicate_item_id"): 1}


def test_an_item_with_a_bad_time_is_named_and_its_events_are_counted(write: Callable[..., Path]) -> None:
    dataset = read(write(items="item_id,title,created_at\na,A,2020-01-01\nb,B,soon\nc,C,\n"))
    assert dataset.items[schema.CREATED_AT].to_pylist() == [datetime(2020, 1, 1, tzinfo=UTC), None]
    assert reasons(dataset) == {("items", "bad_time"): 1, ("events", "unknown_item"): 1}
    assert dataset.rejected.examples[0][:3] == ("items", "bad_time", "b")


def test_an_item_without_any_content_stays_and_is_counted(write: Callable[..., Path]) -> None:
    dataset = read(write(items="item_id,title,description,categories\na,A,,\nb,, ,fruit\n"))
    assert dataset.items[schema.ITEM_ID].to_pylist() == ["a", "b"]
    assert reasons(dataset) == {("items", "no_content"): 1}
    assert dataset.rejected.examples[0][2] == "b"


def test_equal_events_stay_apart_and_ids_do_not_depend_on_what_else_is_read(write: Callable[..., Path]) -> None:
    rows = ["u,a,buy,,30", "u,a,buy,,30", "u,a,buy,1,30", "v,a,buy,,10"]
    before = read(write(events=events_of(rows))).events
    assert len(set(before[schema.EVENT_ID].to_pylist())) == 4
    after = read(write(events=events_of(["v,b,buy,,5", *rows, "u,a,buy,,30"]))).events
    assert set(before[schema.EVENT_ID].to_pylist()) < set(after[schema.EVENT_ID].to_pylist())


def test_given_event_ids_are_kept_and_the_first_of_two_stays(write: Callable[..., Path]) -> None:
    head = "event_id,user_id,item_id,kind,occurred_at"
    dataset = read(write(events=f"{head}\ne1,u,a,buy,30\ne1,v,b,buy,10\n,w,b,buy,20\n"))
    assert dataset.events[schema.USER_ID].to_pylist() == ["w", "u"]
    assert dataset.events[schema.EVENT_ID].to_pylist()[1] == "e1"
    assert reasons(dataset) == {("events", "duplicate_event_id"): 1}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_events_ascend_and_equal_times_keep_the_order_of_the_file(
    write: Callable[..., Path], seconds: list[int]
) -> None:
    dataset = read(write(events=events_of([f"u{n},a,buy,,{second}" for n, second in enumerate(seconds)])))
    expected = [f"u{n}" for n in np.argsort(seconds, kind="stable")]
    assert dataset.events[schema.USER_ID].to_pylist() == expected


def test_text_that_is_not_utf8_costs_only_its_row(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "items.csv").write_bytes(b"\xef\xbb\xbfitem_id,title\na,Apple\nb,Caf\xe9\n\xff,C\nd,D\xc3\xbc\n")
    dataset = read(folder)
    assert dataset.items[schema.TITLE].to_pylist() == ["Apple", "Dü"]
    assert dict(dataset.rejected.counts) == {("items", "bad_encoding"): 2, ("events", "unknown_item"): 1}
    assert "items.csv row 3" in dataset.rejected.examples[1][3]


def test_a_quote_that_is_never_closed_is_told(write: Callable[..., Path]) -> None:
    dataset = read(write(items='item_id,title\na,A\nb,"B\nc,C\nd,D\n'))
    assert dataset.items.num_rows == 2
    assert ("items", "unclosed_quote") in dataset.rejected.counts


CELLS = [
    "u",
    "a",
    "buy",
    "",
    " ",
    "10",
    "1e400",
    "-5",
    "nan",
    "\x00",
    '"',
    ",",
    "\n",
    "\r",
    "\u20ac",
    "2024-05-01",
    "|",
]
NAMES = [*schema.EVENTS.names, *schema.ITEMS.names, "extra", "", "item_id\n"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.sampled_from(["items", "users", "events"]),
    head=st.lists(st.sampled_from(NAMES), max_size=6),
    rows=st.lists(st.lists(st.sampled_from(CELLS), max_size=6), max_size=6),
    tail=st.binary(max_size=8),
)
def test_whatever_a_csv_file_holds_the_answer_is_a_dataset_or_one_line(
    write: Callable[..., Path], table: str, head: list[str], rows: list[list[str]], tail: bytes
) -> None:
    folder = write()
    needed = {"items": ["item_id"], "users": ["user_id"], "events": ["user_id", "item_id", "kind", "occurred_at"]}
    text = "\n".join(",".join(row) for row in [needed[table] + head, *rows])
    (folder / f"{table}.csv").write_bytes(text.encode() + tail)
    try:
        dataset = read(folder)
    except DatasetError as error:
        assert "\n" not in str(error)
    else:
        assert dataset.items.num_rows > 0
        assert dataset.events.schema == schema.EVENTS
        assert set(dataset.events[schema.USER_ID].to_pylist()) <= set(dataset.users[schema.USER_ID].to_pylist())
        assert set(dataset.events[schema.ITEM_ID].to_pylist()) <= set(dataset.items[schema.ITEM_ID].to_pylist())


def test_an_id_with_a_line_break_is_named_in_one_line(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "items.csv").write_bytes(b'item_id\n"\n\x80"\n')
    with pytest.raises(DatasetError, match="bad_encoding") as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_more_bad_rows_than_examples_are_all_counted(write: Callable[..., Path]) -> None:
    dataset = read(write(events=events_of(["u,a,buy,,10", *["u,nope,buy,,10"] * 50])))
    assert reasons(dataset) == {("events", "unknown_item"): 50}
    assert len(dataset.rejected.examples) == 20


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.jpg", "media_outside"),
        ("pictures/../../secret.jpg", "media_outside"),
        ("link.jpg", "media_outside"),
        ("linked/secret.jpg", "media_outside"),
        ("/etc/hostname", "media_absolute"),
        ("C:\\a.jpg", "media_absolute"),
        ("https://example.org/a.jpg", "media_uri"),
        ("file:///etc/hostname", "media_uri"),
        ("data:image/png;base64,AAAA", "media_uri"),
        ("pictures/none.jpg", "media_missing"),
        ("pictures/ok.jpg/more", "media_missing"),
        ("loop.jpg", "media_missing"),
        ("a" * 300, "media_missing"),
        ("nul\0.jpg", "media_missing"),
        ("pictures", "media_not_a_file"),
        ("large.jpg", "media_too_large"),
        ("pictures/ok.jpg", None),
        ("pictures/../inside.jpg", None),
    ],
)
def test_only_regular_files_inside_the_folder_are_media(tmp_path: Path, path: str, reason: str | None) -> None:
    root = tmp_path / "set"
    (root / "pictures").mkdir(parents=True)
    (root / "pictures" / "ok.jpg").write_bytes(b"x")
    (root / "large.jpg").write_bytes(b"x" * 11)
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "linked").symlink_to(tmp_path)
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    (root / "inside.jpg").symlink_to(root / "pictures" / "ok.jpg")
    problem = media_problem(path, root, max_bytes=10)
    assert (problem.reason if problem else None) == reason


def test_bad_media_empty_the_cell_and_keep_the_item(write: Callable[..., Path]) -> None:
    folder = write(items="item_id,title,image,audio\na,A,a.jpg,../a.flac\nb,,gone.jpg,\n")
    (folder / "a.jpg").write_bytes(b"x")
    dataset = read(folder)
    assert dataset.items[schema.IMAGE].to_pylist() == ["a.jpg", None]
    assert dataset.items[schema.AUDIO].to_pylist() == [None, None]
    assert reasons(dataset) == {
        ("items", "media_outside"): 1,
        ("items", "media_missing"): 1,
        ("items", "no_content"): 1,
    }


@pytest.mark.parametrize(
    ("kind", "values", "moment"),
    [
        (pa.timestamp("ns"), [1_000_000_123], 1_000_000),
        (pa.timestamp("s", "Europe/Berlin"), [1], 1_000_000),
        (pa.date32(), [1], 86_400_000_000),
        (pa.int32(), [1], 1_000_000),
        (pa.float64(), [1.25], 1_250_000),
        (pa.float64(), [float("nan")], None),
        (pa.int64(), [1_700_000_000_000_000_001], None),  # nanoseconds
        (pa.string(), ["1970-01-01T01:00:00.000001+01:00"], 1),
        (pa.string(), [" 1970-01-01 00:00:01"], 1_000_000),
        (pa.string(), ["1677-12-31"], None),
        (pa.string(), ["2262-01-01"], None),
        (pa.string(), ["2261-12-31"], 9_214_560_000_000_000),
    ],
)
def test_times_of_every_spelling_are_utc_microseconds(
    kind: pa.DataType, values: list[object], moment: int | None
) -> None:
    table = pa.table({"item_id": ["a"], "created_at": pa.array(values, kind), SOURCE: ["row 1"]})
    sieve = Sieve("items", "item_id", Rejected())
    read = conform({"f": table}, schema.ITEMS, required=("item_id",), sieve=sieve)
    assert read["created_at"].cast(pa.int64()).to_pylist() == ([] if moment is None else [moment])


def test_dictionaries_large_strings_and_lists_are_read(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text(TOML)
    (tmp_path / "events.csv").write_text(EVENTS)
    items = {
        "item_id": pa.array(["a", "b"]).dictionary_encode(),
        "title": pa.array(["A", None], pa.large_string()),
        "description": pa.array([None, "B"]),
        "categories": pa.array([["x", None, " y"], None], pa.large_list(pa.large_string())),
        "audio": pa.nulls(2),
        "weights": pa.array([[1.0], []]),
    }
    pq.write_table(pa.table(items), tmp_path / "items.parquet")
    dataset = read(tmp_path)
    assert dataset.items[schema.ITEM_ID].to_pylist() == ["a", "b"]
    assert dataset.items[schema.CATEGORIES].to_pylist() == [["x", "y"], []]
    assert dataset.items["weights"].to_pylist() == [[1.0], []]


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("items", {"item_id": [1.5]}, ["items.parquet", "item_id", "double", "text or whole numbers"]),
        ("items", {"item_id": ["a"], "created_at": [True]}, ["created_at", "bool", "ISO 8601"]),
        ("items", {"item_id": ["a"], "categories": [[1]]}, ["categories", "list", "a|b|c"]),
        ("items", {"id": ["a"]}, ["no column item_id", "found: ['id']", "required: item_id"]),
    ],
)
def test_a_column_of_an_impossible_type_is_one_clear_line(
    write: Callable[..., Path], table: str, columns: dict[str, list[object]], words: list[str]
) -> None:
    folder = write()
    (folder / f"{table}.csv").unlink()
    pq.write_table(pa.table(columns), folder / f"{table}.parquet")
    with pytest.raises(DatasetError) as error:
        read(folder)
    assert all(word in one_line(error) for word in words)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("name = 'x'", ["kinds"]),
        ("name = 'x'\n[kinds.buy]\nwieght = 1", ["kinds.buy.wieght", "weight"]),
        ("name = 'x'\n[kinds.buy]\nweight = -1", ["kinds.buy.weight -1", "greater"]),
        ("name = 'x'\n[kinds.buy]\nweight = nan", ["kinds.buy.weight", "finite"]),
        ("name = 'x'\n[kinds.view]\nweight = 0", ["positive"]),
        ("name = 'x'\n[kinds.view]\nweight = 0\npositive = true", ["exposure"]),
        ("name = ", ["TOML"]),
    ],
)
def test_a_description_with_an_error_is_one_clear_line(write: Callable[..., Path], toml: str, words: list[str]) -> None:
    with pytest.raises(DatasetError) as error:
        read(write(toml=toml))
    assert all(word in one_line(error) for word in ["dataset.toml", "accepted", *words])


def test_a_folder_that_lacks_a_part_names_it(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "items.csv").rename(folder / "things.csv")
    with pytest.raises(DatasetError, match=r"no items; accepted: items\.parquet, items\.csv"):
        read(folder)
    (folder / "items").mkdir()
    with pytest.raises(DatasetError, match="no table in this folder"):
        read(folder)
    (folder / "dataset.toml").unlink()
    with pytest.raises(DatasetError, match=r"dataset\.toml: no such file"):
        read(folder)
    with pytest.raises(DatasetError, match="no such folder"):
        read(folder / "nowhere")


def test_a_table_that_stands_there_twice_is_refused(write: Callable[..., Path]) -> None:
    folder = write()
    pq.write_table(pa.table({"item_id": ["a"]}), folder / "items.parquet")
    with pytest.raises(DatasetError, match=r"items\.parquet and items\.csv both hold items"):
        read(folder)


@pytest.mark.parametrize("text", ["", "item_id\n", "item_id,item_id\na,b\n", "caf\xe9,item_id\n"])
def test_an_empty_or_broken_table_is_one_clear_line(write: Callable[..., Path], text: str) -> None:
    folder = write()
    (folder / "items.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError) as error:
        read(folder)
    assert "items" in one_line(error)


def test_a_file_that_is_not_parquet_is_one_clear_line(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "items.csv").rename(folder / "items.parquet")
    with pytest.raises(DatasetError) as error:
        read(folder)
    assert "not readable as Parquet" in one_line(error)


def test_events_without_one_good_row_are_refused_with_the_reasons(write: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError) as error:
        read(write(events=events_of(["u,a,buy,,never", "u,a,grab,,10"])))
    assert all(word in one_line(error) for word in ["no usable row in events", "bad_time", "unknown_kind"])


def test_files_that_disagree_on_a_column_are_named(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "items.csv").unlink()
    (folder / "items").mkdir()
    pq.write_table(pa.table({"item_id": ["a"], "year": [1]}), folder / "items" / "a.parquet")
    pq.write_table(pa.table({"item_id": ["b"], "year": ["old"]}), folder / "items" / "b.parquet")
    with pytest.raises(DatasetError) as error:
        read(folder)
    assert "year" in one_line(error)
