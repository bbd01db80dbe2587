"""Does a tuned text or picture encoder help? New films found by users, and posters by plots, before and after.

    python benchmarks/tuning.py --home HOME --modality text [--kind lora] [--divisions 2] [--learning-rate 1e-4] ...

HOME: a finished home of ml-latest-small with plots and posters, encoded without adapter. A division holds out a random
fifth of the items (those of `cold_items.py`). The encoder is tuned on the other items and each user's earliest 80 % of
likes among them; early stopping goes by 500 of these other items. Then all items are encoded anew by the tuned encoder,
in int8 as the product does, and everything after the encoder is fitted anew on both sets of vectors:

- new films (NDCG@10, full ranking of the held-out films that have plot and poster): ridge and factor mapping, tuned in
  the same run, from the tuned modality alone and from all content, and the product (factor mapping + alignment);
- cross-modal recall@10 among the same held-out films by CCA, tuned in the same run, mean of both ways, and its gain
  with a 95 % interval over films.

`stopped` is what early stopping keeps (the encoder as it was where no step was better), `last` the last step, whatever
early stopping says. Intervals of differences are 95 %, delete-half jackknife over items. Prints one JSON object.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cold_items import (
    Division,
    Ridge,
    Set,
    by_alignment,
    by_mapping,
    difference,
    halved,
    held_out_items,
    measured,
    movielens,
    reduced,
    z,
)
from cross_modal import both_ways, cca, sides, tuned_cca

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from ranking.representation.adapters import Adapter, save_adapter, targets
from ranking.representation.alignment import Alignment
from ranking.representation.behaviour import positives
from ranking.representation.embed import contents_of, embed, examples
from ranking.representation.embedding_store import EmbeddingStore, vectors_of
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.faster import faster
from ranking.representation.image import ImageEncoder
from ranking.representation.inputs import Inputs
from ranking.representation.text import TextEncoder
from ranking.representation.tuning import CHECKPOINT, Material, TuningResult, tune
from ranking.representation.tuning_checkpoint import Checkpoint
from ranking.representation.tuning_config import TuningConfig
from ranking.types import Bools, Floats

ENCODERS = {Modality.TEXT: TextEncoder, Modality.IMAGE: ImageEncoder}


def encoded(items: pa.Table, modality: Modality, adapter: Path, media: Path, scratch: Path, data: Set) -> Floats:
    """Vectors of all items by the tuned encoder, as the product would make them."""
    encoder, store = ENCODERS[modality](adapter=adapter), EmbeddingStore(scratch / "embeddings")
    quick = faster(
        encoder, lambda n: examples(items, encoder, store, media_root=media, n=n), scratch / "int8", least_cosine=0.99
    )
    print("encodes by", quick.id, file=sys.stderr, flush=True)
    table = embed(items, quick, store, media_root=media, rejected=Rejected()).table
    vectors = np.zeros((len(data.content.items), quick.dim), np.float32)
    vectors[data.content.items.codes(table[schema.ITEM_ID].to_pylist())] = vectors_of(table)
    return vectors


def scores(data: Set, division: Division, modality: Modality) -> dict[str, Floats]:
    rows = {}
    for name, heads in ((str(modality), (str(modality),)), ("all", data.heads[-1])):
        content = reduced(data.content, heads)
        rows[f"ridge {name}"] = Ridge(content, division.train).scores(division, content)
        rows[f"predicted {name}"] = by_mapping(FactorMapping.fit(content, division.train), division, content, content)
    aligned = by_alignment(Alignment.fit(content, division.train), division, content, content, heads)
    rows["product all"] = z(aligned) + z(rows["predicted all"])
    return rows


def cross_modal(data: Set, held_out: Bools) -> Floats:
    """Whether each held-out film's poster is among the ten nearest to its plot, and back: mean of both ways, [n]."""
    vectors = data.content.vectors
    train, hidden = np.flatnonzero(data.complete & ~held_out), np.flatnonzero(data.complete & held_out)
    train = np.random.default_rng(0).permutation(train)
    text, picture = sides(vectors[Modality.TEXT], vectors[Modality.IMAGE], train)
    known, asked = (text[train], picture[train]), (text[hidden], picture[hidden])
    return np.mean([one <= 10 for one in both_ways(cca(known, asked, *tuned_cca(known)))], axis=0)


