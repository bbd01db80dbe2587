"""Does a poster find its plot? Text and picture of unseen films, found by the alignment, CCA and InfoNCE.

    python benchmarks/cross_modal.py --home HOME

HOME: a finished home of ml-latest-small with plots and posters. Three disjoint thousands of films that have both are
hidden, one after the other; each model learns from the others. Given one side of a hidden film, the thousand other
sides are ranked by cosine: recall@10 both ways (chance .010), median rank.

CCA (regularised, scaled by its correlations) is tuned on 500 films of the training part in the same run; InfoNCE is
linear, d 128, 60 epochs of batches of 512, with and without dropout of its inputs. `alignment` is the product's: its
objective is the user-item softmax, with a little InfoNCE. Intervals are 95 %, bootstrap over queries. Prints one JSON
object.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.alignment import Alignment
from ranking.representation.content import item_content
from ranking.representation.inputs import unit_rows
from ranking.representation.losses import info_nce
from ranking.types import Floats, IdIndex, Interactions

FOLDS, HIDDEN, VALIDATION, DEPTH = 3, 1000, 500, 10
Codes = npt.NDArray[np.int64]
Pair = tuple[Floats, Floats]  # text and picture of the same films, unit rows


def sides(text: Floats, picture: Floats, train: Codes) -> Pair:
    """Both sides centred on the training films; pictures after an element-wise root."""
    picture = np.sqrt(np.maximum(picture, 0))
    return unit_rows(text - text[train].mean(axis=0)), unit_rows(picture - picture[train].mean(axis=0))


def cca(train: Pair, asked: Pair, rank: int, shrinkage: float) -> Pair:
    """Both sides in the space of the first canonical directions, each scaled by its correlation."""
    roots = []
    for one in train:
        covariance = one.T @ one / len(one)
        covariance += shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance), dtype=np.float32)
        values, vectors = np.linalg.eigh(covariance)
        roots.append((vectors / np.sqrt(values)) @ vectors.T)
    left, correlations, right = np.linalg.svd(roots[0] @ (train[0].T @ train[1] / len(train[0])) @ roots[1])
    directions = roots[0] @ left[:, :rank], roots[1] @ right[:rank].T
    text, picture = (one @ axes * correlations[:rank] for one, axes in zip(asked, directions, strict=True))
    return unit_rows(text), unit_rows(picture)


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


def ranks(asked: Floats, offered: Floats) -> Codes:
    """Place of each query's own row, from 1."""
    similarity = asked @ offered.T
    return np.asarray((similarity > np.diag(similarity)[:, None]).sum(axis=1) + 1)


def both_ways(pair: Pair) -> tuple[Codes, Codes]:
    """Ranks of plots asked by posters, and of posters asked by plots."""
    return ranks(pair[1], pair[0]), ranks(pair[0], pair[1])


def tuned_cca(train: Pair) -> tuple[int, float]:
    """Directions and shrinkage that find most films of the last 500."""
    known = train[0][:-VALIDATION], train[1][:-VALIDATION]
    asked = train[0][-VALIDATION:], train[1][-VALIDATION:]

    def found(setting: tuple[int, float]) -> float:
        return float(np.mean([(one <= DEPTH).mean() for one in both_ways(cca(known, asked, *setting))]))

    return max(product((32, 64, 128), (1.0, 3.0, 10.0)), key=found)


def summary(places: list[Codes]) -> dict[str, object]:
    """Recall, its interval and the median rank over the queries of all folds."""
    every = np.concatenate(places)
    hits = (every <= DEPTH).astype(float)
    draw = np.random.default_rng(5)
    means = [hits[draw.integers(len(hits), size=len(hits))].mean() for _ in range(1000)]
    low, high = np.quantile(means, (0.025, 0.975)).round(4).tolist()
    return {"recall@10": round(float(hits.mean()), 4), "interval": [low, high], "median_rank": float(np.median(every))}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    lake = options.parse_args().home / "lake"
    items = pq.read_table(lake / "items" / "table.parquet")
    tables = {one: pq.read_table(lake / f"{one}_embeddings" / "table.parquet") for one in ("text", "image")}
    content = item_content(items, {Modality(name): table for name, table in tables.items()})
    events = pq.read_table(lake / "events" / "table.parquet")
    log = Interactions.from_events(events, users=IdIndex.of(events[schema.USER_ID].to_pylist()), items=content.items)
    plots = dict(zip(items[schema.ITEM_ID].to_pylist(), items[schema.DESCRIPTION].to_pylist(), strict=True))
    complete = np.array([bool(plots[one]) for one in content.items.ids]) & content.present[Modality.IMAGE]
    films = np.random.default_rng(0).permutation(np.flatnonzero(complete))
    places: dict[str, list[tuple[Codes, Codes]]] = {}
    seconds: dict[str, float] = {}
    settings = []
    for fold in range(FOLDS):
        hidden = films[fold * HIDDEN : (fold + 1) * HIDDEN]
        train = films[~np.isin(films, hidden)]
        text, picture = sides(content.vectors[Modality.TEXT], content.vectors[Modality.IMAGE], train)
        known, asked = (text[train], picture[train]), (text[hidden], picture[hidden])
        settings.append(tuned_cca(known))

        def by_alignment(hidden: Codes = hidden) -> Pair:
            found = Alignment.fit(content, log.where(~np.isin(log.item, hidden))).modality_vectors(content)
            return found["text"][hidden], found["image"][hidden]

        models = {
            "random": lambda: tuple(np.random.default_rng(1).normal(size=(2, HIDDEN, 8)).astype(np.float32)),
            "cca": lambda known=known, asked=asked, best=settings[-1]: cca(known, asked, *best),
            "infonce": lambda known=known, asked=asked: contrasted(known, asked, 0.0),
            "infonce, dropout .7": lambda known=known, asked=asked: contrasted(known, asked, 0.7),
            "alignment": by_alignment,
        }
        for name, make in models.items():
            start = time.perf_counter()
            places.setdefault(name, []).append(both_ways(make()))
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
    report = {
        name: {
            "poster_to_plot": summary([one for one, _ in found]),
            "plot_to_poster": summary([other for _, other in found]),
            "seconds_a_fold": round(seconds[name] / FOLDS, 1),
        }
        for name, found in places.items()
    }
    print(json.dumps({"films": len(films), "hidden": HIDDEN, "folds": FOLDS, "cca": settings, "models": report}))


if __name__ == "__main__":
    main()
