"""Video files, opened with care: which formats are read, and how much of one is looked at.

Only the bytes at hand are read: formats that name other files or addresses (playlists) are not among the accepted ones.
"""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ranking.errors import UnreadableContentError

if TYPE_CHECKING:
    from av.container import InputContainer

FORMATS: Final = ("mov", "mp4", "matroska", "webm", "avi")  # as FFmpeg calls them
ACCEPTED: Final = "MP4, MOV, WEBM, MKV, AVI"
MAX_PIXELS: Final = 4096 * 2304  # of a frame; decoders hold up to sixteen of them
MAX_STREAMS: Final = 32
PROBED: Final = 5_000_000  # bytes that are read to find out what the streams are
PROBE_S: Final = 60.0  # waited for that
DECODE_S: Final = 30.0  # of this thread's processor, a video

OPTIONS: Final = {
    "format_whitelist": ",".join(FORMATS),
    "max_streams": str(MAX_STREAMS),
    "probesize": str(PROBED),
    "max_pixels": str(MAX_PIXELS),
}


@contextmanager
def opened(content: bytes) -> Iterator["InputContainer"]:
    """The container in these bytes; whatever FFmpeg says against it inside the block is an `UnreadableContentError`."""
    import av  # loads shared libraries

    try:
        with av.open(
            io.BytesIO(content), "r", options=OPTIONS, metadata_errors="replace", timeout=(PROBE_S, PROBE_S)
        ) as container:
            yield container
    except (av.FFmpegError, ValueError, OverflowError, MemoryError) as error:
        raise unreadable(str(error)) from error


def unreadable(detail: str) -> UnreadableContentError:
    """What is wrong with a video, as an error."""
    return UnreadableContentError("unreadable_video", f"not a video that can be read ({detail}); accepted: {ACCEPTED}")


class Limit:
    """The time that one video may take, from now on."""

    def __init__(self) -> None:
        self._begin = time.thread_time()

    def check(self) -> None:
        """Raises `UnreadableContentError` when it is used up."""
        if time.thread_time() - self._begin > DECODE_S:
            detail = f"not decoded within {DECODE_S:.0f} s of the processor; give a smaller or shorter one"
            raise UnreadableContentError("slow_video", detail)