def gains(found: dict[str, Floats]) -> dict[str, dict]:
    """Recall, and its difference from before with a 95 % interval over films."""
    gained = {name: one - found["before"] for name, one in found.items()}
    half = {name: 1.96 * float(one.std()) / len(one) ** 0.5 for name, one in gained.items()}
    return {
        name: {"recall": round(float(one.mean()), 4)}
        | {"gain": [round(float(gained[name].mean()) + side * half[name], 4) for side in (0, -1, 1)]}
        for name, one in found.items()
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--media", type=Path, help="the folder that pictures' paths start from")
    options.add_argument("--modality", type=Modality, default=Modality.TEXT, choices=list(ENCODERS))
    options.add_argument("--divisions", type=int, default=2)
    for name in ("kind", "steps", "rank", "learning_rate", "head_rate", "contrast", "share", "patience", "seed"):
        kind = type(getattr(TuningConfig(), name))
        options.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(TuningConfig(), name))
    asked = options.parse_args()
    given = {name: value for name, value in vars(asked).items() if name in TuningConfig.__dataclass_fields__}
    config = replace(TuningConfig(), **given)
    modality, data = asked.modality, movielens(asked.home)
    items = pq.read_table(asked.home / "lake" / "items" / "table.parquet")
    scratch = Path(tempfile.mkdtemp(prefix="tuning-"))
    media = asked.media or scratch
    texts_or_files = contents_of(items, ENCODERS[modality](), EmbeddingStore(scratch / "embeddings"), media_root=media)
    contents = {one.item_id: one for one in texts_or_files}
    ids = data.content.items.ids
    there = data.content.present[modality] & np.array([one in contents for one in ids])
    full: list[dict] = []
    halves: list[dict] = []
    runs = []
    for number, held_out in enumerate(held_out_items(data)["random"][: asked.divisions]):
        division = Division.of(data, held_out)
        rows = np.flatnonzero(there & ~held_out)
        inputs = Inputs.fit(data.content, ~held_out).of(data.content)
        others = {str(one): inputs[one].rows(rows) for one in data.content.vectors if one is not modality}
        some = [contents[ids[row]] for row in rows]
        material = Material(some, data.content.vectors[modality][rows], others, positives(division.train)[:, rows])
        start, cpu = time.perf_counter(), time.process_time()
        folder = scratch / str(number)
        result = tune(ENCODERS[modality](), material, folder, config=config)
        cost = {"wall_s": round(time.perf_counter() - start), "cpu_s": round(time.process_time() - cpu)}
        adapters = {"before": None, "stopped": result.folder, "last": last_of(folder, result, modality, config)}
        rows_of, crossed, measured_of = {}, {}, {}
        for name, adapter in adapters.items():
            if adapter not in measured_of:
                one = data
                if adapter is not None:
                    vectors = encoded(items, modality, adapter, media, scratch, data)
                    content = replace(data.content, vectors={**data.content.vectors, modality: vectors})
                    one = replace(data, content=content)
                measured_of[adapter] = scores(one, division, modality), cross_modal(one, held_out)
            ranked, crossed[name] = measured_of[adapter]
            rows_of |= {f"{row} {name}": value for row, value in ranked.items()}
        full.append({name: measured(value, division.relevant) for name, value in rows_of.items()})
        halves.append(halved(rows_of, division.relevant))
        runs.append(
            {
                "candidates": len(division.candidates),
                "early_stopping": {
                    "held_out": result.held_out,
                    "recalls": result.recalls,
                    "best_step": result.best_step,
                },
                "cross_modal": gains(crossed),
                **cost,
            }
        )
        print(number, json.dumps(runs[-1]), json.dumps(full[-1]), file=sys.stderr, flush=True)
    shutil.rmtree(scratch)
    names = [name.removesuffix(" before") for name in full[0] if name.endswith(" before")]
    report = {
        "config": asdict(config),
        "ndcg": {name: round(float(np.mean([one[name] for one in full])), 4) for name in full[0]},
        "differences": [
            difference(full, halves, f"{name} {after}", f"{name} before")
            for name in names
            for after in ("stopped", "last")
        ],
        "runs": runs,
    }
    print(json.dumps(report, indent=2))


def last_of(folder: Path, result: TuningResult, modality: Modality, config: TuningConfig) -> Path:
    """The adapter as the last step left it."""
    if result.folder is not None and result.best_step == result.recalls[-1][0]:
        return result.folder
    (run,) = (folder / "runs").iterdir()
    state = Checkpoint.load(run / CHECKPOINT)
    encoder = ENCODERS[modality]()
    names = targets(encoder.load(), config.kind, modality, share=config.share)
    last = folder / "last"
    last.mkdir()
    adapter = Adapter(config.kind, modality, encoder.id, config.rank, config.strength, names)
    save_adapter(last, adapter, state.under("adapter"))
    return last


if __name__ == "__main__":
    main()
