"""One of several processes that answer on one port."""

import os
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI

from feature_repo.settings import load_settings
from ranking.errors import NotReadyError
from ranking.serving.app import create_app, prepare_process
from ranking.serving.engine import Engine
from ranking.serving.workers import MEDIA_ROOT


def worker() -> FastAPI:
    """The API of one process; it takes connections once its release is loaded, or refused."""
    prepare_process()
    settings = load_settings()
    engine = Engine(settings.model_copy(update={"worker": f"{settings.worker}-{os.getpid()}"}))
    with suppress(NotReadyError):
        engine.follow()
    engine.wait()
    media_root = os.environ.get(MEDIA_ROOT)
    return create_app(engine, media_root=Path(media_root) if media_root else None)
