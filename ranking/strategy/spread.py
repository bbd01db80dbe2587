"""More of the catalogue in the answers: an item that nobody is shown gets the price of one place.

Each answer's first places go to much the same items, and the last of them are worth little: whether somebody's tenth is
the ranker's tenth or its twentieth best. An item that stands among nobody's first k is given a bonus, its price: the
least that anybody's first k must give up for it, in NDCG to be expected. So it is shown, once or so, to whom it fits
best. The prices are of items alone: an answer is the same whether it is asked for alone or among others. Source:
auctions (Bertsekas 1988), with items that bid for places; prices rise until an item is shown.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_arrays, save_arrays
from ranking.metrics import PerQuery, ndcg
from ranking.rankers.standardised import standardise_rows
from ranking.types import UNKNOWN, Bools, Codes, Floats

K: Final = 10
BINS: Final = 60  # of equal size, in which chances are counted
ROUNDS: Final = 40  # 100 show a tenth more items, for a half more loss
TIE: Final = 1e-8  # of places with the same chance the first is worth more
STEP: Final = 1e-5  # that a price lies above what is asked for; 20 times as much costs twice the NDCG
# Highest prices that are tried
CAPS: Final = (0.002, 0.004, 0.006, 0.008, 0.009, 0.01, 0.011, 0.012, 0.013, 0.014, 0.015, 0.0175, 0.02)
MIN_ANSWERS: Final = 200  # fewer cannot tell a loss of 1 % from none: prices are not paid
BUDGET: Final = 0.009  # of NDCG@10 on validation, so that the loss elsewhere stays below 1 %

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """levels, chances: float64 [b], ascending: a score in units of its answer's deviation, and the chance of a hit.

    cap: the highest price that is paid at full spread. prices: float32 [n_items], 0 for what is shown anyway.
    """

    levels: Values
    chances: Values
    cap: float
    prices: Floats

    @classmethod
    def learn(
        cls, items: Codes, scores: Floats, hits: Bools, wanted: npt.NDArray[np.int64], *, n_items: int
    ) -> "Spread":
        """From answers [q, k'], best first, that the ranker did not learn from, and what of them came true.

        The cap is the highest that loses no more than `BUDGET` of NDCG@10 on them. wanted: int64 [q], relevant items.
        """
        levels, chances = _calibrated(in_units(items, scores), hits, items != UNKNOWN)
        best = Spread(levels, chances, 0.0, np.zeros(n_items, np.float32))
        plain = _mean(ndcg(hits, wanted, K))
        for cap in CAPS if len(items) >= MIN_ANSWERS else ():
            found = replace(best, cap=cap).priced(items, scores)
            places = found.order(items, scores, spread=1.0)
            if _mean(ndcg(np.take_along_axis(hits, places, axis=1), wanted, K)) < (1 - BUDGET) * plain:
                break
            best = found
        return best

    def priced(self, items: Codes, scores: Floats) -> "Spread":
        """With the prices that these answers ask for, up to the cap; what came of them is not looked at."""
        worth, prices = self._worth(items, scores), np.zeros(len(self.prices))
        known, codes = items != UNKNOWN, np.maximum(items, 0)
        if items.shape[1] <= K:
            return self
        for _ in range(ROUNDS):
            bid = worth + np.where(known, prices[codes], 0)
            least = -np.partition(-bid, K - 1, axis=1)[:, K - 1 : K]
            shown = known & (bid >= least)
            asked = np.full(len(prices), np.inf)
            np.minimum.at(asked, items[known & ~shown], (least - worth)[known & ~shown])
            rising = (np.bincount(items[shown], minlength=len(prices)) == 0) & (asked + STEP <= self.cap)
            if not rising.any():
                break
            prices[rising] = asked[rising] + STEP
        return replace(self, prices=prices.astype(np.float32))

    def order(self, items: Codes, scores: Floats, *, spread: float) -> npt.NDArray[np.int64]:
        """New places of answers [q, k'], best first: an index for `np.take_along_axis`, int64 [q, k'].

        The first `K` are chosen by what is to be expected of them and price, no price above `spread` times the cap;
        they, and the others, keep the ranker's order among themselves. spread: 0 changes nothing, 1 is full.
        `UNKNOWN` stays last.
        """
        if not 0 <= spread <= 1:
            raise ValueError(f"spread is {spread}; accepted are numbers from 0 to 1")
        paid = np.where(self.prices <= spread * self.cap, self.prices, 0)
        bid = self._worth(items, scores) + np.where(items == UNKNOWN, 0, paid[items])
        chosen = np.zeros(items.shape, bool)
        np.put_along_axis(chosen, np.argsort(-bid, axis=1, kind="stable")[:, :K], True, axis=1)
        return np.argsort(~chosen, axis=1, kind="stable")

    def _worth(self, items: Codes, scores: Floats) -> Values:
        """NDCG@10 to be expected of an item in the last of the first places, -1 in the padding.

        Falling from place to place, so that prices alone change places. One hit is worth more where few are expected.
        """
        known = items != UNKNOWN
        chance = np.where(known, np.interp(in_units(items, scores), self.levels, self.chances), 0)
        gain = 1 / np.log2(np.arange(2, K + 2))
        ideal = np.interp(chance.sum(axis=1), np.arange(1, K + 1), np.cumsum(gain))
        expected = np.where(known, chance * gain[-1] / ideal[:, None], -1.0)
        return np.asarray(expected - TIE * np.arange(items.shape[1]))

    def save(self, folder: Path) -> None:
        """Write everything as arrays."""
        arrays = {"levels": self.levels, "chances": self.chances, "cap": np.array([self.cap]), "prices": self.prices}
        save_arrays(folder / "spread.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "spread.safetensors")
        levels, chances = (arrays[name].astype(np.float64) for name in ("levels", "chances"))
        return cls(levels, chances, float(arrays["cap"][0]), arrays["prices"].astype(np.float32))


def in_units(items: Codes, scores: Floats) -> Values:
    """Scores less their answer's mean, in units of its deviation, float64 [q, k]; 0 in the padding."""
    return standardise_rows(scores, items != UNKNOWN)


def _calibrated(units: Values, hits: Bools, known: Bools) -> tuple[Values, Values]:
    """Mean score and share of hits of `BINS` equal parts of the rows, the shares never falling."""
    order = np.argsort(units[known], kind="stable")
    if not len(order):
        return np.zeros(1), np.zeros(1)
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    levels = np.array([units[known][part].mean() for part in parts])
    shares = np.array([hits[known][part].mean() for part in parts])
    return levels, np.maximum.accumulate(shares)


def _mean(values: PerQuery) -> float:
    return float(values.mean()) if len(values) else 0.0
