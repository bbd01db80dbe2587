"""Frappe as published (Baltrunas et al., 2015, arXiv:1505.03014): which apps 957 people used in which surroundings.

A row says that a user used an app so many times in one combination of time of day, weekday, place, weather and country.
It does not say when, and rows stand in no order. Platforms need a moment, so each row gets one that agrees with what it
says, and with nothing else: its weekday in one of `WEEKS` weeks from `MONDAY` on, by its place in the file, at a moment
of its time of day in UTC. Hour and weekday of an event are therefore real (local time), its date is not, and a division
at one moment (P1) divides at random.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.rejected import Rejected
from pipelines.datasets.checks import REQUIRED, WANTED, check_dataset, sieves
from pipelines.datasets.columns import conform
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.files import CsvLayout, infer_attributes, read_csv
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.errors import DatasetError

KINDS: Final = (schema.EventKind("use", weight=1.0, positive=True),)
ARCHIVE: Final = "Mobile_Frappe.zip"
INSIDE: Final = "Mobile_Frappe/frappe"  # folder of the two files in the archive
USES, APPS = "frappe.csv", "meta.csv"
TABS: Final = CsvLayout(delimiter="\t")
NOT_TOLD: Final = "unknown"
NO_CITY: Final = "0"

MONDAY: Final = datetime(2013, 1, 7, tzinfo=UTC)
WEEKS: Final = 8
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS: Final = {  # from, to; the set has names only
    "night": (0, 6),
    "sunrise": (6, 8),
    "morning": (8, 12),
    "noon": (12, 14),
    "afternoon": (14, 18),
    "sunset": (18, 20),
    "evening": (20, 24),
}
OF_USES: Final = ("user", "item", "cnt", "daytime", "weekday", "homework", "country", "city")
OF_APPS: Final = ("item", "category", "downloads", "developer", "language", "description", "name", "price", "rating")


def read_frappe(folder: Path, *, now: datetime) -> Dataset:
    """The set in `folder`: the published archive, or `frappe.csv` and `meta.csv` as they lie in it.

    Events are of the one kind `use`, all positive, `value` the number of times; place is `home`, `work` or null.
    Users have the country and city of their first event that tells them. Items have category, downloads, developer,
    language, price (dollars, 0 for free ones, null in other currencies) and rating. Weather and cost have no place in
    the event log; benchmarks/frappe.py uses them.

    Raises:
        DatasetError: the folder holds neither, or a file cannot be used.
    """
    rejected = Rejected()
    sieve = sieves(rejected)
    with _opened(folder) as files:
        uses = _read(files, USES, OF_USES, sieve["events"])
        apps = _read(files, APPS, OF_APPS, sieve["items"])
    uses = uses.append_column(schema.OCCURRED_AT, _moments(uses["weekday"], uses["daytime"]))
    return check_dataset(
        "frappe",
        items=infer_attributes(
            conform({APPS: _items(apps)}, WANTED["items"], required=REQUIRED["items"], sieve=sieve["items"]),
            known=[*schema.ITEMS.names, "downloads", "developer", "language"],
        ),
        users=conform({USES: _users(uses)}, WANTED["users"], required=REQUIRED["users"], sieve=sieve["users"]),
        events=conform({USES: _events(uses)}, WANTED["events"], required=REQUIRED["events"], sieve=sieve["events"]),
        kinds=KINDS,
        media_root=folder,
        now=now,
        rejected=rejected,
    )


@contextmanager
def _opened(folder: Path) -> Iterator[Path]:
    """The folder of the two files, unpacked as long as they are read if they lie in the archive."""
    for place in (folder, folder / INSIDE):
        if (place / USES).is_file() and (place / APPS).is_file():
            yield place
            return
    archive = folder / ARCHIVE
    if not archive.is_file():
        what = f"neither {ARCHIVE} nor {USES} and {APPS}" if folder.is_dir() else "no such folder"
        raise DatasetError(
            f"frappe:{folder}: {what}; accepted: a folder with {ARCHIVE} as published, or with {USES} and {APPS} "
            "from it; give that folder"
        )
    with TemporaryDirectory() as unpacked:
        try:
            with ZipFile(archive) as file:
                for name in (USES, APPS):
                    file.extract(f"{INSIDE}/{name}", unpacked)
        except (BadZipFile, KeyError, OSError) as error:
            raise DatasetError(
                f"{archive}: {error}; accepted: as published, with {INSIDE}/{USES} and {APPS}; fetch it anew"
            ) from error
        yield Path(unpacked) / INSIDE


def _read(folder: Path, name: str, columns: tuple[str, ...], sieve: Sieve) -> pa.Table:
    table = read_csv(folder / name, sieve, root=folder, layout=TABS)
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise DatasetError(
            f"{name}: no column {', '.join(missing)}; found: {str(table.column_names[:-1])[:200]}; accepted: "
            f"{', '.join(columns)}, separated by tabs, as published; fetch the file anew"
        )
    return table.select([*columns, SOURCE])


def _moments(weekday: pa.ChunkedArray, daytime: pa.ChunkedArray) -> pa.ChunkedArray:
    """The moment of each row; null where weekday or time of day is none of the known ones."""
    rows = np.arange(len(weekday))
    day = pc.index_in(weekday, pa.array(WEEKDAYS))
    part = pc.index_in(daytime, pa.array(list(HOURS)))
    known = pc.and_(pc.is_valid(day), pc.is_valid(part)).to_numpy(zero_copy_only=False).astype(bool)
    first, end = np.array(list(HOURS.values())).T[:, pc.fill_null(part, 0).to_numpy()]
    within = (rows * 2_654_435_761 % 2**32) / 2**32  # Knuth's multiplicative hash: spread evenly, the same every time
    days = rows * WEEKS // max(len(rows), 1) * 7 + pc.fill_null(day, 0).to_numpy()
    seconds = days * 86_400 + first * 3_600 + np.floor(within * (end - first) * 3_600)
    micros = (int(MONDAY.timestamp()) + seconds.astype(np.int64)) * 1_000_000
    return pa.chunked_array([pa.array(micros, pa.int64(), mask=~known).cast(schema.TIMESTAMP)])


def _told(column: pa.ChunkedArray, nothing: str = NOT_TOLD) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(column, nothing), None, column)


def _items(apps: pa.Table) -> pa.Table:
    price = _told(apps["price"])
    dollars = pc.if_else(pc.starts_with(price, "$"), pc.utf8_slice_codeunits(price, 1), None)
    return pa.table(
        {
            schema.ITEM_ID: apps["item"],
            schema.TITLE: _told(apps["name"]),
            schema.DESCRIPTION: _told(apps["description"]),
            schema.CATEGORIES: _told(apps["category"]),
            **{name: _told(apps[name]) for name in ("downloads", "developer", "language", "rating")},
            "price": pc.if_else(pc.equal(price, "Free"), "0", dollars),
            SOURCE: apps[SOURCE],
        }
    )


def _users(uses: pa.Table) -> pa.Table:
    """Everybody with the first country and city that an event of theirs tells, in order of time."""
    uses = uses.take(pc.sort_indices(uses, sort_keys=[(schema.OCCURRED_AT, "ascending")]))
    told = pa.table(
        {
            schema.USER_ID: uses["user"],
            "country": _told(uses["country"]),
            "city": _told(uses["city"], NO_CITY),
            SOURCE: uses[SOURCE],
        }
    )
    first = [(name, "first", pc.ScalarAggregateOptions(skip_nulls=True)) for name in ("country", "city", SOURCE)]
    users = told.group_by(schema.USER_ID, use_threads=False).aggregate(first)
    return users.rename_columns([name.removesuffix("_first") for name in users.column_names])


def _events(uses: pa.Table) -> pa.Table:
    return pa.table(
        {
            schema.USER_ID: uses["user"],
            schema.ITEM_ID: uses["item"],
            schema.KIND: pa.repeat(KINDS[0].name, len(uses)),
            schema.VALUE: uses["cnt"],
            schema.OCCURRED_AT: uses[schema.OCCURRED_AT],
            schema.PLACE: _told(uses["homework"]),
            SOURCE: uses[SOURCE],
        }
    )
