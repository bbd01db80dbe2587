"""How often could a picture find its text in the planted world, if everything in both were perceived?

    python benchmarks/cross_modal_ceiling.py

Every theme of the planted world can be perceived by two of the three modalities, so that two of them share a third of
the themes. Here no encoder stands in between: each side is told the exact shares of its own themes (text also the
items' categories), 60,000 items are learned from instead of 1,200, by MLPs with symmetric InfoNCE, and 10,000 others
are asked in sets of 500. Recall@10 both ways, ties at their mean; chance .02. Prints one JSON object.
"""

import json
from itertools import combinations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from pipelines.datasets.planted.latents import WorldConfig, draw_items
from pipelines.datasets.planted.themes import load_themes
from pipelines.datasets.planted.writing import pick_categories
from ranking.representation.losses import info_nce
from ranking.types import Floats

KNOWN, ASKED, GALLERY, DEPTH = 60_000, 10_000, 500, 10
STEPS, BATCH, RATE = 2_500, 512, 1e-3


def perceived(n: int, seed: int) -> dict[str, Floats]:
    """What is to be perceived of n items by each modality: the share of each theme, and whether it is there."""
    rng, themes = np.random.default_rng(seed), load_themes()
    mix = draw_items(WorldConfig(n_items=n), len(themes), rng).mix
    names = sorted({theme.category for theme in themes})
    found = {}
    for modality in ("words", "picture", "sound"):
        shown = mix * np.array([getattr(theme, modality) is not None for theme in themes])
        shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1e-9)
        found[modality] = np.hstack([shares, shares > 0]).astype(np.float32)
    categories = np.zeros((n, len(names)), np.float32)
    for row, one in enumerate(mix):
        categories[row, [names.index(name) for name in pick_categories(one, themes, rng)]] = 1
    found["words"] = np.hstack([found["words"], categories])
    return found


def projected(known: tuple[Floats, Floats], asked: tuple[Floats, Floats]) -> list[Floats]:
    """Both sides of the asked items, unit rows."""
    torch.manual_seed(0)
    towers = [
        nn.Sequential(nn.Linear(one.shape[1], 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 128))
        for one in known
    ]
    log_temperature = nn.Parameter(torch.tensor(0.1).log())
    optimizer = torch.optim.AdamW([*(p for one in towers for p in one.parameters()), log_temperature], RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS + 1)
    tensors = [torch.from_numpy(one) for one in known]
    for _ in range(STEPS):
        some = torch.randint(len(tensors[0]), (BATCH,))
        left, right = (F.normalize(tower(one[some]), dim=1) for tower, one in zip(towers, tensors, strict=True))
        loss = info_nce(left, right, log_temperature.exp().clamp(0.01, 0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.inference_mode():
        return [F.normalize(tower(torch.from_numpy(x)), dim=1).numpy() for tower, x in zip(towers, asked, strict=True)]


def recall(asked: Floats, offered: Floats) -> float:
    found = []
    for start in range(0, len(asked), GALLERY):
        similarity = asked[start : start + GALLERY] @ offered[start : start + GALLERY].T
        own = similarity.diagonal()[:, None]
        found.append((similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) - 1) / 2 < DEPTH)
    return round(float(np.mean(found)), 3)


def main() -> None:
    known, asked = perceived(KNOWN, 1), perceived(ASKED, 2)
    report = {}
    for one, other in combinations(known, 2):
        left, right = projected((known[one], known[other]), (asked[one], asked[other]))
        report[f"{one}_to_{other}"], report[f"{other}_to_{one}"] = recall(left, right), recall(right, left)
    print(json.dumps({"gallery": GALLERY, "recall@10": report}))


if __name__ == "__main__":
    main()
