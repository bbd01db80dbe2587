"""Golden requests: what a newly loaded release must answer well before it takes the place of the one that answers."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import ValidationError

from feature_repo.serving_settings import Golden
from ranking.candidates.looks import eligible
from ranking.errors import RankingError, UnfitError
from ranking.serving.answer import UNKNOWN_USER, Answered, Loaded, answer
from ranking.serving.payloads import Request
from ranking.types import UNKNOWN

TRIES: Final = 3  # of a request whose answer was late or lacked something: a busy moment is no fault of a release
SESSION: Final = 3  # items of the session that is asked for
TOLD: Final = 3  # faults in the error, of all that were found
PASSED, FAILED = "passed", "failed"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Named:
    """A request with a name for messages, which says nothing of who asks."""

    name: str
    request: Request


class GoldenRequests:
    """Asks one release at a time, off the live path, and counts. path: a file of requests; it need not be there."""

    def __init__(self, golden: Golden, path: Path) -> None:
        self._golden = golden
        self._path = path
        self._lock = threading.Lock()
        self._counts = Counter({PASSED: 0, FAILED: 0})
        self._lacked: set[str] = set()  # what answers of the release that is checked had to do without, as expected

    def counts(self) -> dict[str, int]:
        """Requests that passed and failed up to now."""
        with self._lock:
            return dict(self._counts)

    def check(self, loaded: Loaded, *, live: Loaded | None, now: datetime) -> None:
        """Let a release that knows all events answer them.

        live: the release that answers now. What that one has to do without, an answer may do without; where there is
        none, an answer may do without anything, as it is better than none.

        Raises:
            UnfitError: an answer is empty though there is something to show, has a score that is no number, an item
                twice or one that was seen, has another fallback than expected, takes too long, or fails; or the file
                of requests cannot be read.
        """
        if not self._golden.check:
            return
        expected = None if live is None else set(answer(live, Request(), now=now).response.fallbacks)
        requests, faults = self.requests(loaded), list[str]()
        self._lacked = set()
        for one in requests:
            found = self._fault(loaded, one.request, expected, now)
            if found:
                faults.append(f"{one.name}: {found}")
            with self._lock:
                self._counts[FAILED if found else PASSED] += 1
        if faults:
            more = f"; and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
            raise UnfitError(
                f"release {loaded.release.id}: {len(faults)} of {len(requests)} golden requests failed: "
                f"{'; '.join(faults[:TOLD])}{more}"
            )
        if without := ", ".join(sorted(self._lacked)):
            _log.warning("release %s answers without %s", loaded.release.id, without)
        _log.info("release %s passed %d golden requests", loaded.release.id, len(requests))

    def requests(self, loaded: Loaded) -> list[Named]:
        """Those of the file; without one, drawn from the home and the release, always the same of the same.

        Raises:
            UnfitError: a line is no request.
        """
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return list(_drawn(loaded, self._golden.users))
        except (OSError, UnicodeDecodeError) as error:
            raise UnfitError(f"{self._path.name}: cannot be read ({error}); mend or remove it") from error
        return [_read(self._path, number, line) for number, line in enumerate(lines, 1) if line.strip()]

    def _fault(self, loaded: Loaded, request: Request, expected: set[str] | None, now: datetime) -> str:
        """What is wrong with the answer; empty for nothing."""
        found = ""
        for _ in range(TRIES):
            try:
                answered = answer(loaded, request, now=now)
                if found := _wrong(loaded, answered, now):
                    return found
            except RankingError as error:
                return str(error)
            except Exception as error:  # noqa: BLE001 - a release may fail in any way: that is what is found out here
                _log.warning("release %s: a golden request failed", loaded.release.id, exc_info=True)
                return f"{type(error).__name__}: {error}"
            if not (found := self._lacking(loaded, answered, expected)):
                return ""
        return found

    def _lacking(self, loaded: Loaded, answered: Answered, expected: set[str] | None) -> str:
        """What an answer had to do without though it need not, time among it."""
        response = answered.response
        unknown = response.user_id is not None and response.user_id not in loaded.histories
        without = set(response.fallbacks) - ({UNKNOWN_USER} if unknown else set())
        if expected is not None and without - expected:
            return f"answered without {', '.join(sorted(without - expected))}"
        self._lacked |= without
        total = response.timings_ms.total
        return f"took {total:.0f} ms, more than golden.ms = {self._golden.ms:g}" if total > self._golden.ms else ""


def _wrong(loaded: Loaded, answered: Answered, now: datetime) -> str:
    """What is wrong with a page; empty for nothing."""
    made, seats = answered.made, answered.made.page.seats
    if not seats and _could_show(loaded, answered, now):
        return "an empty page"
    numbers = [value for seat in seats for value in (seat.score, seat.propensity)]
    if not np.isfinite(numbers).all():
        return "a score or propensity that is no finite number"
    if len({seat.item for seat in seats}) < len(seats):
        return "an item twice"
    seen = set(made.asked.query.item.tolist())
    again = [seat.item for seat in seats if seat.item in seen and seat.place != UNKNOWN]  # else a rule put it there
    if again:
        return f"{len(again)} items that were seen, {loaded.catalogue.index.ids[again[0]]!r} among them"
    return ""


def _could_show(loaded: Loaded, answered: Answered, now: datetime) -> bool:
    """Whether there was anything to show; what the house's rules keep back is not the release's fault."""
    asked = answered.made.asked
    if not eligible(asked.query, loaded.hybrid.created_at).any():
        return False
    again = answer(loaded, asked.request, now=now, house=False)
    return not again.response.items


def _drawn(loaded: Loaded, n_users: int) -> Iterator[Named]:
    """Known users, a newcomer, nobody known, and a session."""
    ids = loaded.catalogue.index.ids
    for number, user in enumerate(loaded.histories.some(n_users), 1):
        yield Named(f"known user {number}", Request(user_id=user))
    yield Named("a newcomer", Request(user_id=f"newcomer to {loaded.release.id}"))
    yield Named("nobody known", Request())
    yield Named("a session", Request(session=tuple(ids[:: max(len(ids) // SESSION, 1)][:SESSION])))


def _read(path: Path, number: int, line: str) -> Named:
    try:
        request = Request.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "JSON"
        raise UnfitError(
            f"{path.name}, line {number}: {where}: {first['msg']}; write it as for /v1/recommendations"
        ) from None
    if request.release is not None:
        raise UnfitError(f"{path.name}, line {number}: release: every release is asked; leave it out")
    return Named(f"{path.name}, line {number}", request)
