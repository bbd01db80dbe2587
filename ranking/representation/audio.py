"""Sounds as vectors: penultimate features of musicnn, pretrained to tag music (MagnaTagATune)."""

import io
import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.encoder import Encoder
from ranking.representation.weights import MUSICNN_MTT
from ranking.types import Floats

if TYPE_CHECKING:
    from ranking.representation.musicnn import MusiCNN

RATE: Final = 16_000
WINDOW: Final = 512
HOP: Final = 256
MELS: Final = 96
PATCH: Final = 187  # frames: three seconds
SECONDS: Final = 30  # what comes later is not heard
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 8
SILENCE: Final = 1e-4  # peak amplitude, -80 dB of full scale
BATCH: Final = 4  # patches; stays in the cache: 27 ms a patch, 57 ms at 16 (two threads)

Patches = npt.NDArray[np.float32]


class AudioEncoder(Encoder[Patches]):
    """The mean over three-second patches of the first 30 seconds, 200 numbers."""

    modality = Modality.AUDIO
    id = f"musicnn-mtt-{MUSICNN_MTT.revision}-{SECONDS}s-padded-mean"
    dim = 200

    def decode(self, content: bytes) -> Patches:
        """Log-mel patches float32 [p, 187, 96], 1 <= p <= 10; a sound shorter than a patch ends in silence."""
        frames = self._log_mel(read_sound(content, RATE))
        if len(frames) < PATCH:
            frames = np.pad(frames, ((0, PATCH - len(frames)), (0, 0)))  # repeating it tells sounds apart less well
        count = min(len(frames) // PATCH, SECONDS // 3)
        return frames[: count * PATCH].reshape(count, PATCH, MELS)

    def encode(self, batch: Sequence[Patches]) -> Floats:
        """Means of penultimate features, float32 [n, 200], not normalised."""
        import torch  # heavy: commands that encode nothing must start fast

        network = self._network
        vectors = np.empty((len(batch), self.dim), np.float32)
        with torch.inference_mode():
            for row, patches in enumerate(batch):
                parts = [network(part) for part in torch.split(torch.from_numpy(patches), BATCH)]
                vectors[row] = torch.cat(parts).mean(0).numpy()
        return vectors

    def _log_mel(self, signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Frames [t, 96]: log10(10000 power + 1), centred Hann windows, as librosa and musicnn make them."""
        from scipy.fft import rfft
        from scipy.signal import get_window

        padded = np.pad(signal, WINDOW // 2)
        framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        spectrum = rfft(framed * get_window("hann", WINDOW).astype(np.float32))
        power = spectrum.real**2 + spectrum.imag**2
        log_mel: npt.NDArray[np.float32] = np.log10(10_000 * (power @ self._mel_bank) + 1)
        return log_mel

    @cached_property
    def _mel_bank(self) -> npt.NDArray[np.float32]:
        from transformers.audio_utils import mel_filter_bank  # heavy, as above

        bank = mel_filter_bank(WINDOW // 2 + 1, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
        return np.asarray(bank, np.float32)

    @cached_property
    def _network(self) -> "MusiCNN":
        from ranking.representation.musicnn import MusiCNN  # imports torch
        from ranking.representation.tf_checkpoint import read_checkpoint

        return MusiCNN.from_tensors(read_checkpoint(MUSICNN_MTT.folder() / "MTT_musicnn"))


def read_sound(content: bytes, rate: int) -> npt.NDArray[np.float32]:
    """The first 30 seconds, channels averaged, at `rate` samples a second: float32 [samples].

    Raises `UnreadableContentError` for what is no whole sound, or is silent.
    """
    mono, own = _read(content)
    if np.abs(mono).max(initial=0) < SILENCE:
        detail = "nothing is heard in the first 30 seconds; give a sound louder than -80 dB of full scale"
        raise UnreadableContentError("silent_audio", detail)
    return _resampled(mono, own, rate)


def _read(content: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """The first 30 seconds, channels averaged, and the sampling rate."""
    import soundfile  # loads a shared library

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, channels, total = file.samplerate, file.channels, file.frames
            if not (0 < rate <= MAX_RATE and channels <= MAX_CHANNELS):
                raise _unreadable(f"{rate} Hz, {channels} channels")
            wanted = min(total, SECONDS * rate)
            samples = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as error:
        raise _unreadable(str(error)) from error
    if len(samples) < wanted:
        raise _unreadable(f"it ends after {len(samples)} of {total} samples")
    if not np.isfinite(samples).all():
        raise _unreadable("it holds samples that are no numbers")
    return samples.mean(1), rate


def _unreadable(detail: str) -> UnreadableContentError:
    accepted = f"accepted: FLAC, WAV, OGG, MP3, at most {MAX_RATE:,} Hz and {MAX_CHANNELS} channels"
    return UnreadableContentError("unreadable_audio", f"not a complete sound ({detail}); {accepted}")


def _resampled(signal: npt.NDArray[np.float32], own: int, rate: int) -> npt.NDArray[np.float32]:
    from scipy.signal import resample_poly

    if own == rate:
        return signal
    common = math.gcd(own, rate)
    return np.asarray(resample_poly(signal, rate // common, own // common), np.float32)
