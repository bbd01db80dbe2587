"""Items and users in one space: each modality's vectors are led there by a head that has learned what users like.

The recipe is user-item softmax over content (alignment of text, image, sound and categories through the users who like
an item), because contrastive alignment of an item's modalities alone recommends worse than a plain ridge: NDCG@10 among
new films of MovieLens-1M .180 against .218, this one .259. The contrastive term is kept at a small weight and
does little: a poster finds its plot among a thousand (recall@10) with .036, without .032. See docs/alignment.md.

Behaviour teaches the heads and is no input of theirs: factors that were computed with the very like to be predicted
give it away. With them as a further head in training .172 instead of .183 among new films of ml-latest-small (though on
MovieLens-1M .265 instead of .243, with other factors).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.representation.behaviour import positives
from ranking.representation.inputs import Inputs, Masked, under, unit_rows
from ranking.types import Floats, Interactions, ItemContent, Queries

if TYPE_CHECKING:
    from torch import Tensor

    from ranking.representation.alignment_training import Progress
    from ranking.representation.heads import AlignmentNetwork


@dataclass(frozen=True)
class AlignmentConfig:
    """Constants of the recipe.

    Measured as NDCG@10 among new films: of MovieLens-1M, on two validation folds (two numbers: one each), or of
    ml-latest-small, the mean of two random divisions ("ml").
    """

    dim: int = 128  # 256: no difference with linear heads (.244/.223 against .245/.223)
    hidden: int = 256  # residual MLP .265/.244, linear heads .245/.223
    steps: int = 240  # 120: .244; with more it overfits (960 steps, linear, recall@20 .279 against .294)
    batch: int = 256  # 1024: .222/.211 against .245/.223 with linear heads
    items: int = 1024  # of the softmax and the histories a step, at random; ml .180, with 2048 .184 in twice the time
    modality_dropout: float = 0.3  # each side, so that an item lacking a modality is no stranger; ml .180, .5: .176
    temperature: float = 0.1  # start; ends at .10 to .11; fixed .2: .238/.212 against .245/.223
    temperature_range: tuple[float, float] = (0.01, 0.5)
    learning_rate: float = 2e-3  # 5e-4: .191, 5e-3: .196, this .199; the gates learn ten times as fast
    weight_decay: float = 0.1  # .01 to 1: no effect
    warm_up: float = 0.1  # share of the one-cycle schedule
    clip_norm: float = 5.0
    contrast: float = 0.1  # weight of InfoNCE between modalities; ml .182, 0: .183
    contrast_every: int = 3  # steps, to save time, with so many times the weight
    contrast_dropout: float = 0.7  # of its inputs; InfoNCE alone, recall@10 of poster and plot .09, without it .04


@dataclass(frozen=True)
class Alignment:
    """A fitted alignment; `weights` is the network's state, name -> float32."""

    config: AlignmentConfig
    inputs: Inputs
    weights: Mapping[str, Floats]

    @classmethod
    def fit(
        cls,
        content: ItemContent,
        train: Interactions,
        *,
        config: AlignmentConfig | None = None,
        seed: int = 0,
        pseudo_users: sparse.csr_matrix | None = None,
        progress: "Progress" = lambda done, total: None,
    ) -> "Alignment":
        """Learn from the positives of `train` alone; the same seed and threads give the same alignment.

        pseudo_users: further rows of likes, float32 [p, n_items], as `PseudoPairs.as_users` makes them; items that they
        alone like are no negatives.
        Without any user who has two positives the heads stay random projections, which keep angles roughly.
        """
        import torch  # heavy: commands that align nothing must start fast

        from ranking.representation.alignment_training import Trainer

        config = config or AlignmentConfig()
        liked = positives(train)
        warm = np.asarray(liked.sum(0)).ravel() > 0
        inputs = Inputs.fit(content, warm)
        read = warm
        if pseudo_users is not None:
            liked = sparse.vstack([liked, pseudo_users], format="csr")
            read = warm | (np.asarray(pseudo_users.sum(0)).ravel() > 0)
        rows = {name: Masked(one.values[read], one.present[read]) for name, one in inputs.of(content).items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _new_network(inputs, config)
            rng = np.random.default_rng(seed)
            Trainer(network, rows, liked[:, read], config, rng, never_negative=~warm[read]).run(progress)
        return cls(config, inputs, {name: value.numpy() for name, value in network.state_dict().items()})

    def modality_vectors(self, content: ItemContent) -> dict[str, Floats]:
        """Each content head's vectors in the common space, float32 [n, dim], unit rows, 0 where it is missing."""
        import torch  # heavy, as above

        with torch.inference_mode():
            projected = self._network().project(_tensors(self.inputs.of(content)))
        return {head: z.numpy() for head, z in projected.items()}

    def item_vectors(self, content: ItemContent, *, without: frozenset[Modality] = frozenset()) -> Floats:
        """One vector an item, float32 [n, dim], from content alone: unit rows, 0 for an item without any modality.

        without: modalities to leave out, as if every item lacked them.
        """
        import torch  # heavy, as above

        masked = self._masked(content, without)
        if not masked:
            return np.zeros((len(content.items), self.config.dim), np.float32)
        with torch.inference_mode():
            network = self._network()
            fused: Floats = network.fuse(network.project(_tensors(masked)), _kept(masked)).numpy()
        return fused

    def item_bias(self, content: ItemContent, *, without: frozenset[Modality] = frozenset()) -> Floats:
        """Popularity as content predicts it, float32 [n]; it adds to scores divided by the temperature."""
        import torch  # heavy, as above

        masked = self._masked(content, without)
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

    @classmethod
    def load(cls, folder: Path) -> "Alignment":
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        config = load_as(folder / "alignment.json", AlignmentConfig)
        return cls(config, Inputs.load(folder), under(load_arrays(folder / "alignment.safetensors"), ""))

    def _masked(self, content: ItemContent, without: frozenset[Modality]) -> dict[str, Masked]:
        """Inputs of the heads that are not left out."""
        return {head: one for head, one in self.inputs.of(content).items() if head not in without}

    def _network(self) -> "AlignmentNetwork":
        import torch  # heavy, as above

        network = _new_network(self.inputs, self.config)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in self.weights.items()})
        return network


def user_vectors(item_vectors: Floats, queries: Queries) -> Floats:
    """Normalised sums of the vectors of each query's positive history: float32 [q, d], 0 without any.

    Content alone describes users as well as content and behaviour do (.2589, .2582) and serves users whose items are
    all new.
    """
    sums = queries.matrix(queries.positive.astype(np.float32)) @ item_vectors
    return unit_rows(sums)


def _new_network(inputs: Inputs, config: AlignmentConfig) -> "AlignmentNetwork":
    from ranking.representation.heads import AlignmentNetwork  # imports torch

    widths = {head: inputs.width(head) for head in inputs.means}
    return AlignmentNetwork(widths, dim=config.dim, hidden=config.hidden)


def _tensors(masked: Mapping[str, Masked]) -> "dict[str, Tensor]":
    import torch

    return {head: torch.from_numpy(one.values) for head, one in masked.items()}


def _kept(masked: Mapping[str, Masked]) -> "dict[str, Tensor]":
    import torch

    return {head: torch.from_numpy(one.present) for head, one in masked.items()}
