"""A neural ranker: crosses and layers over the columns that the trees read, and over embedded codes.

Source: Wang et al., DCN V2 (2021). Ours: numbers are told twice, against all rows and within the slate; the loss mixes
each row's outcome, the slate's order and ratings.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.artifacts import Arrays, load_arrays, load_as, save_arrays, save_as
from ranking.errors import ArtifactError
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.neural_inputs import Scaling
from ranking.types import Bools, Floats

if TYPE_CHECKING:
    from ranking.rankers.cross_network import CrossNetwork

Groups: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = tuple[FeatureMatrix, Bools, Groups]

AT_ONCE: Final = 16_384  # rows scored at once


@dataclass(frozen=True)
class NeuralState:
    """What a saved ranker needs beside its arrays."""

    config: NeuralConfig
    names: tuple[str, ...]
    numbers: tuple[str, ...]
    sizes: tuple[int, ...]
    rating: tuple[float, float]


class Neural:
    """Fitted networks, one a seed; `names` are the columns that they read, in order.

    history: of each network, the loss on the slates that were held out, before learning and after each epoch.
    """

    def __init__(
        self, config: NeuralConfig, names: tuple[str, ...], scaling: Scaling, networks: "list[CrossNetwork]"
    ) -> None:
        self.config = config
        self.names = names
        self.scaling = scaling
        self.networks = networks
        self.history: list[list[float]] = []

    @classmethod
    def fit(
        cls,
        features: FeatureMatrix,
        labels: Bools,
        groups: Groups,
        *,
        config: NeuralConfig,
        held_out: Rows | None = None,
        ratings: Floats | None = None,
    ) -> Self:
        """Learn from slates (rows in slate order, `groups` int64 sizes).

        labels: bool [n], or [n, t] where the configuration has t tasks. Slates without a positive are left out where
        they have more than one row. held_out: rows of the same form that decide when to stop, else some of the slates
        do. ratings: float32 [n], NaN where there is none.
        """
        from ranking.rankers.neural_training import Lessons, learn, new_network, seeded  # torch: heavy, seldom wanted

        stars = np.full(len(labels), np.nan, np.float32) if ratings is None else ratings
        scaling = Scaling.fit(features, stars, config)
        lessons = Lessons.of(features, labels, groups, stars, scaling, config)
        if held_out is None:
            lessons, judges = lessons.divided(config.held_out, seed=config.seeds[0])
            judges = judges if len(judges.groups) else lessons
        else:
            whole = replace(config, negatives=1.0)
            judges = Lessons.of(*held_out, np.full(len(held_out[1]), np.nan, np.float32), scaling, whole)
        model = cls(config, features.names, scaling, [])
        for seed in config.seeds:
            with seeded(seed, config.threads):
                network = new_network(scaling, config, lessons.labels.numpy())
                model.history.append(learn(network, lessons, judges, config, seed))
            model.networks.append(network)
        return model

    def score(self, features: FeatureMatrix, groups: Groups) -> Floats:
        """The tasks' logits in their weights' sum, float32 [n]: comparable within a slate, and between slates too."""
        weights = np.array(list(self.config.tasks.values()), np.float32)
        return self.logits(features, groups)[:, : len(weights)] @ weights

    def ratings(self, features: FeatureMatrix, groups: Groups) -> Floats:
        """The ratings to be expected, float32 [n]; the mean of all where none were learned from."""
        mean, deviation = self.scaling.rating
        if not self.config.ratings:
            return np.full(len(features), mean, np.float32)
        return self.logits(features, groups)[:, -1] * np.float32(deviation) + np.float32(mean)

    def logits(self, features: FeatureMatrix, groups: Groups) -> Floats:
        """A column a task, behind them the standardised rating if it is learned, float32 [n, t]; mean over seeds."""
        import torch  # heavy, as above

        numbers, codes = self.scaling.inputs(features, groups, self.config)
        found = np.zeros((len(numbers), len(self.config.tasks) + bool(self.config.ratings)), np.float32)
        with torch.inference_mode():
            for start in range(0, len(numbers), AT_ONCE):
                rows = slice(start, start + AT_ONCE)
                told = torch.from_numpy(numbers[rows]), torch.from_numpy(codes[rows])
                for network in self.networks:
                    found[rows] += network(*told).numpy() / len(self.networks)
        return found

    def save(self, folder: Path) -> None:
        """Write the networks as safetensors and the rest as JSON."""
        scaling = self.scaling
        state = NeuralState(self.config, self.names, scaling.numbers, scaling.sizes, scaling.rating)
        save_as(folder / "neural.json", state, NeuralState)
        arrays: Arrays = {"mean": scaling.mean, "deviation": scaling.deviation, "missing": scaling.missing}
        for place, network in enumerate(self.networks):
            arrays |= {f"{place}.{name}": value.numpy() for name, value in network.state_dict().items()}
        save_arrays(folder / "neural.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        import torch  # heavy, as above

        from ranking.rankers.neural_training import new_network

        state = load_as(folder / "neural.json", NeuralState)
        path = folder / "neural.safetensors"
        arrays = load_arrays(path)
        try:
            mean, deviation = (arrays[name].astype(np.float32) for name in ("mean", "deviation"))
            missing = arrays["missing"].astype(bool)
            scaling = Scaling(state.numbers, mean, deviation, missing, state.sizes, state.rating)
            model = cls(state.config, state.names, scaling, [])
            for place in range(len(state.config.seeds)):
                network = new_network(scaling, state.config, np.zeros((0, len(state.config.tasks)), np.float32))
                mine = {name: torch.from_numpy(arrays[f"{place}.{name}"].copy()) for name in network.state_dict()}
                network.load_state_dict(mine)
                model.networks.append(network)
        except (KeyError, RuntimeError) as error:
            raise ArtifactError(f"{path}: not the arrays of a neural ranker ({error}); build it again") from error
        return model
