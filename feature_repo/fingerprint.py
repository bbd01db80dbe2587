"""Which text of the feature definitions a value was computed by."""

import hashlib
from typing import Final

from feature_repo.configuration import REPO

DEFINING: Final = ("compute", "entities", "on_demand", "services", "sources", "transforms", "views")


def definitions() -> str:
    """Changes when the text of any feature definition does."""
    digest = hashlib.sha256()
    code = [REPO / f"{name}.py" for name in DEFINING]
    for path in [*code, *sorted(REPO.glob("sql/*.sql")), *sorted(REPO.glob("feature_store*.yaml"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
