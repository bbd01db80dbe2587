"""Feast as this package imports it."""

import subprocess
import sys

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
