"""An event log, followed: everything once, then what any process has appended since, at the cost of one system call."""

import os
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.event_log import EventLog
from feature_repo.write_ahead import Position

_State: TypeAlias = tuple[int, int, int] | None


class EventTail:
    """Follows a log; one thread at a time, but `moved`, which any may ask.

    What was read counts as unread for `moved` until it is `settled`: so nobody goes on while another takes it in.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._wal = str(log.folder / "wal.log")
        self._state: _State = None  # of wal.log, just before what is settled was read
        self._read_at: _State = None
        self._position = Position(0, 0)
        self._recent: set[str] = set()  # ids of the position's generation: a move brings them again

    def read(self) -> pa.Table:
        """All events, as `EventLog.read` gives them; what comes later is `unread`."""
        self._read_at = self._now()
        events, self._position, recent = self._log.read_up_to()
        self._recent = set(recent)
        return events

    def settled(self) -> None:
        """All that was read so far is where it belongs."""
        self._state = self._read_at

    def moved(self) -> bool:
        """Whether anything may be unread."""
        return self._now() != self._state

    def unread(self) -> pa.Table | None:
        """Events since the last call, each once, in no order; None where users were forgotten: `read` all again."""
        self._read_at = self._now()
        news = self._log.since(self._position)
        if news is None:
            return None
        events, position, recent = news
        if position.generation != self._position.generation:
            events = events.filter(pc.invert(pc.is_in(events[schema.EVENT_ID], pa.array(self._recent, pa.string()))))
            self._recent = set()
        self._recent.update(recent)
        self._position = position
        return events

    def _now(self) -> _State:
        try:
            state = os.stat(self._wal)  # noqa: PTH116 - a path's own takes twice as long, at every request
        except FileNotFoundError:
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns
