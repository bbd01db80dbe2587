"""Feast as this package imports it."""

import subprocess
import sys
from pathlib import Path

SAID = """
import sys
import feature_repo
import feast
import typeguard
assert "torch" not in sys.modules, "torch came along"
assert typeguard.typechecked.__module__.startswith("typeguard"), "others' checks are gone"
assert "check_argument_types" not in feast.FeatureView.__init__.__code__.co_names, "types are checked"
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
found = GetOnlineFeaturesResponse()
found.metadata.feature_names.val.append("n")
found.results.add(values=[Value(int64_val=3)])
print(OnlineResponse(found).to_tensor()["n"].tolist())
"""


def test_feast_comes_without_checks_and_torch_and_makes_tensors_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", SAID], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[3]"]


OTHERS = """
import sys
from importlib import util
import feature_repo
import typeguard
from feature_repo.feast_import import _Unchecked

place = sys.argv[1]
spec = util.spec_from_file_location("feast_like", place, loader=_Unchecked("feast_like", place))
module = sys.modules["feast_like"] = util.module_from_spec(spec)
spec.loader.exec_module(module)
assert module.of_feast(1) == 1
try:
    module.others(1)
except typeguard.TypeCheckError:
    print("checked")
"""


def test_others_who_are_imported_meanwhile_are_checked_as_ever(tmp_path: Path) -> None:
    place = tmp_path / "feast_like.py"
    place.write_text(
        "from typeguard import typechecked\n"
        "def plain(text: str): return text\n"
        "plain.__module__ = 'feast.somewhere'\n"
        "of_feast = typechecked(plain)\n"
        "@typechecked(collection_check_strategy=None)\n"
        "def others(text: str): return text\n"
    )
    done = subprocess.run([sys.executable, "-c", OTHERS, place], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["checked"]), done.stderr
