"""What a user would say of an item, on the scale of the ratings: biases, a taste in content, and factors.

b_ui = mean + the user's bias + the item's bias, damped (Koren 2008, Factorization Meets the Neighborhood, equation 1).
Of what that leaves over each user's taste in the items' content explains a part, a ridge regression of the user's own,
and tells also of items that nobody has rated; of the rest the product of the user's and the item's factors (Koren, Bell
and Volinsky 2009, Matrix Factorization Techniques for Recommender Systems, equation 4), by alternating least squares.
Theirs are learned at once; here one after the other, so that each can be held against what it is added to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.artifacts import load_arrays, save_arrays
from ranking.candidates.least_squares import Real, solve_rows
from ranking.types import Codes, Floats, Interactions

Reals = npt.NDArray[np.float64]

ROUNDS: Final = 10  # of item and user biases in turn; they settle after three or four
FILE: Final = "ratings.safetensors"


@dataclass(frozen=True)
class RatingsConfig:
    """Hyper-parameters, as the window before chooses them."""

    item_prior: float = 5.0
    """An item starts as if so many average ratings had come before."""
    user_prior: float = 10.0
    """The same of a user."""
    content_l2: float | None = None
    """Of a user's taste in content, against the sum of squared errors; None: content is left out."""
    factors: int = 0
    """Of each user and item; 0: none."""
    l2: float = 10.0
    """Of these factors, against the sum of squared errors."""
    rounds: int = 8
    """Of users' and items' factors in turn."""
    seed: int = 0
    """Of the start of items' factors."""


@dataclass(frozen=True)
class Rated:
    """Pairs and what was said of them: user, item int32 [n], value float64 [n]. n_users, n_items: of all codes."""

    user: Codes
    item: Codes
    value: Reals
    n_users: int
    n_items: int

    @classmethod
    def of(cls, log: Interactions) -> Self:
        """The events that rate, in the order of the log; none where the log has no ratings."""
        rating = np.full(len(log), np.nan, np.float32) if log.rating is None else log.rating
        there = np.isfinite(rating)
        return cls(log.user[there], log.item[there], rating[there].astype(np.float64), len(log.users), len(log.items))

    def __len__(self) -> int:
        return len(self.value)

    def last(self) -> Self:
        """Of a pair that was rated several times the last rating alone."""
        pair = self.user.astype(np.int64) * self.n_items + self.item
        _, from_behind = np.unique(pair[::-1], return_index=True)
        kept = np.sort(len(pair) - 1 - from_behind)
        return type(self)(self.user[kept], self.item[kept], self.value[kept], self.n_users, self.n_items)


@dataclass(frozen=True)
class Ratings:
    """What was learned; 0 for whom or what nothing is known of.

    mean, low, high: of the ratings learned from, the last two the ends of their scale. user, item: biases float64
    [n_users], [n_items]. user_factors, item_factors: float64 [n_users, f], [n_items, f]: taste and content, then what
    was learned of both sides.
    """

    mean: float
    low: float
    high: float
    user: Reals
    item: Reals
    user_factors: Reals
    item_factors: Reals

    @classmethod
    def fit(cls, train: Rated, config: RatingsConfig, *, content: Floats | None = None) -> Self:
        """train: at least one rating. content: float32 [n_items, d], a row of zeros for an item without."""
        known = train.last()
        mean = float(known.value.mean())
        user, item = biases(known, known.value - mean, user_prior=config.user_prior, item_prior=config.item_prior)
        rest = known.value - mean - user[known.user] - item[known.item]
        users, items = [np.zeros((known.n_users, 0))], [np.zeros((known.n_items, 0))]
        if content is not None and config.content_l2 is not None:
            taste = tastes(known, rest, content, config.content_l2)
            rest = rest - _products(taste, content, known.user, known.item)
            users.append(taste.astype(np.float64))
            items.append(content.astype(np.float64))
        if config.factors:
            for found in alternated(known, rest, config):
                learned = found
            users.append(learned[0])
            items.append(learned[1])
        scale = float(known.value.min()), float(known.value.max())
        return cls(mean, *scale, user, item, np.hstack(users), np.hstack(items))

    def predict(self, user: Codes, item: Codes) -> Reals:
        """Ratings float64 [n] of pairs, kept on the scale."""
        fit = _products(self.user_factors, self.item_factors, user, item)
        return np.clip(self.mean + self.user[user] + self.item[item] + fit, self.low, self.high)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        named = {"user": self.user, "item": self.item}
        named |= {"user_factors": self.user_factors, "item_factors": self.item_factors}
        save_arrays(folder / FILE, {"scale": np.array([self.mean, self.low, self.high]), **named})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / FILE)
        mean, low, high = arrays["scale"].tolist()
        learned = [arrays[name].astype(np.float64) for name in ("user", "item", "user_factors", "item_factors")]
        return cls(mean, low, high, *learned)


