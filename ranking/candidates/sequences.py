"""Which item follows which in users' sequences."""

import numpy as np
from scipy import sparse

from ranking.candidates.history import DAY_US
from ranking.types import Bools, Interactions


def followers(
    train: Interactions,
    *,
    window: int,
    half_life: float,
    half_life_days: float | None = None,
    touching: Bools | None = None,
) -> sparse.csr_matrix:
    """Items x items, float32: how often the column's item came after the row's item in one user's sequence.

    A pair d places apart, d at most `window`, counts 2^(-d / half_life) times the weight of its later event; with
    `half_life_days` also 2^(-days between them / half_life_days).
    touching: bool [n_items]; pairs without any of these items are left out.
    """
    by_user = np.argsort(train.user, kind="stable")  # stable: keeps time order within a user
    user, item, weight, at = (one[by_user] for one in (train.user, train.item, train.weight, train.occurred_at))
    wanted = None if touching is None else touching[item]
    shape = (len(train.items), len(train.items))
    total = sparse.csr_matrix(sparse.coo_array(shape, dtype=np.float32))
    for distance in range(1, min(window, len(user) - 1) + 1):
        pair = user[distance:] == user[:-distance]
        if wanted is not None:
            pair &= wanted[distance:] | wanted[:-distance]
        value = weight[distance:][pair] * np.float32(2 ** (-distance / half_life))
        if half_life_days is not None:
            days = (at[distance:][pair] - at[:-distance][pair]) / DAY_US
            value = (value * np.exp2(-days / half_life_days)).astype(np.float32)
        total = total + sparse.csr_matrix((value, (item[:-distance][pair], item[distance:][pair])), shape=shape)
    return total
