"""Last.fm-2K (HetRec 2011; Cantador et al.) with the text and audio features of Spillo et al. (RecSys 2025).

An item is an artist, an event that a user listens to one. The set has a split of its own and no times: those given here
are made up, see `pseudo_times`.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from pipelines.datasets.checks import REQUIRED, WANTED, check_dataset, sieves
from pipelines.datasets.columns import conform, look_up
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.files import CsvLayout, read_csv
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.datasets.vectors import read_array, vector_table
from pipelines.errors import DatasetError
from ranking.representation.inputs import unit_rows
from ranking.types import PARTS, IdIndex, Parts

NAME: Final = "lastfm-2k-mm"
KINDS: Final = (schema.EventKind("listen", weight=1.0, positive=True),)
LISTENS: Final = "processed_data/lfm2k.inter"
ORIGINAL: Final = "processed_data/lfm2k_og_ids.inter"  # the same rows with the ids of HetRec
ARTISTS: Final = "original_data/artists.dat"
TAGS: Final = "lfm2k_text.tsv"
FEATURES: Final = "multimodal_features/mmrec_npy"
GIVEN: Final = {Modality.TEXT: ("all-MiniLM-L6-v2",), Modality.AUDIO: ("vggish", "whisper")}
LAYOUT: Final = CsvLayout(delimiter="\t", quote=None)
LABELS: Final = pa.array(["0", "1", "2"])  # x_label of train, validation, test
ARTIST: Final = "artist_id"

START: Final = datetime(2011, 5, 1, tzinfo=UTC)  # the month in which the set was published
DAYS: Final = (8, 1, 1)  # of train, validation, test: ten in all, so that a window of a month holds everything
DAY_US: Final = 86_400_000_000


def read_lastfm(folder: Path, *, now: datetime) -> Dataset:
    """The set in `folder`: artists by name and tags, one event a (user, artist), vectors as published.

    Users and items have the numbers of the published split, with zeros before them, so that the order of ids is that of
    the feature files; `artist_id` is HetRec's. Text is what users tagged an artist with, which is not known at launch.
    Sound is VGGish beside Whisper, each centred and at length 1.

    Raises:
        DatasetError: a file is missing or cannot be used.
    """
    needed = [
        LISTENS,
        ORIGINAL,
        ARTISTS,
        TAGS,
        *(f"{FEATURES}/{name}.npy" for names in GIVEN.values() for name in names),
    ]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        what = f"no {', '.join(missing)}" if folder.is_dir() else "no such folder"
        raise DatasetError(f"lastfm:{folder}: {what}; accepted: the folder with {', '.join(needed)}; give that folder")
    rejected = Rejected()
    sieve = sieves(rejected)
    listens, original = (_read(folder, name, 4, sieve["events"]) for name in (LISTENS, ORIGINAL))
    if not listens["x_label"].equals(original["x_label"]):
        raise DatasetError(f"{folder}: the rows of {LISTENS} and {ORIGINAL} differ; fetch both files anew")
    return check_dataset(
        NAME,
        items=_artists(folder, listens, original, sieve["items"]),
        users=None,
        events=_events(listens, sieve["events"]),
        kinds=KINDS,
        media_root=folder,
        now=now,
        rejected=rejected,
        vectors={modality: _vectors(folder, names) for modality, names in GIVEN.items()},
    )


def pseudo_times(users: pa.ChunkedArray, parts: Parts, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Moments, microseconds since 1970, where none are known: int64 [n] for rows of users [n] and parts [n].

    All of train lies before all of validation, and that before all of test. Inside a part each user's events stand in a
    random order, spread evenly over the part's days: one user's latest fifth lies where everybody's does.
    """
    draw = np.random.default_rng(seed)
    user = IdIndex.of(users.to_pylist()).codes(users.to_pylist())
    group = user.astype(np.int64) * len(PARTS) + parts
    order = np.lexsort((draw.random(len(group)), group))
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    place = np.empty(len(group))
    place[order] = (np.arange(len(group)) - np.repeat(first, count) + draw.random(len(group))) / np.repeat(count, count)
    begins = np.concatenate([[0], np.cumsum(DAYS)[:-1]])
    days = begins[parts] + place * np.asarray(DAYS)[parts]
    return np.asarray(int(START.timestamp()) * 1_000_000 + days * DAY_US, np.int64)


def _read(folder: Path, name: str, columns: int, sieve: Sieve) -> pa.Table:
    table = read_csv(folder / name, sieve, root=folder, layout=LAYOUT)
    if table.num_columns != columns + 1:
        found = str(table.column_names[:-1])[:200]
        raise DatasetError(f"{folder / name}: columns {found}; accepted: {columns}, as published; fetch the file anew")
    return table


def _events(listens: pa.Table, sieve: Sieve) -> pa.Table:
    label = listens["x_label"]
    code = pc.index_in(label, LABELS)
    named = pa.array([*schema.SplitPart], pa.string()).take(code.combine_chunks())
    users = _padded(listens["userID"])
    times = pseudo_times(users, pc.fill_null(code, 0).to_numpy().astype(np.int8))
    columns = {
        schema.USER_ID: users,
        schema.ITEM_ID: _padded(listens["itemID"]),
        schema.KIND: pa.repeat(KINDS[0].name, len(listens)),
        schema.OCCURRED_AT: pa.array(times).cast(schema.TIMESTAMP),
        schema.PART: pc.coalesce(named, label.combine_chunks()),
        SOURCE: listens[SOURCE],
    }
    return conform({LISTENS: pa.table(columns)}, WANTED["events"], required=REQUIRED["events"], sieve=sieve)


def _artists(folder: Path, listens: pa.Table, original: pa.Table, sieve: Sieve) -> pa.Table:
    ids = listens["itemID"].unique()
    places = pc.index_in(ids, listens["itemID"].combine_chunks())
    artist = original["itemID"].take(places)
    names, tags = _read(folder, ARTISTS, 4, sieve), _read(folder, TAGS, 2, sieve)
    columns = {
        schema.ITEM_ID: _padded(ids),
        schema.TITLE: look_up(artist, names["id"], names["name"]),
        schema.DESCRIPTION: look_up(artist, tags["artistID"], tags["text"]),
        ARTIST: artist,
        SOURCE: listens[SOURCE].take(places),
    }
    table = conform({ARTISTS: pa.table(columns)}, WANTED["items"], required=REQUIRED["items"], sieve=sieve)
    return table.take(pc.sort_indices(table[schema.ITEM_ID]))


def _vectors(folder: Path, names: tuple[str, ...]) -> pa.Table:
    """One modality's features side by side; several, of unlike scales, each centred and at length 1."""
    parts = [read_array(folder / FEATURES / f"{name}.npy") for name in names]
    if len({len(one) for one in parts}) > 1:
        sizes = ", ".join(f"{name} {len(one)}" for name, one in zip(names, parts, strict=True))
        raise DatasetError(f"{folder / FEATURES}: unequal numbers of rows: {sizes}; fetch the files anew")
    if len(parts) > 1:
        parts = [unit_rows(one - one.mean(axis=0)) for one in parts]
    ids = _padded(pa.chunked_array([pa.array(range(len(parts[0])), pa.int64()).cast(pa.string())])).to_pylist()
    return vector_table(ids, np.hstack(parts), source=f"{FEATURES}/{'+'.join(names)}.npy")


def _padded(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """With zeros before them, so that their order as text is their own."""
    return pc.utf8_lpad(numbers, 4, "0")