def biases(known: Rated, above: Reals, *, user_prior: float, item_prior: float) -> tuple[Reals, Reals]:
    """Users' and items' biases: least squares of `above` [n], ratings less their mean, damped by the priors.

    The smallest sum of (above - b_u - b_i)^2 + user_prior |b_u|^2 + item_prior |b_i|^2, by solving for either in turn.
    """
    user, item = np.zeros(known.n_users), np.zeros(known.n_items)
    items = np.maximum(np.bincount(known.item, minlength=known.n_items) + item_prior, 1e-9)
    users = np.maximum(np.bincount(known.user, minlength=known.n_users) + user_prior, 1e-9)
    for _ in range(ROUNDS):
        item = np.bincount(known.item, above - user[known.user], minlength=known.n_items) / items
        user = np.bincount(known.user, above - item[known.item], minlength=known.n_users) / users
    return user, item


def tastes(known: Rated, rest: Reals, content: Floats, l2: float) -> Floats:
    """Each user's taste, float32 [n_users, d]: the ridge regression of `rest` [n] on the content of what was rated."""
    return _solved(_numbered(known), content, rest, l2)


def alternated(known: Rated, rest: Reals, config: RatingsConfig) -> Iterator[tuple[Reals, Reals]]:
    """Users' and items' factors, float64 [n_users, f] and [n_items, f], after each round.

    The sum of (rest - p q)^2 + l2 (|p|^2 + |q|^2) never rises. rest: [n], what is to be explained.
    """
    by_user = _numbered(known)
    by_item = by_user.T.tocsr()
    start = np.random.default_rng(config.seed).normal(size=(known.n_items, config.factors))
    items: Reals = start / np.sqrt(config.factors)
    for _ in range(config.rounds):
        users = _solved(by_user, items, rest, config.l2)
        items = _solved(by_item, users, rest, config.l2)
        yield users, items


def _numbered(known: Rated) -> sparse.csr_matrix:
    """Users x items: the place of each rating in `known`."""
    place = np.arange(len(known), dtype=np.float64)
    return sparse.csr_matrix((place, (known.user, known.item)), shape=(known.n_users, known.n_items))


def _solved(places: sparse.csr_matrix, factors: npt.NDArray[Real], wanted: Reals, l2: float) -> npt.NDArray[Real]:
    """Each row's factors. places: CSR whose entries say which of `wanted` is meant."""
    kind, width = factors.dtype, factors.shape[1]
    ones = sparse.csr_matrix((np.ones(places.nnz, kind), places.indices, places.indptr), shape=places.shape)
    told = wanted[places.data.astype(np.int64)].astype(kind)
    return solve_rows(ones, factors, np.zeros((width, width), kind), np.full(places.shape[0], l2, kind), wanted=told)


def _products(users: npt.NDArray[Real], items: npt.NDArray[Real], user: Codes, item: Codes) -> Reals:
    """Of the rows of a pair's user and item, [n]."""
    found: Reals = np.einsum("nf,nf->n", users[user], items[item]).astype(np.float64)
    return found
