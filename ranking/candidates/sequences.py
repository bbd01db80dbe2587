"""Which item follows which in users' sequences."""

import numpy as np
from scipy import sparse

from ranking.types import Interactions


def followers(train: Interactions, *, window: int, half_life: float) -> sparse.csr_matrix:
    """Items x items, float32: how often the column's item came after the row's item in one user's sequence.

    A pair d places apart, d at most `window`, counts 2^(-d / half_life) times the weight of its later event.
    """
    by_user = np.argsort(train.user, kind="stable")  # stable: keeps time order within a user
    user, item, weight = train.user[by_user], train.item[by_user], train.weight[by_user]
    shape = (len(train.items), len(train.items))
    total = sparse.csr_matrix(sparse.coo_array(shape, dtype=np.float32))
    for distance in range(1, min(window, len(user) - 1) + 1):
        same = user[distance:] == user[:-distance]
        value = weight[distance:][same] * np.float32(2 ** (-distance / half_life))
        total = total + sparse.csr_matrix((value, (item[:-distance][same], item[distance:][same])), shape=shape)
    return total
