import os
import subprocess
import sys
from pathlib import Path

from feast.repo_operations import get_repo_files

from feature_repo.configuration import REPO
from feature_repo.settings import Settings
from feature_repo.store import Store


def test_feast_reads_no_file_of_the_repo_but_definitions() -> None:
    assert [file.name for file in get_repo_files(REPO)] == ["definitions.py"]


def test_feast_apply_from_the_shell_registers_what_the_store_does(tmp_path: Path, store: Store) -> None:
    feast = Path(sys.executable).parent / "feast"
    done = subprocess.run(
        [feast, "-c", REPO, "apply"],
        env={**os.environ, "TRICHORD_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shell = Store(Settings(home=tmp_path))
    for names in ("list_entities", "list_feature_views", "list_on_demand_feature_views", "list_feature_services"):
        registered = sorted(one.name for one in getattr(shell.feast, names)())
        assert registered == sorted(one.name for one in getattr(store.feast, names)())
    for service in ("retrieval_v1", "ranking_v1"):
        assert shell.feature_columns(service) == store.feature_columns(service)
