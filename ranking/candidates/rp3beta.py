"""Random walks of three steps from the user over items and users, against popularity."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import sparse

from ranking.candidates.history import Memory, binary
from ranking.candidates.neighbours import Neighbours, strongest_speakers
from ranking.types import Interactions


@dataclass(frozen=True)
class Rp3BetaConfig:
    """Hyper-parameters of `Rp3Beta`, in the words of the publication.

    alpha: power of each step's probability. beta: power of an item's number of users that its score is divided by.
    neighbours: how many items speak for an item.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    alpha: float = 1.0
    beta: float = 0.6
    neighbours: int = 200
    memory: Memory = field(default_factory=Memory)


class Rp3Beta(Neighbours[Rp3BetaConfig]):
    """RP3beta (Paudel, Christoffel, Newell and Bernstein 2017, sections 3.2 and 3.4).

    An item i of the history says of j: sum over users u of p(i -> u)^alpha p(u -> j)^alpha / users(j)^beta, where p is
    1 / the number of edges of the node that is left. The first step, from the query to its items, is the profile.
    Deviation: only the strongest `neighbours` speakers of an item are kept, as for other item-item models.
    """

    name: ClassVar[str] = "rp3beta"
    kind: ClassVar[type[object]] = Rp3BetaConfig

    @property
    def memory(self) -> Memory:
        """What of a query's history counts."""
        return self.config.memory

    def neighbours(self, train: Interactions) -> sparse.csr_matrix:
        """Transition probabilities by way of any user."""
        alpha, beta = self.config.alpha, self.config.beta
        x = binary(self.config.memory.training(train))
        items_of = np.maximum(np.diff(x.indptr), 1).astype(np.float32)
        users_of = np.maximum(np.bincount(x.indices, minlength=x.shape[1]), 1).astype(np.float32)
        to_items = sparse.csr_matrix(sparse.diags(items_of**-alpha) @ x @ sparse.diags(users_of**-beta))
        arriving = to_items.T.tocsr()
        leaving = sparse.csr_matrix(x @ sparse.diags(users_of**-alpha))

        def walks(start: int, stop: int) -> sparse.csr_matrix:
            return sparse.csr_matrix(arriving[start:stop] @ leaving)

        return strongest_speakers(walks, x.shape[1], self.config.neighbours)
