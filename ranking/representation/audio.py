"""Sounds as vectors: penultimate features of musicnn, pretrained to tag music (MagnaTagATune)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.encoder import Arrays, NetworkEncoder, OnnxForm, Rows, Run
from ranking.representation.sound import HEARD, SECONDS, read_sound
from ranking.representation.weights import MUSICNN_MTT
from ranking.types import Floats

if TYPE_CHECKING:
    from torch.nn import Module

RATE: Final = 16_000
WINDOW: Final = 512
HOP: Final = 256
MELS: Final = 96
PATCH: Final = 187  # frames: three seconds

Patches = npt.NDArray[np.float32]


class AudioEncoder(NetworkEncoder[Patches]):
    """The mean over three-second patches of what is heard of a sound, 200 numbers, not normalised."""

    modality = Modality.AUDIO
    dim = 200
    held = 16  # up to 700 kB each
    halved: ClassVar = False  # its convolutions are slower in bfloat16: .9 times
    batch: ClassVar = 4  # patches; stays in the cache: 27 ms a patch, 57 ms at 16 (two threads)
    onnx: ClassVar = OnnxForm(
        batch=1,
        calibrated=True,
        # the two widest convolutions take most of the time: mean cosine .9989 to .9999, with every layer .945
        exact=("/front.2/", "/front.3/", "/front.4/", "/middle", "/Add"),
    )

    def __init__(self, *, device: str = "cpu") -> None:
        super().__init__(f"musicnn-mtt-{MUSICNN_MTT.revision}-{HEARD}-padded-mean", device=device)

    def decode(self, content: bytes) -> Patches:
        """Log-mel patches float32 [p, 187, 96], 1 <= p <= 10; a sound shorter than a patch ends in silence."""
        frames = self._log_mel(read_sound(content, RATE))
        if len(frames) < PATCH:
            frames = np.pad(frames, ((0, PATCH - len(frames)), (0, 0)))  # repeating it tells sounds apart less well
        count = min(len(frames) // PATCH, SECONDS // 3)
        return frames[: count * PATCH].reshape(count, PATCH, MELS)

    def batches(self, batch: Sequence[Patches], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Patches float32 [b, 187, 96] of one sound at a time."""
        for row, patches in enumerate(batch):
            for start in range(0, len(patches), size):
                part = patches[start : start + size]
                yield np.full(len(part), row), {"x": part}

    def encode_by(self, run: Run, batch: Sequence[Patches], size: int) -> Floats:
        """The mean over each sound's patches."""
        counts = np.array([len(patches) for patches in batch], np.float32)
        return self.sums_by(run, batch, size) / counts[:, None]

    def plain(self) -> "Module":
        """Musicnn up to its penultimate layer."""
        from ranking.representation.musicnn import MusiCNN  # imports torch
        from ranking.representation.tf_checkpoint import read_checkpoint

        return MusiCNN.from_tensors(read_checkpoint(MUSICNN_MTT.folder() / "MTT_musicnn"))

    def _log_mel(self, signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Frames [t, 96]: log10(10000 power + 1), centred Hann windows, as librosa and musicnn make them."""
        from scipy.fft import rfft

        padded = np.pad(signal, WINDOW // 2)
        framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        spectrum = rfft(framed * self._hann)
        power = spectrum.real**2 + spectrum.imag**2
        log_mel: npt.NDArray[np.float32] = np.log10(10_000 * (power @ self._mel_bank) + 1)
        return log_mel

    @cached_property
    def _hann(self) -> npt.NDArray[np.float32]:
        from scipy.signal import get_window  # heavy, as above

        return np.asarray(get_window("hann", WINDOW), np.float32)

    @cached_property
    def _mel_bank(self) -> npt.NDArray[np.float32]:
        from transformers.audio_utils import mel_filter_bank  # heavy, as above

        bank = mel_filter_bank(WINDOW // 2 + 1, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
        return np.asarray(bank, np.float32)
