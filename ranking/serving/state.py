"""What is so at this moment, for the metrics."""

import logging
from datetime import datetime

from feature_repo.errors import StoreError
from feature_repo.freshness import behind
from ranking.serving.answer import Loaded
from ranking.serving.answers import Answers
from ranking.serving.metrics import State
from ranking.serving.traffic import Traffic

_log = logging.getLogger(__name__)


def state_of(
    loaded: Loaded | None, answers: Answers, traffic: Traffic, *, now: datetime, last: datetime | None
) -> State:
    """Of a process with that release, if any; an error of the feature store leaves its views out.

    last: when the last of its events occurred.
    """
    sizes = {"answers": len(answers), "answer_vector_bytes": answers.vector_bytes}
    counted = (traffic.since, traffic.fallbacks(), traffic.events())
    if loaded is None:
        return State(now, "", None, last, {}, sizes, *counted)
    sizes["items"] = len(loaded.catalogue.index)
    try:
        views = behind(loaded.store, clock=now)
    except StoreError as error:
        _log.warning("metrics tell nothing of the views: %s", error)
        views = {}
    return State(now, loaded.release.id, loaded.release.manifest.created_at, last, views, sizes, *counted)
