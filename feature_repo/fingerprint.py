"""Which text of the feature definitions a value was computed by."""

import hashlib
from pathlib import Path
from typing import Final

REPO: Final = Path(__file__).parent
DEFINING: Final = ("compute", "entities", "on_demand", "services", "sources", "transforms", "views")


def definitions() -> str:
    """Changes when the text of any feature definition does."""
    digest = hashlib.sha256()
    code = [REPO / f"{name}.py" for name in DEFINING]
    for path in [*code, *sorted(REPO.glob("sql/*.sql")), REPO / "feature_store.yaml"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
