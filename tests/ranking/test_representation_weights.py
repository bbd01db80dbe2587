from pathlib import Path

import numpy as np
import pytest

from ranking.errors import EncoderError
from ranking.representation.tf_checkpoint import read_checkpoint
from ranking.representation.weights import EFFICIENTNET_LITE0, MINILM, MUSICNN_MTT, PackagedWeights

CHECKPOINT = MUSICNN_MTT.folder() / "MTT_musicnn"


def test_packaged_weights_are_the_pinned_ones() -> None:
    for weights in (MINILM, EFFICIENTNET_LITE0, MUSICNN_MTT):
        assert all((weights.folder() / name).is_file() for name in weights.files)


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    weights = PackagedWeights("no_such_weights", "no-such-weights==1.0", {})
    with pytest.raises(EncoderError, match=r"no_such_weights .*pip install .*no-such-weights==1\.0"):
        weights.folder()


def test_a_file_with_another_digest_is_refused() -> None:
    weights = PackagedWeights("musicnn", "musicnn==0.1.0", {"MTT_musicnn/.index": "0" * 64})
    with pytest.raises(EncoderError, match=r"SHA-256 is da2d7bb670b2.*expected 000000000000"):
        weights.folder()


def test_revision_changes_with_any_file() -> None:
    one = PackagedWeights("p", "p==1", {"a": "1", "b": "2"})
    other = PackagedWeights("p", "p==1", {"a": "1", "b": "3"})
    assert one.revision != other.revision


def test_every_byte_of_a_checkpoint_belongs_to_one_tensor() -> None:
    tensors = read_checkpoint(CHECKPOINT)
    assert sum(tensor.nbytes for tensor in tensors.values()) == (CHECKPOINT / ".data-00000-of-00001").stat().st_size
    assert tensors["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    variances = [tensor for name, tensor in tensors.items() if name.endswith("moving_variance")]
    assert len(variances) == 11
    assert all((variance >= 0).all() for variance in variances)  # a shifted offset would not keep these positive


@pytest.mark.parametrize("cut", [0, 20, 3000])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / ".index").write_bytes((CHECKPOINT / ".index").read_bytes()[:cut])
    (tmp_path / ".data-00000-of-00001").write_bytes((CHECKPOINT / ".data-00000-of-00001").read_bytes())
    with pytest.raises(EncoderError, match="not a readable TensorFlow checkpoint"):
        read_checkpoint(tmp_path)


def test_a_checkpoint_without_its_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".index").write_bytes((CHECKPOINT / ".index").read_bytes())
    (tmp_path / ".data-00000-of-00001").write_bytes(b"")
    with pytest.raises(EncoderError, match="not a readable TensorFlow checkpoint"):
        read_checkpoint(tmp_path)
