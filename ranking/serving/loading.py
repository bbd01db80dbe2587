"""Bringing the home's current release into memory, beside the one that answers."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from feature_repo.errors import FeatureRepoError
from ranking.errors import RankingError
from ranking.serving.garbage import give_back
from ranking.serving.releases import Release, Releases

SERVED, REFUSED = "served", "refused"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """A release that is not served, and why."""

    id: str = ""
    reason: str = ""


class Loading:
    """One release at a time. swap: brings a release into memory and lets it answer, or raises."""

    def __init__(self, releases: Releases, swap: Callable[[Release], None]) -> None:
        self._releases = releases
        self._swap = swap
        self._busy = threading.Lock()
        self._counts = Counter({SERVED: 0, REFUSED: 0})
        self.refused = Refusal()

    def counts(self) -> dict[str, int]:
        """How often a release was loaded and served, and refused."""
        return dict(self._counts)

    def follow(self, here: Callable[[], str | None]) -> None:
        """Begin to load the home's current release if it is another than the one that answers and was not refused.

        here: says which one answers.
        """
        if self._wanted(here) is None or not self._busy.acquire(blocking=False):
            return
        try:
            wanted = self._wanted(here)  # another thread may have brought it meanwhile, or gone back from it
            if wanted is not None:
                self._start(wanted)
        except BaseException:
            self._busy.release()
            raise
        if wanted is None:
            self._busy.release()

    def _wanted(self, here: Callable[[], str | None]) -> str | None:
        """The release to load; None where there is nothing to do."""
        wanted, answers = self._releases.current_id(), here()
        if wanted == answers:
            if self.refused.id not in ("", answers):  # gone back from: it is tried again should it be promoted again
                self.refused = Refusal()
            return None
        return None if wanted == self.refused.id else wanted

    def now(self, release: Release) -> None:
        """Load a release at once; raises what it is refused for."""
        with self._busy:
            try:
                self._bring(release)
            except (RankingError, FeatureRepoError):
                self._counts[REFUSED] += 1
                raise

    def begin(self, wanted: str) -> None:
        """Load a release in a thread, unless one is on its way."""
        if self._busy.acquire(blocking=False):
            self._start(wanted)

    def wait(self) -> None:
        """Come back when no release is on its way any more."""
        with self._busy:
            pass

    def _start(self, wanted: str) -> None:
        threading.Thread(target=self._beside, args=(wanted,), name="load-release", daemon=True).start()

    def _beside(self, wanted: str) -> None:
        try:
            self._bring(self._releases.open(wanted))
        except (RankingError, FeatureRepoError) as error:
            self._counts[REFUSED] += 1
            self.refused = Refusal(wanted, str(error))
            _log.error("release %s is not served: %s", wanted, error)
        finally:
            give_back()
            self._busy.release()

    def _bring(self, release: Release) -> None:
        self._swap(release)
        self.refused = Refusal()
        self._counts[SERVED] += 1
        _log.info("release %s is served", release.id)
