"""What a server is told of a home's dataset."""

import logging
from pathlib import Path

from feature_repo.settings import Settings
from pipelines.datasets.open import media_root
from pipelines.errors import DatasetError
from pipelines.workspace import Workspace

_log = logging.getLogger(__name__)


def served_media(settings: Settings) -> Path | None:
    """The folder of the dataset's pictures and sounds; None, with a warning, where the dataset is no longer there."""
    try:
        return media_root(Workspace(settings).dataset_name, home=settings.home)
    except DatasetError as error:
        _log.warning("no pictures and sounds are sent: %s", error)
        return None
