"""What there is to encode: each item's text, or its picture, sound or video, under the hash of its bytes."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.embedding_store import CONTENT_HASH, read_whole, write_whole

MAX_BYTES: Final = 256 * 2**20  # of one media file
READERS: Final = 4  # threads; they wait for the disk

COLUMN_OF: Final = {Modality.IMAGE: schema.IMAGE, Modality.AUDIO: schema.AUDIO}

FileState: TypeAlias = tuple[int, int, int]  # size, mtime_ns, ctime_ns: the same ones mean the same bytes
Reject: TypeAlias = Callable[[str, UnreadableContentError], None]  # takes an item id and why it has no content


@dataclass(frozen=True)
class Content:
    """One item's text or file: the hash of its bytes, and how to get them.

    load: raises `UnreadableContentError` if the file is gone or another by now.
    """

    item_id: str
    content_hash: str
    load: Callable[[], bytes]


def content_hash(content: bytes) -> str:
    """32 hexadecimal digits."""
    return blake2b(content, digest_size=16).hexdigest()


def texts(items: pa.Table) -> Iterator[Content]:
    """`Title. Categories: a, b. Description` of each item that has a title or a description."""
    columns = (schema.ITEM_ID, schema.TITLE, schema.CATEGORIES, schema.DESCRIPTION)
    for item_id, title, categories, description in zip(*(items[name].to_pylist() for name in columns), strict=True):
        text = item_text(title, categories, description)
        if text is not None:
            content = text.encode()
            yield Content(item_id, content_hash(content), partial(bytes, content))


def item_text(title: str | None, categories: list[str] | None, description: str | None) -> str | None:
    """What the text encoder reads of an item; None without title and description.

    >>> item_text("Heat", ["Crime", "Thriller"], "A detective hunts a thief.")
    'Heat. Categories: Crime, Thriller. A detective hunts a thief.'
    """
    title, description = (title or "").strip(), (description or "").strip()
    if not title and not description:
        return None
    named = f"Categories: {', '.join(categories)}" if categories else ""
    return ". ".join(part for part in (title.rstrip("."), named, description) if part)


def files(items: pa.Table, modality: Modality, *, media_root: Path, hashes: Path, reject: Reject) -> Iterator[Content]:
    """The media files of the items that name one.

    hashes: Parquet file, written here, with the hash of every file that was read before: a file whose size and times
    are the same is not read again. Files that are missing, too large, no files or outside `media_root` are rejected.
    """
    real = cache(os.path.realpath)
    root = real(str(media_root))
    found: list[tuple[str, str, FileState]] = []
    names = zip(items[schema.ITEM_ID].to_pylist(), items[COLUMN_OF[modality]].to_pylist(), strict=True)
    for item_id, name in names:
        if name:
            try:
                found.append((item_id, *_file_state(root, name, real)))
            except UnreadableContentError as error:
                reject(item_id, error)
    known = _hashes_of({path: state for _, path, state in found}, hashes)
    for item_id, path, _ in found:
        one = known[path]
        if isinstance(one, str):
            yield Content(item_id, one, partial(_reread, path, one))
        else:
            reject(item_id, one)


def videos(
    items: pa.Table, modality: Modality, *, taken: str, media_root: Path, hashes: Path, reject: Reject
) -> Iterator[Content]:
    """The video files of the items that name no picture (no sound) of their own; else as `files`.

    taken: names what of a video is encoded, which is part of the hash.
    """
    column = COLUMN_OF[modality]
    alone = items.filter(pc.equal(pc.fill_null(items[column], ""), ""))
    alone = alone.set_column(alone.column_names.index(column), column, alone[schema.VIDEO])
    for content in files(alone, modality, media_root=media_root, hashes=hashes, reject=reject):
        yield replace(content, content_hash=content_hash(f"{content.content_hash} {taken}".encode()))


def _file_state(root: str, name: str, real: Callable[[str], str]) -> tuple[str, FileState]:
    """Real path and state of the file `name` below `root`. real: gives the real path, at once if asked again."""
    folder, file = os.path.split(os.path.join(root, name))  # noqa: PTH118, ten times as fast as Path
    path = os.path.join(real(folder), file)  # noqa: PTH118
    if file in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        path = real(path)
    if not path.startswith(root + os.sep):
        raise UnreadableContentError("outside_media_root", f"{name} lies outside {root}; give a path below it")
    try:
        state = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        raise _missing(name, error) from error
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableContentError("missing_media", f"{name} is no file; give the path of a file")
    if state.st_size > MAX_BYTES:
        detail = f"{name} has {state.st_size:,} bytes; at most {MAX_BYTES:,}: make it smaller"
        raise UnreadableContentError("oversized_media", detail)
    return path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _missing(name: str, error: Exception) -> UnreadableContentError:
    return UnreadableContentError("missing_media", f"{name} cannot be read ({error}); add it or leave the path out")


def _hashes_of(states: dict[str, FileState], store: Path) -> dict[str, str | UnreadableContentError]:
    """Path -> hash, or why there is none; only files that `store` does not know in this state are read."""
    before = _read_hashes(store)
    new = [path for path, state in states.items() if before.get(path, (None, ""))[0] != state]
    with ThreadPoolExecutor(READERS) as pool:
        read = dict(zip(new, pool.map(_hash_file, new), strict=True))
    fresh = {path: (states[path], one) for path, one in read.items() if isinstance(one, str)}
    if fresh:
        _write_hashes(before | fresh, store)
    return {path: read[path] if path in read else before[path][1] for path in states}


def _hash_file(path: str) -> str | UnreadableContentError:
    try:
        return content_hash(Path(path).read_bytes())
    except OSError as error:
        return _missing(path, error)


def _reread(path: str, expected: str) -> bytes:
    """The file's bytes, which must still be the ones that were hashed."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise _missing(path, error) from error
    if content_hash(content) != expected:
        raise UnreadableContentError("changed_media", f"{path} changed while it was read; run again")
    return content


_HASHES: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("ctime_ns", pa.int64(), nullable=False),
        pa.field(CONTENT_HASH, pa.string(), nullable=False),
    ]
)


def _read_hashes(store: Path) -> dict[str, tuple[FileState, str]]:
    if not store.exists():
        return {}
    rows = zip(*read_whole(store, _HASHES).to_pydict().values(), strict=True)
    return {path: ((size, mtime, ctime), one) for path, size, mtime, ctime, one in rows}


def _write_hashes(hashes: dict[str, tuple[FileState, str]], store: Path) -> None:
    rows = [(path, *state, one) for path, (state, one) in hashes.items()]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _HASHES, strict=True)]
    write_whole(pa.Table.from_arrays(arrays, schema=_HASHES), store)
