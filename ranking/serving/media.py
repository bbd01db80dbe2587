"""An item's picture and sound, read from inside the dataset's media folder and nowhere else."""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from feature_repo import schema
from ranking.errors import UnknownEntityError
from ranking.serving.catalogue import Catalogue
from ranking.serving.listing_payloads import MediaKind
from ranking.types import UNKNOWN

MAX_BYTES: Final = 64 << 20  # a browser is sent; encoders take up to four times as much
_HEAD: Final = 64  # bytes by which a file is told
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:data|file):")
_COLUMN: Final[dict[MediaKind, str]] = {"image": schema.IMAGE, "audio": schema.AUDIO}


@dataclass(frozen=True)
class MediaFile:
    """A file that may be sent. path: real, without symbolic links. content_type: by its first bytes."""

    path: Path
    content_type: str
    status: os.stat_result

    @property
    def etag(self) -> str:
        """Another one whenever the file is another."""
        return f'"{self.status.st_mtime_ns:x}-{self.status.st_size:x}"'


class Media:
    """Files of a dataset by item id. root: the folder that its paths are relative to; None: there are none."""

    def __init__(self, root: Path | None) -> None:
        self._root = None if root is None else Path(os.path.realpath(root))

    def find(self, catalogue: Catalogue, item_id: str, kind: MediaKind) -> MediaFile:
        """The item's own picture or sound.

        Raises:
            UnknownEntityError: there is no such item, it names no file, or one that may not be sent: outside the media
                folder (also by way of a symbolic link), too large, or of a type that is not on the list.
        """
        code = int(catalogue.index.codes([item_id])[0])
        name = None if code == UNKNOWN else catalogue.table[_COLUMN[kind]][code].as_py()
        found = self._inside(name) if name else None
        content_type = found and _sniffed(found[0], kind)
        if found is None or content_type is None:
            raise UnknownEntityError(f"item {item_id!r}: no {kind} is kept of it; see /v1/items for what there is")
        return MediaFile(found[0], content_type, found[1])

    def _inside(self, name: str) -> tuple[Path, os.stat_result] | None:
        """Real path and state of a regular file below the root that may be sent, None for anything else."""
        if self._root is None or "\0" in name or _URI.match(name):
            return None
        if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
            return None
        path = Path(os.path.realpath(self._root / name))
        if not path.is_relative_to(self._root):
            return None
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return (path, status) if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_BYTES else None


def _sniffed(path: Path, kind: MediaKind) -> str | None:
    """The content type that the first bytes show, None where it is none that is sent for this kind."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    return next((content_type for content_type, tells in _TYPES[kind].items() if tells(head)), None)


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _riff(form: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


def _mp3(head: bytes) -> bool:
    """An ID3 tag, or the first frame of MPEG audio, layer III."""
    return head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2)


# SVG is not among them: it may hold scripts.
_TYPES: Final[dict[MediaKind, dict[str, Callable[[bytes], bool]]]] = {
    "image": {
        "image/png": _starts(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg": _starts(b"\xff\xd8\xff"),
        "image/gif": _starts(b"GIF87a", b"GIF89a"),
        "image/webp": _riff(b"WEBP"),
        "image/avif": _brand(b"avif", b"avis"),
    },
    "audio": {
        "audio/flac": _starts(b"fLaC"),
        "audio/wav": _riff(b"WAVE"),
        "audio/ogg": _starts(b"OggS"),
        "audio/mp4": _brand(b"M4A ", b"mp42", b"isom", b"dash"),
        "audio/mpeg": _mp3,
    },
}
