"""Media paths: only regular files inside the dataset's own folder are ever opened."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

MAX_BYTES: Final = 256 << 20  # encoders see a small picture or half a minute of sound: what is larger is a mistake
URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(data|file):")


@dataclass(frozen=True)
class MediaProblem:
    """Why a path is not used: `reason` for the count, `remedy` says what is accepted."""

    reason: str
    remedy: str


def media_problem(path: str, root: Path, *, max_bytes: int = MAX_BYTES) -> MediaProblem | None:
    """What keeps `path` from being read as media of the folder `root`, None if nothing does.

    It must be relative to `root`, name a regular file that exists, stay inside `root` after symbolic links are
    followed, and be no larger than `max_bytes`.
    """
    if URI.match(path):
        return MediaProblem("media_uri", "URIs are not fetched; accepted: a path inside the dataset folder")
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive:
        return MediaProblem("media_absolute", "the path is absolute; accepted: a path relative to the dataset folder")
    if "\0" in path:
        return MediaProblem("media_missing", "no file name holds a NUL; mend the path")
    real = os.path.realpath(root / path)
    if not Path(real).is_relative_to(os.path.realpath(root)):
        return MediaProblem("media_outside", "the path leaves the dataset folder; copy the file into it")
    try:
        status = Path(real).stat()
    except OSError as error:
        return MediaProblem("media_missing", f"{error.strerror or error}; add the file or empty the cell")
    if not stat.S_ISREG(status.st_mode):
        return MediaProblem("media_not_a_file", "not a regular file; accepted: a picture, sound or video file")
    if status.st_size > max_bytes:
        remedy = f"{status.st_size:,} bytes; accepted: up to {max_bytes:,}; make a smaller copy"
        return MediaProblem("media_too_large", remedy)
    return None
