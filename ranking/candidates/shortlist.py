"""Which items of a large catalogue all generators look at: those that come first for the ones that find them fast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ranking.candidates.aligned import Aligned
from ranking.candidates.generator import Generator, first_codes
from ranking.types import Bools, Codes, Floats, Queries


@dataclass(frozen=True)
class ShortlistConfig:
    """Hyper-parameters of the shortlist.

    whole: items; a catalogue of no more is looked at whole. first: of each generator that leads. rare: the nearest to a
    taste among the items to which some generators keep (`Generator.only`): behaviour leads to none of them.
    """

    whole: int = 10_000
    first: int = 300
    rare: int = 100


DEFAULT: Final = ShortlistConfig()


def leading(generators: Sequence[Generator], query: Queries) -> dict[str, Floats]:
    """Scores of all items by the generators that lead, for one query, float32 [1, n_items] each."""
    return {one.name: one.score(query) for one in generators if one.leads(query)}


def shortlist(
    generators: Sequence[Generator], scores: Mapping[str, Floats], offered: Bools, config: ShortlistConfig
) -> Codes:
    """Items that one query's candidates are chosen from, ascending codes int32 [m].

    scores: what `leading` says. offered: bool [1, n_items], the only items that may be among them.
    """
    found = [first_codes(one[0], offered[0], config.first) for one in scores.values()]
    nearest = scores.get(Aligned.name)
    kept_to = [one.only for one in generators if one.only is not None]
    if nearest is not None and kept_to:
        found.append(first_codes(nearest[0], offered[0] & np.logical_or.reduce(kept_to), config.rare))
    chosen = np.zeros(offered.shape[1], bool)
    for codes in found:
        chosen[codes] = True
    return np.flatnonzero(chosen).astype(np.int32)
