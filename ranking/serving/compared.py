"""A further release, to compare its answers with the current one's: loaded when it is asked for, one at a time."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from feature_repo.errors import FeatureRepoError
from ranking.errors import ArtifactError, NotReadyError, RankingError
from ranking.serving.answer import Loaded
from ranking.serving.releases import Release, Releases

AGAIN_S: Final = 1  # after how long to ask again while it loads

_log = logging.getLogger(__name__)


class Compared:
    """Holds the release that was asked for last; another one takes its place.

    load: brings a release into memory, tried, of nobody's history.
    """

    def __init__(self, releases: Releases, load: Callable[[Release], Loaded]) -> None:
        self._releases = releases
        self._load = load
        self._loading = threading.Lock()
        self._held: Loaded | None = None
        self._refused: dict[str, str] = {}
        self._dropped = 0

    def of(self, release_id: str) -> Loaded:
        """The release in memory.

        Raises:
            NotReadyError: it is being loaded, or another one is; ask again.
            ArtifactError: there is no such release, or it is damaged.
        """
        if (held := self._holding(release_id)) is not None:
            return held
        release = self._releases.open(release_id)
        if reason := self._refused.pop(release_id, ""):  # told once: it may be mended by then
            raise ArtifactError(reason)
        if self._loading.acquire(blocking=False):
            if (held := self._holding(release_id)) is not None:  # its load has ended since
                self._loading.release()
                return held
            threading.Thread(target=self._bring, args=(release,), name="load-compared", daemon=True).start()
        raise NotReadyError(f"release {release_id}: being loaded for comparison; ask again in {AGAIN_S} s")

    def drop(self) -> None:
        """Hold no release, nor one that is being loaded now: they know users who were forgotten."""
        self._dropped += 1
        self._held = None

    def _holding(self, release_id: str) -> Loaded | None:
        """What is held, if it is that release."""
        held = self._held
        return held if held is not None and held.release.id == release_id else None

    def _bring(self, release: Release) -> None:
        try:
            self._held = None  # not two of them beside the current one
            dropped = self._dropped
            loaded = self._load(release)
            if dropped == self._dropped:
                self._held = loaded
        except (RankingError, FeatureRepoError) as error:
            self._refused[release.id] = f"release {release.id} cannot be compared: {error}"
            _log.warning("release %s cannot be compared: %s", release.id, error)
        finally:
            self._loading.release()
