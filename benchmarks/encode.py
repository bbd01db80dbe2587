"""The packaged encoders in int8 (ONNX Runtime) and bfloat16 against float32 (torch), and what decoding adds.

    python benchmarks/encode.py [--data FOLDER] [--items 256] [--runs 5]

FOLDER holds ml-latest-small (real posters and plots) and sonic-pi-samples; by default TRICHORD_DATA. Encoders run
on one thread. Seconds are of the processor, not of the clock, so that another load on the machine does not count;
runs of the variants take turns, and medians are reported. Encoders are compared on items that took no part in the
making of the int8 model: cosines, and the share of the ten nearest neighbours (vectors centred) that stay.

`decoding_hidden` is what is left of the rate of int8 where each worker also decodes: encode / (decode + encode). Of
bfloat16 on a processor without it the numbers say little.

Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from ranking.errors import UnreadableContentError
from ranking.representation.audio import AudioEncoder
from ranking.representation.bfloat16 import Bfloat16Encoder
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.faster import faster
from ranking.representation.image import ImageEncoder
from ranking.representation.quantized import CALIBRATION, COMPARED
from ranking.representation.sources import item_text
from ranking.representation.text import TextEncoder
from ranking.representation.whisper import WhisperEncoder

MADE_FROM = CALIBRATION + COMPARED
Floats = npt.NDArray[np.float32]


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def spread(contents: Sequence[bytes], n: int) -> list[bytes]:
    return [contents[place] for place in np.linspace(0, len(contents) - 1, min(n, len(contents))).astype(int)]


def decoded(encoder: Encoder[Decoded], contents: Sequence[bytes]) -> list[Decoded]:
    good = []
    for one in contents:
        try:
            good.append(encoder.decode(one))
        except UnreadableContentError:
            continue
    return good


def neighbours_kept(exact: Floats, near: Floats, k: int = 10) -> float:
    def nearest(vectors: Floats) -> npt.NDArray[np.int64]:
        centred = vectors - vectors.mean(0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -np.inf)
        return np.argpartition(-similarity, k, axis=1)[:, :k]

    pairs = zip(nearest(exact), nearest(near), strict=True)
    return statistics.mean(len(set(one.tolist()) & set(other.tolist())) / k for one, other in pairs)


def compared(
    encoder: NetworkEncoder[Decoded], contents: Sequence[bytes], models: Path, items: int, runs: int
) -> dict[str, object]:
    sample = decoded(encoder, spread(contents, 2 * max(MADE_FROM, items)))
    making, rest = sample[::2][:MADE_FROM], sample[1::2][:items]
    began = time.process_time()
    quick = faster(encoder, lambda n: list(islice(cycle(making), n)), models, least_cosine=-1)  # sounds are few
    made = time.process_time() - began
    forms: dict[str, Encoder[Decoded]] = {"float32": encoder, "int8": quick, "bfloat16": Bfloat16Encoder(encoder)}
    vectors = {name: form.encode(rest) for name, form in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(runs):
        for name, form in forms.items():
            times[name].append(seconds(lambda form=form: form.encode(rest)))
    some = spread(contents, items)
    decode = statistics.median(seconds(lambda: decoded(encoder, some)) for _ in range(runs)) / len(some)
    int8 = statistics.median(times["int8"])
    return {
        "items": len(rest),
        "float32_items_per_s": len(rest) / statistics.median(times["float32"]),
        "int8": against(times["float32"], times["int8"], vectors["float32"], vectors["int8"]),
        "bfloat16": against(times["float32"], times["bfloat16"], vectors["float32"], vectors["bfloat16"]),
        "decode_ms": 1000 * decode,
        "decoding_hidden": int8 / (decode * len(rest) + int8),
        "model_made_in_s": made,
    }


def against(before: list[float], after: list[float], exact: Floats, near: Floats) -> dict[str, float]:
    cosines = (exact * near).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    return {
        "items_per_s": len(near) / statistics.median(after),
        "speed_up": statistics.median(one / other for one, other in zip(before, after, strict=True)),
        "mean_cosine": float(cosines.mean()),
        "min_cosine": float(cosines.min()),
        "neighbours_kept": neighbours_kept(exact, near),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRICHORD_DATA"))
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if args.data is None:
        parser.error("give the folder of ml-latest-small and sonic-pi-samples with --data or TRICHORD_DATA")
    torch.set_num_threads(1)
    films = pq.read_table(args.data / "ml-latest-small/items.parquet", columns=["title", "genres", "overview"])
    found = (item_text(film["title"], film["genres"].split("|"), film["overview"]) for film in films.to_pylist())
    texts = [text.encode() for text in found if text]
    posters = [path.read_bytes() for path in sorted((args.data / "ml-latest-small/posters_by_movieId").glob("*"))]
    sounds = [path.read_bytes() for path in sorted((args.data / "sonic-pi-samples").rglob("*.flac"))]
    with TemporaryDirectory() as folder:
        answer = {
            "text": compared(TextEncoder(), texts, Path(folder), args.items, args.runs),
            "image": compared(ImageEncoder(), posters, Path(folder), args.items, args.runs),
            "audio": compared(AudioEncoder(), sounds, Path(folder), args.items, args.runs),
            "whisper": compared(WhisperEncoder(), sounds, Path(folder), args.items // 4, args.runs),
        }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
