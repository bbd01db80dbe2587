"""The sound track of a video, as a sound file that any audio encoder reads."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ranking.errors import UnreadableContentError
from ranking.representation.video import Limit, opened, unreadable

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SECONDS: Final = 120  # what comes later is not read
MAX_RATE: Final = 192_000
MAX_CHANNELS: Final = 8
TAKEN: Final = f"track-first{SECONDS}s-1"

Samples = npt.NDArray[np.float32]


def read_sound_track(content: bytes) -> bytes:
    """The first two minutes of a video's first sound track, channels averaged: a WAV file of floats at its own rate.

    Raises `UnreadableContentError` for what is no video, has no sound track, or takes too long.
    """
    import soundfile  # loads a shared library

    with opened(content) as container:
        if not container.streams.audio:
            detail = "it has no sound track; name a sound of its own in the column audio, or leave it silent"
            raise UnreadableContentError("silent_video", detail)
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise unreadable("its sound is coded in an unknown way")
        rate, channels = stream.rate, stream.channels
        if not (0 < rate <= MAX_RATE and 0 < channels <= MAX_CHANNELS):
            raise unreadable(f"its sound has {rate} Hz and {channels} channels")
        parts = list(_until(_decoded(container, stream), SECONDS * rate))
    if not parts:
        raise unreadable("its sound cannot be decoded")
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def _until(parts: Iterator[Samples], most: int) -> Iterator[Samples]:
    left = most
    for part in parts:
        yield part[:left]
        left -= len(part)
        if left <= 0:
            return


def _decoded(container: "InputContainer", stream: "AudioStream") -> Iterator[Samples]:
    """Samples float32 [n], channels averaged; packets that the decoder refuses are passed over."""
    import av

    stream.codec_context.thread_count = 1
    to_floats = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
    limit = Limit()
    for packet in container.demux(stream):
        limit.check()
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            for part in to_floats.resample(frame):
                yield np.asarray(part.to_ndarray(), np.float32).mean(0)
