"""The packaged encoders in int8 (ONNX Runtime) against float32 (torch), and what decoding adds to encoding.

    python benchmarks/encode.py [--data FOLDER] [--items 256] [--runs 5]

FOLDER holds ml-latest-small (real posters and plots) and sonic-pi-samples; by default TRICHORD_DATA. Encoders run
on one thread. Seconds are of the processor, not of the clock, so that another load on the machine does not count;
runs of both variants take turns, and medians are reported. Encoders are compared on items that took no part in the
making of the int8 model: cosines, and the share of the ten nearest neighbours (vectors centred) that stay.

`decoding_hidden` is what is left of the encoder's rate where each worker also decodes: encode / (decode + encode).

Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from ranking.errors import UnreadableContentError
from ranking.representation.audio import AudioEncoder
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.image import ImageEncoder
from ranking.representation.quantized import CALIBRATION, COMPARED, faster
from ranking.representation.sources import item_text
from ranking.representation.text import TextEncoder

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


def alone(encoder: Encoder[Decoded], contents: Sequence[bytes], runs: int) -> dict[str, float]:
    items = decoded(encoder, contents)
    encoder.encode(items[:8])  # loads the weights
    decode = statistics.median(seconds(lambda: decoded(encoder, contents)) for _ in range(runs))
    encode = statistics.median(seconds(lambda: encoder.encode(items)) for _ in range(runs))
    return {"items": len(items), "items_per_s": len(items) / encode, "decoding_hidden": encode / (decode + encode)}


def compared(
    encoder: NetworkEncoder[Decoded], contents: Sequence[bytes], models: Path, items: int, runs: int
) -> dict[str, object]:
    sample = decoded(encoder, spread(contents, MADE_FROM + items))
    making, rest = sample[:: len(sample) // MADE_FROM][:MADE_FROM], sample[1 :: len(sample) // MADE_FROM][:items]
    began = time.process_time()
    quick = faster(encoder, lambda n: making[:n], models, least_cosine=-1)
    made = time.process_time() - began
    exact, near = encoder.encode(rest), quick.encode(rest)
    pairs = [(seconds(lambda: encoder.encode(rest)), seconds(lambda: quick.encode(rest))) for _ in range(runs)]
    cosines = (exact * near).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    decode = statistics.median(seconds(lambda: decoded(encoder, spread(contents, items))) for _ in range(runs))
    fp32, int8 = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {
        "items": len(rest),
        "float32_items_per_s": len(rest) / fp32,
        "int8_items_per_s": len(rest) / int8,
        "speed_up": statistics.median(one / other for one, other in pairs),
        "mean_cosine": float(cosines.mean()),
        "min_cosine": float(cosines.min()),
        "neighbours_kept": neighbours_kept(exact, near),
        "decoding_hidden": int8 / (decode * len(rest) / min(items, len(contents)) + int8),
        "model_made_in_s": made,
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
            "audio": alone(AudioEncoder(), spread(sounds, args.items), args.runs),
        }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
