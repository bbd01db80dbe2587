"""Does a poster find its plot? Two modalities of unseen items, found by the product, InfoNCE and the alignment.

    python benchmarks/cross_modal.py --home HOME [--pair text image] [--hidden 1000] [--folds 3]

HOME: a finished home, of ml-latest-small with plots and posters, say, or of `trichord demo`. Disjoint sets of items
that have both modalities (as text a description) are hidden, one after the other; each model learns from the others.
Given one side of a hidden item, the other sides of all hidden ones are ranked by cosine: recall@10 both ways (by chance
10 divided by the hidden items), median rank.

`cca` is the product's `CrossModal` (regularised, scaled by its correlations), tuned on known items in the same run;
InfoNCE is linear, d 128, 60 epochs of batches of 512, with and without dropout of its inputs. `alignment` is the
product's for recommendation: its objective is the user-item softmax, with a little InfoNCE. Intervals are 95 %,
bootstrap over queries; of differences from CCA over the same queries, both ways together. Prints one JSON object.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.evaluation.significance import ci95, resampled_means
from ranking.representation.alignment import Alignment
from ranking.representation.cca import ranks
from ranking.representation.content import ItemContent, item_content
from ranking.representation.cross_modal import CrossModal
from ranking.representation.inputs import unit_rows
from ranking.representation.losses import info_nce
from ranking.types import Floats, IdIndex, Interactions

DEPTH = 10
Codes = npt.NDArray[np.int64]
Pair = tuple[Floats, Floats]  # two modalities of the same items, unit rows


def sides(content: ItemContent, pair: tuple[str, str], train: Codes) -> Pair:
    """Both sides centred on the training items, unit rows."""
    found = []
    for name in pair:
        vectors = content.vectors[Modality(name)]
        found.append(unit_rows(vectors - vectors[train].mean(axis=0)))
    return found[0], found[1]


def contrasted(train: Pair, asked: Pair, dropout: float, *, epochs: int = 60, batch: int = 512, dim: int = 128) -> Pair:
    """Linear heads by symmetric InfoNCE."""
    torch.manual_seed(0)
    heads = [torch.nn.Linear(one.shape[1], dim, bias=False) for one in train]
    log_temperature = torch.nn.Parameter(torch.tensor(0.1).log())
    tensors = [torch.from_numpy(one * one.shape[1] ** 0.5) for one in train]
    parameters = [*(weight for head in heads for weight in head.parameters()), log_temperature]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.1)
    steps = epochs * (len(train[0]) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1, pct_start=0.1)
    for _ in range(steps):
        some = torch.randperm(len(train[0]))[:batch]
        left, right = (
            F.normalize(head(F.dropout(one[some], dropout)), dim=1) for head, one in zip(heads, tensors, strict=True)
        )
        loss = info_nce(left, right, log_temperature.exp().clamp(0.01, 0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        text, picture = (head(torch.from_numpy(one)).numpy() for head, one in zip(heads, asked, strict=True))
    return unit_rows(text), unit_rows(picture)


def both_ways(pair: Pair) -> tuple[Codes, Codes]:
    """Ranks of left sides asked by right ones, and of right sides asked by left ones."""
    return ranks(pair[1], pair[0]), ranks(pair[0], pair[1])


def summary(places: Codes) -> dict[str, object]:
    """Recall, its interval and the median rank over the queries of all folds."""
    hits = (places <= DEPTH).astype(float)
    low, high = (round(one, 4) for one in ci95(resampled_means(hits[:, None])[:, 0]))
    return {"recall@10": round(float(hits.mean()), 4), "interval": [low, high], "median_rank": float(np.median(places))}


def difference(gaps: npt.NDArray[np.float64]) -> list[float]:
    """Mean over items, and its interval."""
    low, high = ci95(resampled_means(gaps[:, None])[:, 0])
    return [round(one, 4) for one in (float(gaps.mean()), low, high)]


def read(home: Path) -> tuple[ItemContent, Interactions, npt.NDArray[np.bool_]]:
    """Content, likes, and which items have a description."""
    lake = home / "lake"
    items = pq.read_table(lake / "items" / "table.parquet")
    tables = {one: pq.read_table(lake / f"{one}_embeddings" / "table.parquet") for one in Modality}
    content = item_content(items, {name: table for name, table in tables.items() if len(table)})
    events = pq.read_table(lake / "events" / "table.parquet")
    log = Interactions.from_events(events, users=IdIndex.of(events[schema.USER_ID].to_pylist()), items=content.items)
    told = dict(zip(items[schema.ITEM_ID].to_pylist(), items[schema.DESCRIPTION].to_pylist(), strict=True))
    return content, log, np.array([bool(told[one]) for one in content.items.ids])


def only(content: ItemContent, known: npt.NDArray[np.bool_]) -> ItemContent:
    """The same items, of which the others have no content."""
    return replace(content, present={name: there & known for name, there in content.present.items()})


def by_cca(content: ItemContent, pair: tuple[str, str], train: Codes, hidden: Codes) -> Pair:
    one, other = map(Modality, pair)
    model = CrossModal.fit(only(content, np.isin(np.arange(len(content.items)), train)), one, other)
    return model.place(one, content.vectors[one][hidden]), model.place(other, content.vectors[other][hidden])


def by_alignment(content: ItemContent, log: Interactions, pair: tuple[str, str], hidden: Codes) -> Pair:
    known = ~np.isin(np.arange(len(content.items)), hidden)
    found = Alignment.fit(only(content, known), log.where(known[log.item])).modality_vectors(content)
    return found[pair[0]][hidden], found[pair[1]][hidden]


def fold(
    content: ItemContent, log: Interactions, pair: tuple[str, str], train: Codes, hidden: Codes
) -> dict[str, tuple[tuple[Codes, Codes], float]]:
    """Of each model the ranks both ways, and seconds."""
    both = sides(content, pair, train)
    known, asked = (both[0][train], both[1][train]), (both[0][hidden], both[1][hidden])
    left, right = np.random.default_rng(1).normal(size=(2, len(hidden), 8)).astype(np.float32)
    models = {
        "random": lambda: (left, right),
        "cca": lambda: by_cca(content, pair, train, hidden),
        "infonce": lambda: contrasted(known, asked, 0.0),
        "infonce, dropout .7": lambda: contrasted(known, asked, 0.7),
        "alignment": lambda: by_alignment(content, log, pair, hidden),
    }
    found = {}
    for name, make in models.items():
        start = time.perf_counter()
        found[name] = both_ways(make()), time.perf_counter() - start
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--pair", nargs=2, default=("text", "image"))
    options.add_argument("--hidden", type=int, default=1000)
    options.add_argument("--folds", type=int, default=3)
    asked_for = options.parse_args()
    one, other = pair = tuple(sorted(asked_for.pair))
    content, log, described = read(asked_for.home)
    complete = content.present[Modality(one)] & content.present[Modality(other)]
    if Modality.TEXT in pair:
        complete &= described
    items = np.random.default_rng(0).permutation(np.flatnonzero(complete))
    folds = []
    for number in range(asked_for.folds):
        hidden = items[number * asked_for.hidden : (number + 1) * asked_for.hidden]
        folds.append(fold(content, log, pair, items[~np.isin(items, hidden)], hidden))
        print(number, {name: found[1] for name, found in folds[-1].items()}, file=sys.stderr, flush=True)
    report, hits = {}, {}
    for name in folds[0]:
        to_one, to_other = (np.concatenate([found[name][0][way] for found in folds]) for way in (0, 1))
        hits[name] = ((to_one <= DEPTH) * 1.0 + (to_other <= DEPTH)) / 2
        seconds = round(float(np.mean([found[name][1] for found in folds])), 1)
        report[name] = {f"{other}_to_{one}": summary(to_one), f"{one}_to_{other}": summary(to_other)}
        report[name] |= {"seconds_a_fold": seconds}
    gaps = {name: difference(values - hits["cca"]) for name, values in hits.items() if name != "cca"}
    told = {"items": len(items), "hidden": asked_for.hidden, "folds": asked_for.folds}
    print(json.dumps(told | {"models": report, "minus_cca": gaps}, indent=2))


if __name__ == "__main__":
    main()
