"""Which items of a large catalogue all generators score: the first of those that find theirs fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from ranking.candidates.aligned import Aligned
from ranking.candidates.generator import Generator
from ranking.types import Bools, Codes, Queries


@dataclass(frozen=True)
class ShortlistConfig:
    """Hyper-parameters of the shortlist.

    whole: items; a catalogue of no more is scored whole. first: of each generator that finds its own
    (`Generator.first`). rare: the nearest to a taste among the items to which some generators keep (`Generator.only`):
    behaviour leads to none of them.
    """

    whole: int = 10_000
    first: int = 300
    rare: int = 100


DEFAULT: Final = ShortlistConfig()


def shortlist(
    generators: Sequence[Generator], query: Queries, offered: Bools, config: ShortlistConfig = DEFAULT
) -> Codes:
    """Items that one query's candidates are chosen from, ascending codes int32 [m].

    offered: bool [n_items], the only items that may be among them.
    """
    found = [one.first(query, offered, config.first) for one in generators]
    kept_to = [one.only for one in generators if one.only is not None]
    if kept_to:
        rare = offered & reduce(np.logical_or, kept_to)
        found += [one.first(query, rare, config.rare) for one in generators if isinstance(one, Aligned)]
    chosen = np.zeros(len(offered), bool)
    chosen[np.concatenate([np.empty(0, np.int64), *(codes for codes in found if codes is not None)])] = True
    return np.flatnonzero(chosen).astype(np.int32)
