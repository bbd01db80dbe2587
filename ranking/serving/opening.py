"""From a release's folder to the release in memory."""

import logging
from datetime import datetime

from feature_repo import schema
from feature_repo.compute import rows_at
from feature_repo.errors import FeatureRepoError
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.errors import ArtifactError, RankingError
from ranking.serving.answer import Loaded, answer
from ranking.serving.catalogue import load_parts
from ranking.serving.histories import Histories
from ranking.serving.labelled import interactions
from ranking.serving.limits import Limits
from ranking.serving.pages import Pages
from ranking.serving.payloads import Request
from ranking.serving.recorded import Recorded
from ranking.serving.releases import Release
from ranking.serving.similar import Neighbours

_log = logging.getLogger(__name__)


def opened(release: Release, settings: Settings, *, now: datetime, limits: Limits) -> Loaded:
    """A release in memory, tried, of nobody's history. limits: patient ones, since the first answer imports Feast.

    Whether its answers are fit to be served is for `GoldenRequests` to say, once it knows what happened.
    """
    try:
        fresh = _brought(release, settings, limits)
        _try(fresh, now)
    except (RankingError, FeatureRepoError):
        raise
    except Exception as error:  # whatever it stumbles over, it is this release that cannot be used
        _log.warning("release %s cannot be opened", release.id, exc_info=True)
        raise ArtifactError(
            f"release {release.id}: cannot be opened ({type(error).__name__}: {error}); promote another one, "
            "or build this one again"
        ) from error
    return fresh


def _brought(release: Release, settings: Settings, limits: Limits) -> Loaded:
    hybrid, catalogue = load_parts(release)
    kinds = {kind.name: kind for kind in release.manifest.kinds}
    nothing = schema.LABELLED_EVENTS.empty_table()
    nobody = Histories(interactions(nothing, catalogue.index))
    neighbours = Neighbours(release, lambda: hybrid.knowledge.space, catalogue, settings)
    pages = Pages(hybrid, catalogue.table, settings.rules)
    store = Store(settings)
    return Loaded(release, hybrid, catalogue, kinds, nobody, Recorded(nothing), store, neighbours, pages, limits)


def _try(loaded: Loaded, now: datetime) -> None:
    """Let a release answer one request before it serves any, and compute what an event changes: this warms both up."""
    first = Request(session=(loaded.catalogue.index.ids[0],), rules=(f"cap {schema.ITEM_ID} at 1",))
    rows_at(loaded.recorded.of([], []), loaded.catalogue.table.slice(0, 0), at=now, users=[""], item_ids=[""])
    try:
        answer(loaded, first, now=now)
    except KeyError as error:
        raise ArtifactError(
            f"release {loaded.release.id}: its ranker reads {error}, which {loaded.release.manifest.service} does not "
            "have; build a release with the feature definitions as they are now"
        ) from error
