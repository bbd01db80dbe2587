import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo import schema
from feature_repo.labels import label_events
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.movielens import GENRES_100K, read_movielens
from pipelines.errors import DatasetError

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DATA = os.environ.get("TRICHORD_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TRICHORD_DATA names no folder with ml-latest-small and ml-100k")

MOVIES = """movieId,title,genres
1,Toy Story (1995),Adventure|Animation
2,"American President, The (1995) ",Comedy
3,Death Note: Desu nôto (2006\u20132007),(no genres listed)
4,Babylon 5,Sci-Fi
5,"8 1/2 (8½) (1963)",Drama
"""
RATINGS = (
    "userId,movieId,rating,timestamp\n7,1,4.0,964982703\n7,2,3.5,964981247\n3,1,0.5,964981247\n3,99,5.0,964981247\n"
)


def read(folder: Path) -> Dataset:
    return read_movielens(folder, now=NOW)


@pytest.fixture
def latest(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-latest-small"
    folder.mkdir()
    (folder / "movies.csv").write_text(MOVIES)
    (folder / "ratings.csv").write_text(RATINGS)
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-100k"
    folder.mkdir()

    def film(number: int, title: str, date: str, *genres: str) -> str:
        flags = ["1" if genre in genres else "0" for genre in GENRES_100K]
        return "|".join([str(number), title, date, "", "http://us.imdb.com/x", *flags])

    films = [
        film(1, "GoldenEye (1995)", "01-Jan-1995", "Action", "Thriller"),
        film(2, 'Cité des "enfants" perdus, La (1995)', "", "Sci-Fi"),
        film(3, "Land Before Time III: The Time (1995) (V)", "04-Feb-1996", "Children's"),
        film(4, "unknown", "", "unknown"),
    ]
    (folder / "u.item").write_bytes("\n".join(films).encode("latin-1"))
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|02215\n3|9|F|student|94043\n")
    (folder / "u.data").write_text("2\t1\t3\t881250949\n1\t2\t5\t881250000\n")
    return folder


def test_titles_give_up_their_year(latest: Path) -> None:
    items = read(latest).items
    assert items[schema.TITLE].to_pylist() == [
        "Toy Story",
        "American President, The",
        "Death Note: Desu nôto",
        "Babylon 5",
        "8 1/2 (8½)",
    ]
    assert items["year"].to_pylist() == [1995, 1995, 2006, None, 1963]
    assert items[schema.CREATED_AT].to_pylist()[2:4] == [datetime(2006, 1, 1, tzinfo=UTC), None]
    assert items[schema.CATEGORIES].to_pylist()[:3] == [["Adventure", "Animation"], ["Comedy"], []]


def test_stars_are_ratings_in_time_order_and_liked_from_four(latest: Path) -> None:
    dataset = read(latest)
    assert dataset.events.schema == schema.EVENTS
    assert dataset.events[schema.USER_ID].to_pylist() == ["7", "3", "7"]
    assert dataset.events[schema.VALUE].to_pylist() == [3.5, 0.5, 4.0]
    assert dataset.events[schema.OCCURRED_AT][2].as_py() == datetime.fromtimestamp(964982703, UTC)
    labelled = label_events(dataset.events, dataset.kinds)
    assert labelled[schema.POSITIVE].to_pylist() == [False, False, True]
    assert labelled[schema.WEIGHT].to_pylist() == [1.0, 1.0, 1.0]
    assert dict(dataset.rejected.counts) == {("events", "unknown_item"): 1}


def test_overviews_come_from_the_joined_table_and_tags_stay_out(latest: Path) -> None:
    joined = {"movieId": [2, 1], "overview": [None, "Toys live."], "user_tags": ["love", "pixar"], "n_ratings": [9, 9]}
    pq.write_table(pa.table(joined), latest / "items.parquet")
    items = read(latest).items
    assert items[schema.DESCRIPTION].to_pylist() == ["Toys live.", None, None, None, None]
    assert items.column_names == [*schema.ITEMS.names, "year"]


def test_overviews_come_from_tmdb_by_way_of_the_links(latest: Path) -> None:
    (latest / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,862\n2,0112346,9087\n3,0,\n")
    (latest / "text").mkdir()
    (latest / "text" / "top10K-TMDB-movies.csv").write_text('id,title,overview\n862,Toy Story,"Toys, alive"\n')
    assert read(latest).items[schema.DESCRIPTION].to_pylist()[:3] == ["Toys, alive", None, None]


def test_posters_are_used_where_they_are(latest: Path) -> None:
    (latest / "posters_by_movieId").mkdir()
    (latest / "posters_by_movieId" / "5.jpg").write_bytes(b"x")
    dataset = read(latest)
    assert dataset.items[schema.IMAGE].to_pylist() == [None] * 4 + ["posters_by_movieId/5.jpg"]
    assert (dataset.media_root / "posters_by_movieId" / "5.jpg").is_file()
    assert ("items", "media_missing") not in dataset.rejected.counts


def test_the_old_layout_has_release_dates_genres_and_people(old: Path) -> None:
    dataset = read(old)
    assert dataset.name == "ml-100k"
    assert dataset.items[schema.TITLE].to_pylist() == [
        "GoldenEye",
        'Cité des "enfants" perdus, La',
        "Land Before Time III: The Time",
        "unknown",
    ]
    assert dataset.items[schema.CREATED_AT].to_pylist() == [
        datetime(1995, 1, 1, tzinfo=UTC),
        datetime(1995, 1, 1, tzinfo=UTC),
        datetime(1996, 2, 4, tzinfo=UTC),
        None,
    ]
    assert dataset.items[schema.CATEGORIES].to_pylist() == [["Action", "Thriller"], ["Sci-Fi"], ["Children's"], []]
    assert dataset.users.to_pylist()[1] == {
        "user_id": "2",
        "age": 53,
        "gender": "F",
        "occupation": "other",
        "zip": "02215",
    }
    assert dataset.events[schema.USER_ID].to_pylist() == ["1", "2"]
    assert not dataset.rejected.counts


def test_the_old_layout_takes_posters_from_its_own_folder_or_from_beside(old: Path) -> None:
    joined = {
        "item_id": [1, 2, 3],
        "poster_file": ["10.jpg", None, "gone.jpg"],
        "overview": ["A spy.", None, None],
        "wiki_summary": ["Wiki.", "A city.", None],
    }
    pq.write_table(pa.table(joined), old / "items_mm.parquet")
    assert read(old).items[schema.IMAGE].null_count == 4
    for home in (old.parent / "ml-latest-small", old):
        (home / "posters_by_movieId").mkdir(parents=True)
        (home / "posters_by_movieId" / "10.jpg").write_bytes(b"x")
        dataset = read(old)
        assert dataset.media_root.resolve() == home.resolve()
        assert dataset.items[schema.IMAGE].to_pylist() == ["posters_by_movieId/10.jpg", None, None, None]
        assert dict(dataset.rejected.counts) == {("items", "media_missing"): 1}
    assert dataset.items[schema.DESCRIPTION].to_pylist() == ["A spy.", "A city.", None, None]


def test_a_truncated_line_costs_only_itself(old: Path) -> None:
    with (old / "u.data").open("a") as file:
        file.write("3\t1\t")
    dataset = read(old)
    assert dataset.events.num_rows == 2
    assert dict(dataset.rejected.counts) == {("events", "malformed_row"): 1}


def test_a_folder_of_no_layout_says_what_each_needs(latest: Path) -> None:
    (latest / "movies.csv").unlink()
    needs = r"needs ratings\.csv, movies\.csv \(missing: movies\.csv\); ml-100k needs u\.data, u\.item, u\.user"
    with pytest.raises(DatasetError, match=needs):
        read(latest)
    with pytest.raises(DatasetError, match="no such folder"):
        read(latest / "nowhere")


def test_a_file_with_other_columns_is_one_clear_line(latest: Path) -> None:
    (latest / "movies.csv").write_text("id,title,genres\n1,Toy Story (1995),Comedy\n")
    with pytest.raises(DatasetError, match=r"movies\.csv: no column movieId; found: \['id', 'title', 'genres'\]"):
        read(latest)


@needs_data
@pytest.mark.parametrize(
    ("name", "ratings", "delimiter", "header", "items", "users", "posters", "texts"),
    [
        ("ml-latest-small", "ratings.csv", ",", 1, 9742, 610, 4367, 6348),
        ("ml-100k", "u.data", "\t", 0, 1682, 943, 898, 1600),
    ],
)
def test_the_published_sets_are_read_whole(
    name: str, ratings: str, delimiter: str, header: int, items: int, users: int, posters: int, texts: int
) -> None:
    assert DATA
    dataset = read(Path(DATA) / name)
    assert (dataset.items.num_rows, dataset.users.num_rows) == (items, users)
    assert pc.count(dataset.items[schema.IMAGE]).as_py() == posters
    assert pc.count(dataset.items[schema.DESCRIPTION]).as_py() == texts
    assert not dataset.rejected.counts
    # The ratings against the standard library's reading of the same file, whichever copy that is.
    with (Path(DATA) / name / ratings).open(newline="") as file:
        lines = list(csv.reader(file, delimiter=delimiter))
    rows = sorted((u, i, float(stars), int(at)) for u, i, stars, at in lines[header:])
    events = dataset.events
    moments = events[schema.OCCURRED_AT].cast(pa.int64()).to_numpy()
    columns = [events[column].to_pylist() for column in (schema.USER_ID, schema.ITEM_ID, schema.VALUE)]
    assert sorted(zip(*columns, (moments // 1_000_000).tolist(), strict=True)) == rows
    assert np.all(np.diff(moments) >= 0)
    assert pc.count_distinct(events[schema.EVENT_ID]).as_py() == len(rows)
    assert pc.sum(label_events(events, dataset.kinds)[schema.POSITIVE]).as_py() == sum(row[2] >= 4 for row in rows)
