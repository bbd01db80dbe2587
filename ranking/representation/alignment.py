"""Items and users in one space: each modality's vectors are led there by a head that has learned what users like.

The recipe is user-item softmax over content (alignment of text, image, sound and categories through the users who like
an item), because contrastive alignment of an item's modalities alone recommends worse than a plain ridge: NDCG@10 among
new films of MovieLens-1M .180 against .218, this one .259. The contrastive term is kept at a small weight and
does little: a poster finds its plot among a thousand (recall@10) with .036, without .032. See docs/alignment.md.

Behaviour teaches the heads. It is an input of theirs only where the configuration says so: factors that were computed
with the very like to be predicted give it away. With them as a further head, of histories alone, .172 instead of .183
among new films of ml-latest-small (though on MovieLens-1M .265 instead of .243, with other factors).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.behaviour import HEAD, Audiences, positives
from ranking.representation.content import ItemContent
from ranking.representation.inputs import Inputs, Masked, under, unit_rows
from ranking.representation.pseudo_pairs import find_pseudo_pairs
from ranking.types import Bools, Floats, Interactions, Queries

if TYPE_CHECKING:
    from torch import Tensor

    from ranking.representation.alignment_training import Progress
    from ranking.representation.heads import AlignmentNetwork


@dataclass(frozen=True)
class Alignment:
    """A fitted alignment.

    weights: the network's state, name -> float32. audiences: of the training part, where behaviour is a modality.
    """

    config: AlignmentConfig
    inputs: Inputs
    weights: Mapping[str, Floats]
    audiences: Audiences | None = None

    @classmethod
    def fit(
        cls,
        content: ItemContent,
        train: Interactions,
        *,
        config: AlignmentConfig | None = None,
        seed: int = 0,
        views: Sequence[ItemContent] = (),
        progress: "Progress" = lambda done, total: None,
    ) -> "Alignment":
        """Learn from the positives of `train` alone; the same seed and threads give the same alignment.

        views: the same items with vectors of augmented content, from which the steps draw, too. Where the configuration
        asks for pseudo-pairs, they are found in `train` as well, and items that they alone bring in are no negatives.
        Without any user who has two positives the heads stay random projections, which keep angles roughly. Where the
        weight of users and items is 0, all items are learned from, whether anybody likes them or not.
        """
        import torch  # heavy: commands that align nothing must start fast

        from ranking.representation.alignment_training import Trainer

        config = config or AlignmentConfig()
        liked = positives(train)
        everything = np.ones(len(content.items), bool)
        warm = np.asarray(liked.sum(0)).ravel() > 0 if config.user_items else everything
        inputs = Inputs.fit(content, warm)
        audiences = Audiences.fit(content.items, liked) if config.behaviour and inputs.means else None
        alignment = cls(config, inputs, {}, audiences)
        masked = [alignment._masked(one, frozenset()) for one in (content, *views)]

        def trainer(config: AlignmentConfig, read: Bools) -> Trainer:
            rows = {head: [one[head].rows(np.flatnonzero(read)) for one in masked] for head in masked[0]}
            return Trainer(network, rows, liked[:, read], config, rng, never_negative=~warm[read])

        read = warm
        if config.pseudo_pairs:
            pairs = find_pseudo_pairs(content, train).as_users(len(content.items))
            liked = sparse.vstack([liked, pairs], format="csr")
            read = warm | (np.asarray(pairs.sum(0)).ravel() > 0)
        rng = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _new_network(alignment)
            if config.self_supervised:
                ahead = replace(config, user_items=0.0, steps=config.self_supervised)
                trainer(ahead, everything).run(lambda done, total: None)
            trainer(config, read).run(progress)
        return replace(alignment, weights={name: value.numpy() for name, value in network.state_dict().items()})

    def modality_vectors(self, content: ItemContent) -> dict[str, Floats]:
        """Each content head's vectors in the common space, float32 [n, dim], unit rows, 0 where it is missing."""
        import torch  # heavy, as above

        with torch.inference_mode():
            projected = self._network().project(_tensors(self._masked(content, frozenset())))
        return {head: z.numpy() for head, z in projected.items()}

    def item_vectors(self, content: ItemContent, *, without: frozenset[str] = frozenset()) -> Floats:
        """One vector an item, float32 [n, dim], from its modalities: unit rows, 0 for an item without any.

        without: modalities to leave out, as if every item lacked them. Behaviour, where it is a modality, is what was
        known of the item at the fit.
        """
        import torch  # heavy, as above

        masked = self._masked(content, without)
        if not masked:
            return np.zeros((len(content.items), self.config.dim), np.float32)
        with torch.inference_mode():
            network = self._network()
            fused: Floats = network.fuse(network.project(_tensors(masked)), _kept(masked)).numpy()
        return fused

    def item_bias(self, content: ItemContent, *, without: frozenset[str] = frozenset()) -> Floats:
        """Popularity as content predicts it, float32 [n]; it adds to scores divided by the temperature."""
        import torch  # heavy, as above

        masked = self._masked(content, without | {HEAD})
        if not masked:
            return np.zeros(len(content.items), np.float32)
        with torch.inference_mode():
            bias: Floats = self._network().bias(_tensors(masked), _kept(masked)).numpy()
        return bias

    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing, empty folder."""
        self.inputs.save(folder)
        save_arrays(folder / "alignment.safetensors", self.weights)
        save_as(folder / "alignment.json", self.config, AlignmentConfig)
        if self.audiences is not None:
            self.audiences.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "Alignment":
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        config = load_as(folder / "alignment.json", AlignmentConfig)
        audiences = Audiences.load(folder) if config.behaviour and (folder / "audiences.json").exists() else None
        weights = under(load_arrays(folder / "alignment.safetensors"), "")
        return cls(config, Inputs.load(folder), weights, audiences)

    def _masked(self, content: ItemContent, without: frozenset[str]) -> dict[str, Masked]:
        """Inputs of the heads that are not left out."""
        masked = self.inputs.of(content)
        if self.audiences is not None:
            masked[HEAD] = self.audiences.of(content.items)
        return {head: one for head, one in masked.items() if head not in without}

    def _network(self) -> "AlignmentNetwork":
        import torch  # heavy, as above

        network = _new_network(self)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights.items()})
        return network


def user_vectors(item_vectors: Floats, queries: Queries) -> Floats:
    """Normalised sums of the vectors of each query's positive history: float32 [q, d], 0 without any.

    Content alone describes users as well as content and behaviour do (.2589, .2582) and serves users whose items are
    all new.
    """
    sums = queries.matrix(queries.positive.astype(np.float32)) @ item_vectors
    return unit_rows(sums)


def _new_network(alignment: Alignment) -> "AlignmentNetwork":
    from ranking.representation.heads import AlignmentNetwork  # imports torch

    widths = {head: alignment.inputs.width(head) for head in alignment.inputs.means}
    if alignment.audiences is not None:
        widths[HEAD] = alignment.audiences.factors.shape[1]
    return AlignmentNetwork(widths, dim=alignment.config.dim, hidden=alignment.config.hidden)


def _tensors(masked: Mapping[str, Masked]) -> "dict[str, Tensor]":
    import torch

    return {head: torch.from_numpy(one.values) for head, one in masked.items()}


def _kept(masked: Mapping[str, Masked]) -> "dict[str, Tensor]":
    import torch

    return {head: torch.from_numpy(one.present) for head, one in masked.items()}
