"""Which frames of a video are taken: scenes that are seen, and what it costs.

    python benchmarks/videos.py [--videos 40] [--runs 3]

Made videos, 640 x 360 at 25 frames a second, H.264: scenes of 0.3 to 6 seconds (lengths log-uniform), each a flat
colour with a patch that moves; short ones last 16 s, long ones 64 s. A scene is seen when a frame of it is among those
taken. `even` takes as many frames as ours at most (12), evenly spaced, by decoding everything: the usual way. Seconds
are of the processor, one thread, without encoding; `encode_s` is what the packaged picture encoder then takes.

Prints one JSON object.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence

import av
import numpy as np
import numpy.typing as npt
import torch

from ranking.representation.image import ImageEncoder
from ranking.representation.video_encoder import FrameEncoder
from ranking.representation.video_frames import EVEN, SCENES, evenly, read_frames

FPS, WIDTH, HEIGHT = 25, 640, 360
Times = Sequence[float]


def make(seconds: float, rng: np.random.Generator) -> tuple[bytes, npt.NDArray[np.float64]]:
    """A video and the moments at which its scenes begin."""
    lengths = np.exp(rng.uniform(np.log(0.3), np.log(6.0), size=int(seconds * 4)))
    begins = np.concatenate([[0.0], np.cumsum(lengths)])
    begins = begins[begins < seconds - 0.3]
    colours = rng.integers(0, 256, (len(begins), 2, 3), dtype=np.uint8)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(int(seconds * FPS)):
            scene = int(np.searchsorted(begins, number / FPS, side="right")) - 1
            picture = np.full((HEIGHT, WIDTH, 3), colours[scene, 0], np.uint8)
            x = number * 5 % (WIDTH - 160)
            picture[100:260, x : x + 160] = colours[scene, 1]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue(), begins


def ours(content: bytes) -> Times:
    return [frame.time for frame in read_frames(content)]


def even(content: bytes) -> Times:
    with av.open(io.BytesIO(content)) as container:
        container.streams.video[0].thread_count = 1
        times = [frame.time for frame in container.decode(video=0)]
    return [times[place] for place in evenly(times, times[-1], EVEN + SCENES)]


def seen(times: Times, begins: npt.NDArray[np.float64]) -> float:
    scenes = np.searchsorted(begins, np.asarray(times) + 1e-6, side="right") - 1
    return len(np.unique(scenes)) / len(begins)


def seconds_of(work: Callable[[bytes], object], contents: Sequence[bytes], runs: int) -> float:
    """Median over the runs, a video."""
    taken = []
    for _ in range(runs):
        began = time.process_time()
        for content in contents:
            work(content)
        taken.append((time.process_time() - began) / len(contents))
    return statistics.median(taken)


def measure(seconds: float, n: int, runs: int) -> dict[str, float]:
    made = [make(seconds, np.random.default_rng(seed)) for seed in range(n)]
    contents = [content for content, _ in made]
    found = {"ours": seconds_of(ours, contents, runs), "even": seconds_of(even, contents, runs)}
    whole = seconds_of(FrameEncoder(ImageEncoder()).decode, contents, 1)
    return {
        "scenes": statistics.mean(len(begins) for _, begins in made),
        "ours_seen": round(statistics.mean(seen(ours(content), begins) for content, begins in made), 3),
        "even_seen": round(statistics.mean(seen(even(content), begins) for content, begins in made), 3),
        "ours_s": round(found["ours"], 3),
        "even_s": round(found["even"], 3),
        "encode_s": round(whole - found["ours"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: measure(seconds, given.videos, given.runs) for name, seconds in (("short", 16.0), ("long", 64.0))}
    print(json.dumps({"name": "video_frames", "videos": given.videos, "runs": given.runs, **found}, indent=2))


if __name__ == "__main__":
    main()
