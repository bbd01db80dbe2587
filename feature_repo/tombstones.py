"""Users who were forgotten, each with the moment: what is told of them from before is not taken in again.

The file holds SHA-256 of their ids, never an id. It tells who was forgotten only to somebody who knows whom to ask for.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.durable import write_durably
from feature_repo.epoch import microseconds
from feature_repo.errors import EventLogError

FILE: Final = "forgotten.json"  # in the event log's folder


class Tombstones:
    """Those of one event log; a file that another process replaces is read again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int] | None = None
        self._moments: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._current())

    def add(self, users: Collection[str], at: datetime) -> None:
        """Remember users as forgotten; on disk when this returns. Only the log's one writer may call it."""
        moments = self._current() | {_hashed(user): microseconds(at) for user in users}
        write_durably(self._path, f"{json.dumps(moments, indent=0)}\n".encode())

    def living(self, users: pa.ChunkedArray, at: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which rows may be kept, bool [n]: those that tell of nobody forgotten, or of what came after."""
        moments = self._current()
        if not moments:
            return np.ones(len(users), bool)
        encoded = users.combine_chunks().dictionary_encode()
        forgotten = np.array([moments.get(_hashed(user), -(2**62)) for user in encoded.dictionary.to_pylist()])
        rows: npt.NDArray[np.bool_] = at.cast(pa.int64()).to_numpy() >= forgotten[encoded.indices.to_numpy()]
        return rows

    def among(self, users: Sequence[str]) -> set[str]:
        """Those who were ever forgotten."""
        moments = self._current()
        return {user for user in users if _hashed(user) in moments} if moments else set()

    def _current(self) -> dict[str, int]:
        try:
            state = self._path.stat()
            if (state.st_ino, state.st_mtime_ns) != self._seen:
                self._moments = {str(user): int(at) for user, at in json.loads(self._path.read_text()).items()}
                self._seen = state.st_ino, state.st_mtime_ns
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise EventLogError(f"{self._path}: cannot be read ({error}); restore it from a backup") from error
        return self._moments


def _hashed(user: str) -> str:
    return hashlib.sha256(user.encode()).hexdigest()
