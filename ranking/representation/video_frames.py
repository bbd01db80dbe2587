"""Some frames of a video: evenly spaced ones, and beginnings of scenes that those do not show.

One pass over the file. Of a short video every frame is looked at, of a longer one keyframes, which encoders put where
the scene changes and every few seconds.
"""

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ranking.errors import UnreadableContentError
from ranking.representation.video import MAX_PIXELS, Limit, opened, unreadable

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

EVEN: Final = 8
SCENES: Final = 4  # more, of scenes that no evenly spaced frame shows
CUT: Final = 0.1  # mean difference of two frames, of 1, from which on the scene has changed
LOOKED_AT: Final = 512  # frames; a longer video is known by its keyframes
KEYFRAMES: Final = 64  # of a longer video, about
KEPT: Final = 32  # evenly spaced frames, and beginnings of scenes, held until the end of the video is known
SIDE: Final = 512  # a frame's longer side, scaled down
THUMBNAIL: Final = 32  # side of what frames are compared by
TAKEN: Final = f"frames-even{EVEN}-scenes{SCENES}-cut{CUT}-of{LOOKED_AT}-{SIDE}px-1"  # and -2 for another choice

Picture = npt.NDArray[np.uint8]  # RGB [h, w, 3]


@dataclass(frozen=True)
class Frame:
    """One frame, upright. time: seconds. change: mean difference to the frame before, 0 to 1."""

    time: float
    change: float
    picture: Picture


def read_frames(content: bytes) -> list[Frame]:
    """At most `EVEN` + `SCENES` frames of a video, ascending in time, each once.

    Raises `UnreadableContentError` for what is no video, has no frames, or takes too long.
    """
    with opened(content) as container:
        streams = container.streams.video
        if not streams:
            raise unreadable("it holds no pictures")
        if streams[0].codec_context is None:
            raise unreadable("its pictures are coded in an unknown way")
        return _choose(container, streams[0])


def evenly(times: list[float], end: float, n: int) -> list[int]:
    """Places of what is shown in the middle of each of `n` equal parts; times: ascending, each once, at most `end`.

    >>> evenly([0, 1, 2, 3, 4, 5, 6, 7], 8, 2)
    [2, 6]
    >>> evenly([0, 9], 10, 2)
    [0]
    """
    middles = times[0] + (end - times[0]) * (np.arange(n) + 0.5) / n
    shown: list[int] = np.unique(np.searchsorted(times, middles, side="right") - 1).tolist()
    return shown


def _choose(container: "InputContainer", stream: "VideoStream") -> list[Frame]:
    from av.video.reformatter import VideoReformatter

    to_thumbnail, to_picture = VideoReformatter(), VideoReformatter()  # each keeps its tables while the size stays
    kept: list[Frame] = []
    cuts: list[tuple[float, float, Frame]] = []
    before: npt.NDArray[np.int16] | None = None
    stride, tick, end = 1, stream.time_base or 1, -math.inf
    for number, frame in enumerate(_decoded(container, stream)):
        thumbnail = _rgb(frame, THUMBNAIL, THUMBNAIL, to_thumbnail, "FAST_BILINEAR").astype(np.int16)
        change = 0.0 if before is None else float(np.abs(thumbnail - before).mean()) / 255
        before = thumbnail
        time = number if frame.pts is None else float(frame.pts * tick)
        end = max(end, time)
        changed = change >= CUT and (len(cuts) < KEPT or change > cuts[0][0])
        if not changed and number % stride:
            continue
        seen = Frame(time, change, _upright(frame, to_picture))
        if changed:
            (heapq.heappush if len(cuts) < KEPT else heapq.heapreplace)(cuts, (change, -number, seen))
        if number % stride == 0:
            kept.append(seen)
        if len(kept) > KEPT:
            kept, stride = kept[::2], 2 * stride  # thinned out
    if not kept:
        raise unreadable("no frame of it can be decoded")
    by_time = {frame.time: frame for frame in sorted(kept, key=lambda one: one.time)}
    moments = list(by_time)
    even = [by_time[moments[place]] for place in evenly(moments, end, EVEN)]
    return sorted([*even, *_unseen([frame for *_, frame in cuts], even)], key=lambda one: one.time)


def _unseen(beginnings: list[Frame], even: list[Frame]) -> list[Frame]:
    """The beginnings of the scenes that none of the even frames shows, at most `SCENES`, where most changes."""
    begins = sorted(frame.time for frame in beginnings)
    shown = {bisect_right(begins, frame.time) for frame in even}
    unseen = [frame for frame in beginnings if bisect_right(begins, frame.time) not in shown]
    return heapq.nlargest(SCENES, unseen, key=lambda one: one.change)


def _decoded(container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
    """What is looked at, in order. Packets that the decoder refuses are passed over while frames outnumber them."""
    import av

    _check_size(stream)
    codec = stream.codec_context
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # sizes may change on the way
    codec.thread_count = 1
    limit = Limit()
    seconds = container.duration / av.time_base if container.duration else None
    looked_at, refused, end, due = 0, 0, 0.0, 0.0
    every = _length(stream, seconds) <= LOOKED_AT
    for packet in container.demux():
        limit.check()
        moment = _end(packet)
        end = max(end, moment)
        if packet.stream_index != stream.index:
            continue
        every = every and looked_at < LOOKED_AT
        if not every and (not packet.is_keyframe or moment < due):
            continue
        try:
            frames = codec.decode(packet) if every else [*codec.decode(packet), *codec.decode(None)]
        except av.FFmpegError:
            refused += 1
            frames = []
        if not every:
            codec.flush_buffers()
            due = moment + (seconds or moment) / KEYFRAMES
        for frame in frames:
            if not frame.is_corrupt:
                looked_at += 1
                yield frame
    if seconds and end < seconds / 2:
        raise unreadable(f"it ends after {end:.1f} of {seconds:.1f} s")
    if refused > looked_at:
        raise unreadable(f"{refused} parts of it cannot be decoded, {looked_at} can")


def _check_size(stream: "VideoStream") -> None:
    width, height = stream.width, stream.height
    if width * height > MAX_PIXELS:
        detail = f"{width} x {height} pixels; at most {MAX_PIXELS:,} a frame: scale it down"
        raise UnreadableContentError("oversized_video", detail)


def _length(stream: "VideoStream", seconds: float | None) -> float:
    """How many frames there seem to be; 0 where nothing tells."""
    return stream.frames or (seconds or 0.0) * float(stream.average_rate or 0)


def _end(packet: "Packet[Stream]") -> float:
    """Seconds until what a packet holds is over; 0 where it has no time."""
    at = packet.pts if packet.pts is not None else packet.dts
    return 0.0 if at is None else float((at + (packet.duration or 0)) * packet.time_base)


def _upright(frame: "VideoFrame", reformatter: "VideoReformatter") -> Picture:
    """Scaled down to `SIDE`, turned as the file says that it is to be shown."""
    scale = min(1.0, SIDE / max(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    return np.ascontiguousarray(np.rot90(_rgb(frame, width, height, reformatter, "AREA"), round(frame.rotation / 90)))


def _rgb(frame: "VideoFrame", width: int, height: int, reformatter: "VideoReformatter", scaling: str) -> Picture:
    small = reformatter.reformat(frame, width=width, height=height, format="rgb24", interpolation=scaling)
    return np.asarray(small.to_ndarray(), np.uint8)
