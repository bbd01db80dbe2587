"""Does one modality of an unseen item find another? The alignment, held against chance and CCA in the same run."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.evaluation.significance import ci95, resampled_means
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.cca import Cca, mean_recall, ranks
from ranking.representation.inputs import unit_rows
from ranking.types import Bools, Floats, Interactions, ItemContent

DEPTH: Final = 10
MOST: Final = 500  # hidden items: a fifth of those that have two modalities, at most so many
SHARE: Final = 0.2
LEAST: Final = 20  # hidden items of a pair; fewer tell nothing
RANKS: Final = (16, 32, 64, 128)  # of CCA; 16 is best in the planted world, 64 for posters and plots
ALIGNMENT, CCA = "alignment", "cca"

Places = npt.NDArray[np.int64]

# Of one model: the share of queries whose own item is among the ten nearest, and the median place of the own item.
Recall = TypedDict("Recall", {"recall@10": float, "ci95": list[float], "median_rank": float})


class Crossing(TypedDict):
    """One modality asks for another. items: hidden ones that have both, each a query and each offered.

    pairs: items that CCA learned from. chance: recall of a random order. difference: recall of the alignment minus that
    of CCA, with its interval over the same queries.
    """

    asked: str
    found: str
    items: int
    pairs: int
    chance: float
    models: dict[str, Recall]
    difference: float
    ci95: list[float]


def cross_modal(
    content: ItemContent,
    log: Interactions,
    *,
    config: AlignmentConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Crossing]:
    """Hide a fifth of the items that have two modalities (at most 500), learn from the others, and look for the hidden.

    Both models read the same vectors. The alignment learns from likes of items that are not hidden, CCA from the pairs
    of modalities of items that are not hidden; its rank and shrinkage are those that find most of a further fifth. Two
    modalities that fewer than 20 hidden items, or fewer than 100 others have, are left out.
    """
    hidden = _hidden(content, seed)
    pairs = []
    for one, other in combinations(sorted(content.vectors), 2):
        both = content.present[one] & content.present[other]
        if (both & hidden).sum() >= LEAST and (both & ~hidden).sum() >= LEAST / SHARE:
            pairs.append((one, other, both))
    if not pairs:
        return []
    known = replace(content, present={name: there & ~hidden for name, there in content.present.items()})
    alignment = Alignment.fit(known, log.where(~hidden[log.item]), config=config, seed=seed, progress=progress)
    heads = alignment.modality_vectors(content)
    found: list[Crossing] = []
    for one, other, both in pairs:
        learned, asked = np.flatnonzero(both & ~hidden), np.flatnonzero(both & hidden)
        by_cca = _by_cca(content.vectors[one], content.vectors[other], learned, asked)
        by_alignment = heads[one][asked], heads[other][asked]
        found.append(_crossing(one, other, by_alignment, by_cca, len(learned)))
        found.append(_crossing(other, one, by_alignment[::-1], by_cca[::-1], len(learned)))
    return found


def _hidden(content: ItemContent, seed: int) -> Bools:
    """The items to look for, bool [n]."""
    n = len(content.items)
    modalities = np.sum([np.zeros(n, int), *content.present.values()], axis=0)
    several = np.flatnonzero(modalities > 1)
    hidden = np.zeros(n, bool)
    hidden[np.random.default_rng(seed).permutation(several)[: min(MOST, round(SHARE * len(several)))]] = True
    return hidden


def _by_cca(left: Floats, right: Floats, learned: Places, asked: Places) -> tuple[Floats, Floats]:
    """Both sides of the asked items in the space of the canonical directions of the learned ones."""
    sides = [unit_rows(side - side[learned].mean(axis=0)) for side in (left, right)]
    known = sides[0][learned], sides[1][learned]
    last = max(1, min(MOST, round(SHARE * len(learned))))
    taught, shown = ([side[part] for side in known] for part in (slice(-last), slice(-last, None)))
    found = {setting: mean_recall(*cca.project(*shown)) for setting, cca in Cca.grid(*taught, ranks=RANKS)}
    rank, shrinkage = max(found, key=lambda setting: found[setting])
    return Cca.fit(*known, rank=rank, shrinkage=shrinkage).project(sides[0][asked], sides[1][asked])


def _crossing(
    one: Modality, other: Modality, aligned: tuple[Floats, ...], by_cca: tuple[Floats, ...], pairs: int
) -> Crossing:
    places = {ALIGNMENT: ranks(*aligned), CCA: ranks(*by_cca)}
    hits = np.stack([place <= DEPTH for place in places.values()], axis=1).astype(np.float64)
    draws = resampled_means(hits)
    models: dict[str, Recall] = {}
    for column, (name, place) in enumerate(places.items()):
        interval = list(ci95(draws[:, column]))
        models[name] = {
            "recall@10": float(hits[:, column].mean()),
            "ci95": interval,
            "median_rank": float(np.median(place)),
        }
    return {
        "asked": str(one),
        "found": str(other),
        "items": len(hits),
        "pairs": pairs,
        "chance": min(1.0, DEPTH / len(hits)),
        "models": models,
        "difference": models[ALIGNMENT]["recall@10"] - models[CCA]["recall@10"],
        "ci95": list(ci95(draws[:, 0] - draws[:, 1])),
    }
