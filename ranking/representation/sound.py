"""Sounds from files: what is heard of them, in mono, at the rate that a model wants."""

import io
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ranking.errors import UnreadableContentError

if TYPE_CHECKING:
    from soundfile import SoundFile

EXCERPTS: Final = 3  # of a sound longer than all of them: its beginning, middle and end
EXCERPT_S: Final = 10
SECONDS: Final = EXCERPTS * EXCERPT_S  # heard at most
HEARD: Final = f"{EXCERPTS}x{EXCERPT_S}s"  # for encoders' ids
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 8
SILENCE: Final = 1e-4  # peak amplitude, -80 dB of full scale

Sound = npt.NDArray[np.float32]


def read_sound(content: bytes, rate: int) -> Sound:
    """At most thirty seconds, channels averaged, at `rate` samples a second: float32 [samples].

    Of a longer sound three excerpts of ten seconds, evenly spread: its beginning, its middle and its end.
    Raises `UnreadableContentError` for what is no whole sound, or is silent.
    """
    mono, own = _read(content)
    if np.abs(mono).max(initial=0) < SILENCE:
        detail = f"nothing is heard in {SECONDS} seconds; give a sound louder than -80 dB of full scale"
        raise UnreadableContentError("silent_audio", detail)
    return _resampled(mono, own, rate)


def windows(sound: Sound, rate: int, size: int) -> list[Sound]:
    """Whole windows of `size` samples; of a shorter sound the only one, made a second long at least, with silence."""
    if len(sound) < size:
        return [np.pad(sound, (0, max(rate - len(sound), 0)))]
    return [sound[start : start + size] for start in range(0, len(sound) - size + 1, size)]


def _read(content: bytes) -> tuple[Sound, int]:
    """What is heard, channels averaged, and the sampling rate."""
    import soundfile  # loads a shared library

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, channels, total = file.samplerate, file.channels, file.frames
            if not (0 < rate <= MAX_RATE and channels <= MAX_CHANNELS):
                raise _unreadable(f"{rate} Hz, {channels} channels")
            heard = [_excerpt(file, start, length, total) for start, length in _places(total, rate)]
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as error:
        raise _unreadable(str(error)) from error
    samples = np.concatenate(heard)
    if not np.isfinite(samples).all():
        raise _unreadable("it holds samples that are no numbers")
    return samples @ np.full(channels, 1 / channels, np.float32), rate


def _places(total: int, rate: int) -> list[tuple[int, int]]:
    """Where excerpts begin and how long they are, in samples."""
    length = EXCERPT_S * rate
    if total <= EXCERPTS * length:
        return [(0, total)]
    return [(start * (total - length) // (EXCERPTS - 1), length) for start in range(EXCERPTS)]


def _excerpt(file: "SoundFile", start: int, length: int, total: int) -> npt.NDArray[np.float32]:
    if start:
        file.seek(start)
    samples: npt.NDArray[np.float32] = file.read(length, dtype="float32", always_2d=True)
    if len(samples) < length:
        raise _unreadable(f"it ends after {start + len(samples)} of {total} samples")
    return samples


def _unreadable(detail: str) -> UnreadableContentError:
    accepted = f"accepted: FLAC, WAV, OGG, MP3, at most {MAX_RATE:,} Hz and {MAX_CHANNELS} channels"
    return UnreadableContentError("unreadable_audio", f"not a complete sound ({detail}); {accepted}")


def _resampled(sound: Sound, own: int, rate: int) -> Sound:
    from scipy.signal import resample_poly

    if own == rate:
        return sound
    common = math.gcd(own, rate)
    up, down = rate // common, own // common
    low_pass = _low_pass(max(up, down))
    return np.asarray(resample_poly(sound, up, down, window=low_pass), np.float32)  # type: ignore[call-overload]


@lru_cache(maxsize=16)
def _low_pass(factor: int) -> npt.NDArray[np.float64]:
    """The filter that `resample_poly` would design at every call, in half of a short sound's time."""
    from scipy.signal import firwin

    return np.asarray(firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0)))
