"""MovieLens as published (Harper and Konstan, 2015): the layouts of ml-latest-small and of ml-100k.

Overviews and posters are used where they lie beside the ratings. The users' own tags are not: they were written by the
very audience that a recommender is asked to foresee.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.rejected import Rejected
from pipelines.datasets.checks import REQUIRED, WANTED, check_dataset, sieves
from pipelines.datasets.columns import conform, look_up
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.files import CsvLayout, infer_attributes, read_csv, read_parquet
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.errors import DatasetError

KINDS: Final = (schema.EventKind("rating", weight=1.0, positive=True, positive_from=4.0),)
LAYOUTS: Final = {"ml-latest-small": ("ratings.csv", "movies.csv"), "ml-100k": ("u.data", "u.item", "u.user")}
POSTERS: Final = "posters_by_movieId"  # folder of MOVIEID.jpg, movie ids as in ml-latest-small
OVERVIEWS: Final = "text/top10K-TMDB-movies.csv"

# `The Matrix (1999)`, `Death Note (2006-2007)` with either dash, `Aladdin (1996) (V)` for a film sold on video only
TITLE_AND_YEAR: Final = r"^\s*(?P<title>.*?)\s*\((?P<year>\d{4})(?:[–-]\d{0,4})?\)\s*(?:\(V\)\s*)?$"  # noqa: RUF001
YEAR: Final = "year"

GENRES_100K: Final = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
NO_GENRE: Final = (GENRES_100K[0], "(no genres listed)")
U_DATA: Final = (schema.USER_ID, schema.ITEM_ID, schema.VALUE, schema.OCCURRED_AT)
U_ITEM: Final = (schema.ITEM_ID, schema.TITLE, "release_date", "video_release_date", "imdb_url", *GENRES_100K)
U_USER: Final = (schema.USER_ID, "age", "gender", "occupation", "zip")


def read_movielens(folder: Path, *, now: datetime) -> Dataset:
    """The MovieLens set in `folder`: stars are events of the one kind `rating`, positive from 4.

    Items have a `year`; `created_at` is the release date (ml-100k) or that year's first day, null where unknown. Users
    of ml-100k have age, gender, occupation and zip.

    Raises:
        DatasetError: the folder holds neither layout in full, or a file cannot be used.
    """
    lacking = {layout: [name for name in LAYOUTS[layout] if not (folder / name).is_file()] for layout in LAYOUTS}
    if not lacking["ml-latest-small"]:
        return _read_latest(folder, now)
    if not lacking["ml-100k"]:
        return _read_100k(folder, now)
    needs = "; ".join(
        f"{name} needs {', '.join(LAYOUTS[name])} (missing: {', '.join(lacking[name])})" for name in LAYOUTS
    )
    what = "neither layout in full" if folder.is_dir() else "no such folder"
    raise DatasetError(f"movielens:{folder}: {what}; accepted: {needs}; give the folder that holds these files")


def movielens_folders(folder: Path) -> set[Path]:
    """The folders that the set in `folder` is read from: itself, and that of its posters if they lie elsewhere."""
    return {folder, poster_root(folder)}


def _read_latest(folder: Path, now: datetime) -> Dataset:
    rejected = Rejected()
    sieve = sieves(rejected)
    ratings = _read(folder, "ratings.csv", ("userId", "movieId", "rating", "timestamp"), sieve["events"])
    movies = _read(folder, "movies.csv", ("movieId", "title", "genres"), sieve["items"])
    ids = movies["movieId"]
    posters = pa.array([path.name for path in (folder / POSTERS).glob("*.jpg")], pa.string())
    poster = pc.binary_join_element_wise(ids, ".jpg", "")
    items = {
        schema.ITEM_ID: ids,
        schema.DESCRIPTION: _overviews(folder, ids, sieve["items"]),
        schema.CATEGORIES: _genres(movies["genres"]),
        schema.IMAGE: _beneath(POSTERS, pc.if_else(pc.is_in(poster, posters), poster, None)),
        **_title_and_year(movies["title"]),
        SOURCE: movies[SOURCE],
    }
    items[schema.CREATED_AT] = _new_year(items[YEAR])
    return check_dataset(
        folder.resolve().name,
        items=_conformed("items", "movies.csv", items, sieve),
        users=None,
        events=_ratings("ratings.csv", [*ratings.columns], sieve),
        kinds=KINDS,
        media_root=folder,
        now=now,
        rejected=rejected,
    )


def _read_100k(folder: Path, now: datetime) -> Dataset:
    rejected = Rejected()
    sieve = sieves(rejected)
    ratings = read_csv(folder / "u.data", sieve["events"], root=folder, layout=CsvLayout(U_DATA, "\t", None))
    movies, users = (
        read_csv(folder / name, sieve[table], root=folder, layout=CsvLayout(names, "|", None, "latin-1"))
        for name, table, names in (("u.item", "items", U_ITEM), ("u.user", "users", U_USER))
    )
    named = [pc.if_else(pc.equal(movies[genre], "1"), genre, None) for genre in GENRES_100K]
    root = poster_root(folder)
    items = {
        schema.ITEM_ID: movies[schema.ITEM_ID],
        schema.CATEGORIES: _genres(pc.binary_join_element_wise(*named, "|", null_handling="skip")),
        **_title_and_year(movies[schema.TITLE]),
        **_text_and_poster(folder, movies[schema.ITEM_ID], root, sieve["items"]),
        SOURCE: movies[SOURCE],
    }
    released = pc.strptime(movies["release_date"], format="%d-%b-%Y", unit="us", error_is_null=True)
    items[schema.CREATED_AT] = pc.coalesce(released.cast(schema.TIMESTAMP), _new_year(items[YEAR]))
    people = conform({"u.user": users}, schema.USERS, required=REQUIRED["users"], sieve=sieve["users"])
    return check_dataset(
        folder.resolve().name,
        items=_conformed("items", "u.item", items, sieve),
        users=infer_attributes(people, known=[schema.USER_ID, "zip"]),
        events=_ratings("u.data", [*ratings.columns], sieve),
        kinds=KINDS,
        media_root=root,
        now=now,
        rejected=rejected,
    )


def _read(folder: Path, name: str, columns: Sequence[str], sieve: Sieve) -> pa.Table:
    """These columns, and `SOURCE`, of a CSV or Parquet file with a header."""
    read = read_parquet if name.endswith(".parquet") else read_csv
    table = read(folder / name, sieve, root=folder)
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        found = str(table.column_names[:-1])[:200]
        raise DatasetError(
            f"{folder / name}: no column {', '.join(missing)}; found: {found}; accepted: {', '.join(columns)}, as "
            "published; fetch the file anew"
        )
    return table.select([*columns, SOURCE])


def _conformed(table: str, file: str, columns: Mapping[str, pa.ChunkedArray], sieve: Mapping[str, Sieve]) -> pa.Table:
    return conform({file: pa.table(dict(columns))}, WANTED[table], required=REQUIRED[table], sieve=sieve[table])


def _ratings(file: str, columns: Sequence[pa.ChunkedArray], sieve: Mapping[str, Sieve]) -> pa.Table:
    """Events of the columns user, item, stars, time and `SOURCE`."""
    named = dict(zip((*U_DATA, SOURCE), columns, strict=True))
    kind = pa.chunked_array([pa.repeat(KINDS[0].name, len(columns[0]))])
    return _conformed("events", file, {**named, schema.KIND: kind}, sieve)


def _title_and_year(titles: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    parts = pc.extract_regex(titles, TITLE_AND_YEAR)
    title, year = (pc.struct_field(parts, name) for name in ("title", "year"))
    return {schema.TITLE: pc.coalesce(title, pc.utf8_trim_whitespace(titles)), YEAR: year.cast(pa.int32())}


def _new_year(years: pa.ChunkedArray) -> pa.ChunkedArray:
    days = pc.binary_join_element_wise(years.cast(pa.string()), "-01-01", "")
    return days.cast(pa.timestamp("us")).cast(schema.TIMESTAMP)


def _genres(joined: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_in(joined, pa.array(NO_GENRE)), None, joined)


def _beneath(folder: str, names: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(folder, names, "/")


def _overviews(folder: Path, ids: pa.ChunkedArray, sieve: Sieve) -> pa.ChunkedArray:
    """From items.parquet, else from TMDB's table by way of links.csv, else null."""
    if (folder / "items.parquet").is_file():
        known = _read(folder, "items.parquet", ("movieId", "overview"), sieve)
        return look_up(ids, known["movieId"], known["overview"])
    if (folder / OVERVIEWS).is_file() and (folder / "links.csv").is_file():
        links = _read(folder, "links.csv", ("movieId", "tmdbId"), sieve)
        tmdb = _read(folder, OVERVIEWS, ("id", "overview"), sieve)
        return look_up(look_up(ids, links["movieId"], links["tmdbId"]), tmdb["id"], tmdb["overview"])
    return pa.chunked_array([pa.nulls(len(ids), pa.string())])


def poster_root(folder: Path) -> Path:
    """The folder that holds the posters of ml-100k: its own, or ml-latest-small's beside it."""
    roots = (folder, folder.resolve().parent / "ml-latest-small")
    return next((root for root in roots if (root / POSTERS).is_dir()), folder)


def _text_and_poster(folder: Path, ids: pa.ChunkedArray, root: Path, sieve: Sieve) -> dict[str, pa.ChunkedArray]:
    """Overview, else Wikipedia summary, and poster of ml-100k's items, from items_mm.parquet where it is there."""
    if not (folder / "items_mm.parquet").is_file():
        return {}
    known = _read(folder, "items_mm.parquet", ("item_id", "poster_file", "overview", "wiki_summary"), sieve)
    columns = {schema.DESCRIPTION: pc.coalesce(known["overview"], known["wiki_summary"])}
    if (root / POSTERS).is_dir():
        columns[schema.IMAGE] = _beneath(POSTERS, known["poster_file"])
    return {name: look_up(ids, known["item_id"], values) for name, values in columns.items()}
