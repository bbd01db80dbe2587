"""The rule that never puts the hybrid in the place of a better single model: by what came true on validation slates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.types import Codes

HYBRID: Final = "hybrid"
BANDS: Final = ((0, 0), (1, 2), (3, 5), (6, 10), (11, None))  # shortest and longest history of each
RESAMPLES: Final = 1000
MIN_USERS: Final = 30  # fewer tell nothing
SURE: Final = 2.5  # percent of the draws in which the single may be the worse one

Values = npt.NDArray[np.float64]
Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chosen:
    """Who answers histories of one band. longest: None without an end.

    hybrid, single: mean NDCG@10 of the hybrid and of the best single model (name: `best`) on users whom the hybrid's
    ranker had not learned from. users: how many; 0 where nothing could be told.
    """

    shortest: int
    longest: int | None
    chosen: str
    best: str
    hybrid: float
    single: float
    users: int


def choose(
    hybrid: Values, singles: Mapping[str, Values], users: Codes, lengths: Sizes, *, seed: int = 0
) -> tuple[Chosen, ...]:
    """For each band the hybrid, unless the best single model beats it beyond noise.

    hybrid, and each of singles: NDCG@10 of the same q queries. Noise: the paired bootstrap over users, of which one may
    have several queries; the single must be better in all but 2.5 % of the draws.
    """
    return tuple(_choose_in(band, hybrid, singles, users, lengths, seed) for band in BANDS)


def band_of(lengths: Sizes) -> Sizes:
    """Index of each length's band."""
    return np.searchsorted([shortest for shortest, _ in BANDS], lengths, side="right") - 1


def chosen_for(choices: Sequence[Chosen], lengths: Sizes) -> list[str]:
    """Who answers histories of these lengths."""
    return [choices[band].chosen for band in band_of(lengths).tolist()] if choices else [HYBRID] * len(lengths)


def _choose_in(
    band: tuple[int, int | None],
    hybrid: Values,
    singles: Mapping[str, Values],
    users: Codes,
    lengths: Sizes,
    seed: int,
) -> Chosen:
    shortest, longest = band
    mine = (lengths >= shortest) & (lengths <= (np.inf if longest is None else longest))
    people, which = np.unique(users[mine], return_inverse=True)
    if len(people) < MIN_USERS or not singles:
        return Chosen(shortest, longest, HYBRID, "", 0.0, 0.0, 0)
    means = {name: float(values[mine].mean()) for name, values in singles.items()}
    best = max(means, key=lambda name: means[name])
    gap = np.bincount(which, singles[best][mine] - hybrid[mine]) / np.bincount(which)
    draws = np.random.default_rng(seed).integers(0, len(gap), (RESAMPLES, len(gap)))
    beyond = float(np.percentile(gap[draws].mean(axis=1), SURE)) > 0
    ours = float(hybrid[mine].mean())
    return Chosen(shortest, longest, best if beyond else HYBRID, best, ours, means[best], len(people))
