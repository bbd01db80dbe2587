from pathlib import Path

import pytest

from feature_repo.errors import SettingsError
from feature_repo.schema import Modality
from feature_repo.settings import Suites, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_limits_come_from_the_file_and_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("trichord.toml").write_text("[suites]\neffective_rank = 8\ndrift_psi = 0.1\n[suites.coverage]\nimage = 0.5\n")
    monkeypatch.setenv("TRICHORD_SUITES_DRIFT_PSI", "0.4")
    limits = load_settings().suites
    assert (limits.effective_rank, limits.drift_psi, limits.drift_ks) == (8, 0.4, Suites().drift_ks)
    assert (limits.coverage_of(Modality.IMAGE), limits.coverage_of(Modality.TEXT)) == (0.5, 0.9)


@pytest.mark.parametrize(
    ("text", "named"),
    [("[suites.coverage]\nsmell = 0.5", "smell"), ("[suites.coverage]\nimage = 50", "coverage.image")],
)
def test_a_limit_that_cannot_be_is_refused(text: str, named: str) -> None:
    Path("trichord.toml").write_text(text + "\n")
    with pytest.raises(SettingsError, match=named):
        load_settings()
