"""Several processes that answer on one port: each follows the event log and the current release, and maps its arrays.

The processes share the listening socket, so whoever is free takes the next connection; one that dies is replaced by a
new one while the others answer.
"""

import os
from pathlib import Path
from typing import Final

from feature_repo.settings import Settings
from ranking.serving.guard import access
from ranking.serving.releases import Releases

HOME: Final = "TRICHORD_HOME"
MEDIA_ROOT: Final = "TRICHORD_MEDIA_ROOT"  # from the first process to the others, no setting
HEALTHCHECK_S: Final = 60  # a process that does not pong for so long is replaced; imports alone take ten on busy cores


def serve_by_workers(
    settings: Settings, *, host: str, port: int, open_to_all: bool, media_root: Path | None, workers: int
) -> None:
    """Run the API in so many processes until interrupted, with a log on stderr; arguments and errors as of `serve`."""
    import uvicorn  # only a server needs one

    access.check_address(host, settings.api, open_to_all=open_to_all)
    Releases.of(settings).current()
    os.environ[HOME] = str(settings.home.resolve())  # the processes read the settings themselves
    os.environ[MEDIA_ROOT] = "" if media_root is None else str(media_root.resolve())
    uvicorn.run(
        "ranking.serving.worker_app:worker",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        timeout_worker_healthcheck=HEALTHCHECK_S,
    )
