"""Any model that transformers' Auto classes know: from a local folder, or by its name on the Hugging Face hub.

Weights are read from safetensors files only. A name that is on this machine already needs no network; one that is not
fails at once where there is none.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ranking.errors import EncoderError

HUB_TIMEOUT_S: Final = 5.0
FILES: Final = ("*.json", "*.txt", "*.model", "*.safetensors")  # what is fetched: no code and no pickles


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder; name and revision go into the encoder's id, so that another file is another encoder."""

    name: str
    revision: str
    folder: Path

    @property
    def id(self) -> str:
        """Fit for a folder's name."""
        return f"{re.sub(r'[^A-Za-z0-9._]+', '-', self.name).strip('-')}-{self.revision}"


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of a local folder, or of `owner/model` or `owner/model@revision` on the hub.

    Raises `EncoderError` for a folder without weights, a name that the hub does not know, or no network.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Checkpoint(folder.resolve().name, _digest(folder), folder)
    if name.startswith((".", "/", "~")):
        raise EncoderError(f"encoder {name!r}: no such folder; give a folder with config.json and *.safetensors")
    repository, _, revision = name.partition("@")
    folder = _from_hub(repository, revision or None)
    _digest(folder)
    return Checkpoint(repository, folder.name[:8], folder)


def load_pretrained(auto: Any, checkpoint: Checkpoint, **options: Any) -> Any:  # noqa: ANN401  as transformers types it
    """What one of transformers' Auto classes makes of a checkpoint; raises `EncoderError` where it makes nothing."""
    try:
        return auto.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EncoderError(f"encoder {checkpoint.name!r}: {auto.__name__} cannot load it ({reason})") from error


def _from_hub(repository: str, revision: str | None) -> Path:
    import huggingface_hub  # heavy: commands that encode nothing must start fast
    from huggingface_hub import constants, errors

    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError):
        if constants.is_offline_mode():
            raise EncoderError(
                f"encoder {repository!r}: not on this machine, and HF_HUB_OFFLINE is set; give a local folder"
            ) from None
    try:
        # one request without retries: where there is no network it says so at once
        sha = huggingface_hub.HfApi().model_info(repository, revision=revision, timeout=HUB_TIMEOUT_S).sha
        return Path(huggingface_hub.snapshot_download(repository, revision=sha, allow_patterns=list(FILES)))
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise EncoderError(f"encoder {repository!r}: the hub does not give it ({_first_line(error)})") from None
    except Exception as error:  # noqa: BLE001  whatever the HTTP client of the day raises
        raise EncoderError(
            f"encoder {repository!r}: not on this machine, and the hub cannot be reached ({_first_line(error)}); "
            "give a local folder, or leave the setting out for the packaged encoder"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _digest(folder: Path) -> str:
    """Eight hexadecimal digits that change with any file of the model."""
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(f"{folder}: a model's folder without weights; it must hold *.safetensors")
    whole = hashlib.sha256()
    for path in sorted(path for pattern in FILES for path in folder.glob(pattern)):
        with path.open("rb") as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:8]
