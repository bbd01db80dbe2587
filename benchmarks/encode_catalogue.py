"""Encoding a whole catalogue: from end to end against the encoder alone, again with 1 % changed, and peak memory.

    python benchmarks/encode_catalogue.py [--data FOLDER] [--runs 3]
    python benchmarks/encode_catalogue.py --synthetic 100000

The first encodes the 9,742 texts and 4,367 posters of ml-latest-small (FOLDER, by default TRICHORD_DATA) with the
packaged encoders in int8, each run in a process of its own:

    cold      into an empty store, the int8 model being there
    alone     the same encoder on contents decoded beforehand, as many threads, nothing read or stored; 1,024 of them
    changed   again, with 1 % of the texts or pictures changed

`kept` is how much of the encoder's rate is left from end to end (items a second of cold / of alone). Runs of the three
take turns; medians are reported. `with_start_s` adds a process's start and imports, which a second run waits for, too.

The second makes that many items, each with a short text and a small picture of its own, encodes them, and reports the
peak memory of that process.

Prints one JSON object.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.settings import Encoders
from ranking.representation.chosen import image_encoder, text_encoder
from ranking.representation.embed import CHUNK, embed, examples
from ranking.representation.embedding_store import EmbeddingStore
from ranking.representation.encoder import Encoder
from ranking.representation.faster import faster

ENCODERS: dict[str, Callable[[Encoders], Any]] = {"text": text_encoder, "image": image_encoder}
SAMPLE = 1_024
POSTERS = "posters_by_movieId"


def films(data: Path) -> pa.Table:
    """`schema.ITEMS` of ml-latest-small."""
    columns = ["movieId", "title", "genres", "overview"]
    rows = pq.read_table(data / "ml-latest-small/items.parquet", columns=columns).to_pylist()
    posters = {path.stem: f"{POSTERS}/{path.name}" for path in (data / "ml-latest-small" / POSTERS).iterdir()}
    made = [
        {
            "item_id": str(film["movieId"]),
            "title": film["title"],
            "categories": film["genres"].split("|"),
            "description": film["overview"],
            "image": posters.get(str(film["movieId"])),
        }
        for film in rows
    ]
    return pa.Table.from_pylist(made, schema.ITEMS)


def synthetic(n: int, media: Path) -> pa.Table:
    """Items with a text of a dozen words and a picture of 16 x 16, all different."""
    from PIL import Image

    rng = np.random.default_rng(0)
    words = [f"{one}{other}" for one in ("sun", "rain", "wind", "snow") for other in ("set", "light", "fall", "storm")]
    (media / "small").mkdir(parents=True)
    rows = []
    for number in range(n):
        path = media / "small" / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
        text = " ".join(rng.choice(words, 10))
        rows.append({"item_id": str(number), "title": f"{number} {text}", "image": f"small/{number}.png"})
    return pa.Table.from_pylist([row | {"categories": []} for row in rows], schema.ITEMS)


def encoder_of(modality: str, items: pa.Table, media: Path, home: Path) -> Encoder[Any]:
    reference = ENCODERS[modality](Encoders())

    def sample(n: int) -> list[Any]:
        return examples(items, reference, EmbeddingStore(home / "sample"), media_root=media, n=n)

    return faster(reference, sample, home / "encoders", least_cosine=0.9)


def peak_mb() -> float:
    """Of this process alone; `getrusage` would count its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def whole(modality: str, items: Path, media: Path, home: Path, store: Path) -> dict[str, float]:
    """Encode what the store does not know."""
    table = pq.read_table(items)
    encoder = encoder_of(modality, table, media, home)
    began, computed = time.perf_counter(), time.process_time()
    run = embed(table, encoder, EmbeddingStore(store), media_root=media, rejected=Rejected())
    return {
        "encoded": run.encoded,
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - computed,
        "peak_mb": peak_mb(),
    }


def alone(modality: str, items: Path, media: Path, home: Path, store: Path) -> dict[str, float]:
    """The encoder on contents that are decoded already."""
    table = pq.read_table(items)
    encoder = encoder_of(modality, table, media, home)
    decoded = examples(table, encoder, EmbeddingStore(store), media_root=media, n=SAMPLE)
    parts = [decoded[start : start + CHUNK] for start in range(0, len(decoded), CHUNK)]
    encoder.encode(decoded[:1])
    began, computed = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(encoder.encode, parts))
    return {
        "encoded": len(decoded),
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - computed,
    }


def in_a_process(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answer = pool.apply(work, arguments)
    return answer | {"with_start_s": time.perf_counter() - began}


def change_texts(items: pa.Table) -> pa.Table:
    """1 % of the titles are others."""
    every = pa.array(np.arange(len(items)) % 100 == 0)
    titles = pc.if_else(every, pc.binary_join_element_wise(items["title"], "again", " "), items["title"])
    return items.set_column(items.schema.get_field_index("title"), schema.ITEMS.field("title"), titles)


def change_pictures(items: pa.Table, media: Path) -> None:
    """1 % of the files are others; what follows a picture is not seen."""
    for name in [name for name in items["image"].to_pylist() if name][::100]:
        with (media / name).open("ab") as file:
            file.write(b"\0")


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def real(data: Path, runs: int, folder: Path) -> dict[str, object]:
    items, media = films(data), folder / "media"
    shutil.copytree(data / "ml-latest-small" / POSTERS, media / POSTERS)
    pq.write_table(items, folder / "items.parquet")
    pq.write_table(change_texts(items), folder / "changed.parquet")
    answer: dict[str, object] = {}
    for modality in ENCODERS:
        encoder_of(modality, items, media, folder)  # the model is made here
        found: dict[str, list[dict[str, float]]] = {"cold": [], "alone": [], "changed": []}
        for run in range(runs):
            place = (media, folder, folder / f"store {modality} {run}")
            found["cold"].append(in_a_process(whole, modality, folder / "items.parquet", *place))
            found["alone"].append(in_a_process(alone, modality, folder / "items.parquet", *place))
            if modality == "image":
                change_pictures(items, media)
            second = "changed" if modality == "text" else "items"
            found["changed"].append(in_a_process(whole, modality, folder / f"{second}.parquet", *place))
        cold, encoder, again = (medians(found[name]) for name in ("cold", "alone", "changed"))
        answer[modality] = {
            "cold": cold,
            "alone": encoder,
            "changed": again,
            "kept": cold["encoded"] / cold["seconds"] / (encoder["encoded"] / encoder["seconds"]),
            "kept_of_cpu": cold["encoded"] / cold["cpu_s"] / (encoder["encoded"] / encoder["cpu_s"]),
            "second_run_share": again["seconds"] / cold["seconds"],
            "second_run_share_with_start": again["with_start_s"] / cold["with_start_s"],
        }
    return answer


def many(n: int, folder: Path) -> dict[str, object]:
    items = synthetic(n, folder / "media")
    pq.write_table(items, folder / "items.parquet")
    answer: dict[str, object] = {}
    for modality in ENCODERS:
        encoder_of(modality, items, folder / "media", folder)
        given = (folder / "items.parquet", folder / "media", folder, folder / "store")
        answer[modality] = {"items": n} | in_a_process(whole, modality, *given)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRICHORD_DATA"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--synthetic", type=int, default=0)
    args = parser.parse_args()
    if args.data is None and not args.synthetic:
        parser.error("give the folder of ml-latest-small with --data or TRICHORD_DATA")
    with TemporaryDirectory() as folder:
        found = many(args.synthetic, Path(folder)) if args.synthetic else real(args.data, args.runs, Path(folder))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
