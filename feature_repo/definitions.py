"""The one file that `feast apply` reads.

Feast finds objects among a module's names, so each is bound to its own.
"""

import os
from pathlib import Path

from feature_repo.errors import SettingsError
from feature_repo.registered import registered
from feature_repo.settings import load_settings

if __name__ == "definitions":  # as Feast's command imports it, from inside this folder
    _home = os.environ.get("TRICHORD_HOME", "")
    if not Path(_home).is_absolute():
        raise SettingsError(
            f"TRICHORD_HOME is {_home!r}; `feast` needs an absolute path: export TRICHORD_HOME=$PWD/.trichord"
        )

globals().update(registered(load_settings()))
