"""Does a poster find its plot? Two modalities of unseen items, found by CCA, InfoNCE and what the product keeps.

    python benchmarks/cross_modal.py --home HOME [--pair text image] [--hidden 1000] [--folds 3]

HOME: a finished home, of ml-latest-small with plots and posters, say, or of `trichord demo`. Disjoint sets of items
that have both modalities (as text a description) are hidden, one after the other; each model learns from the others.
Given one side of a hidden item, the other sides of all hidden ones are ranked by cosine: recall@10 both ways (by chance
10 divided by the hidden items), median rank.

CCA (regularised, scaled by its correlations) is tuned on a part of the known items in the same run; InfoNCE is linear,
d 128, 60 epochs of batches of 512, with and without dropout of its inputs. `product` is `CrossModal`, which keeps the
better one of CCA and a contrastive model, by known items. `alignment` is the product's for recommendation: its
objective is the user-item softmax, with a little InfoNCE. Intervals are 95 %, bootstrap over queries. Prints one JSON
object.
"""

import argparse
import json
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
from ranking.representation.alignment import Alignment
from ranking.representation.cca import Cca, ranks, tuned
from ranking.representation.content import item_content
from ranking.representation.cross_modal import CrossModal
from ranking.representation.inputs import unit_rows
from ranking.representation.losses import info_nce
from ranking.types import Floats, IdIndex, Interactions, ItemContent

DEPTH = 10
Codes = npt.NDArray[np.int64]
Pair = tuple[Floats, Floats]  # text and picture of the same films, unit rows


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


def summary(places: list[Codes]) -> dict[str, object]:
    """Recall, its interval and the median rank over the queries of all folds."""
    every = np.concatenate(places)
    hits = (every <= DEPTH).astype(float)
    draw = np.random.default_rng(5)
    means = [hits[draw.integers(len(hits), size=len(hits))].mean() for _ in range(1000)]
    low, high = np.quantile(means, (0.025, 0.975)).round(4).tolist()
    return {"recall@10": round(float(hits.mean()), 4), "interval": [low, high], "median_rank": float(np.median(every))}


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


def without(content: ItemContent, hidden: Codes) -> ItemContent:
    """The same items, of which some have no content."""
    known = np.ones(len(content.items), bool)
    known[hidden] = False
    return replace(content, present={name: there & known for name, there in content.present.items()})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--pair", nargs=2, default=("text", "image"))
    options.add_argument("--hidden", type=int, default=1000)
    options.add_argument("--folds", type=int, default=3)
    asked_for = options.parse_args()
    pair = tuple(sorted(asked_for.pair))
    content, log, described = read(asked_for.home)
    complete = content.present[Modality(pair[0])] & content.present[Modality(pair[1])]
    if Modality.TEXT in pair:
        complete &= described
    items = np.random.default_rng(0).permutation(np.flatnonzero(complete))
    places: dict[str, list[tuple[Codes, Codes]]] = {}
    seconds: dict[str, float] = {}
    settings, chosen = [], []
    for fold in range(asked_for.folds):
        hidden = items[fold * asked_for.hidden : (fold + 1) * asked_for.hidden]
        train = items[~np.isin(items, hidden)]
        both = sides(content, pair, train)
        known, asked = (both[0][train], both[1][train]), (both[0][hidden], both[1][hidden])
        rest = log.where(~np.isin(log.item, hidden))
        settings.append(tuned(*known))

        def by_product(hidden: Codes = hidden, rest: Interactions = rest) -> Pair:
            found = CrossModal.fit(without(content, hidden), rest)
            chosen.append({name: one.chosen for name, one in found.pairs.items()}["-".join(pair)])
            vectors = found.vectors(content, *pair)
            return vectors[pair[0]][hidden], vectors[pair[1]][hidden]

        def by_alignment(hidden: Codes = hidden, rest: Interactions = rest) -> Pair:
            found = Alignment.fit(without(content, hidden), rest).modality_vectors(content)
            return found[pair[0]][hidden], found[pair[1]][hidden]

        rank, shrinkage = settings[-1]
        models = {
            "random": lambda: tuple(np.random.default_rng(1).normal(size=(2, asked_for.hidden, 8)).astype(np.float32)),
            "cca": lambda known=known, asked=asked, rank=rank, shrinkage=shrinkage: Cca.fit(
                *known, rank=rank, shrinkage=shrinkage
            ).project(*asked),
            "infonce": lambda known=known, asked=asked: contrasted(known, asked, 0.0),
            "infonce, dropout .7": lambda known=known, asked=asked: contrasted(known, asked, 0.7),
            "product": by_product,
            "alignment": by_alignment,
        }
        for name, make in models.items():
            start = time.perf_counter()
            places.setdefault(name, []).append(both_ways(make()))
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    report = {
        name: {
            f"{pair[1]}_to_{pair[0]}": summary([one for one, _ in found]),
            f"{pair[0]}_to_{pair[1]}": summary([other for _, other in found]),
            "seconds_a_fold": round(seconds[name] / asked_for.folds, 1),
        }
        for name, found in places.items()
    }
    told = {"items": len(items), "hidden": asked_for.hidden, "folds": asked_for.folds, "cca": settings}
    print(json.dumps(told | {"product": chosen, "models": report}, indent=2))


if __name__ == "__main__":
    main()
