"""What each column adds to a network's score: gradients along the way from other rows (integrated gradients)."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ranking.rankers.cross_network import CrossNetwork
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.neural import Neural

STEPS: Final = 8  # points on the way, of a Gauss-Legendre rule


def contributions(
    model: Neural, slate: FeatureMatrix, rows: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """What each column adds to the scores of some rows of one slate, float64 [rows, f], columns as `model.names`.

    A row sums to its score less the mean score of the reference rows: from each of these the gradient is followed
    along the straight line (Sundararajan et al. 2017), and the mean is taken (Erion et al. 2021). What the rule of
    `STEPS` points leaves unexplained, of a network with kinks, is spread over the columns in proportion to their size.
    """
    numbers, codes = model.scaling.inputs(slate, np.array([len(slate)]), model.config)
    column = {name: place for place, name in enumerate(model.names)}
    of_numbers, of_codes = model.scaling.column_of(model.config)
    place = np.array([column[name] for name in [*of_numbers, *of_codes]], np.int64)
    weights = torch.tensor(list(model.config.tasks.values()))
    added = np.zeros((len(rows), len(model.names)))
    for network in model.networks:
        with torch.no_grad():
            inputs = torch.cat([torch.from_numpy(numbers), network.embed(torch.from_numpy(codes))], dim=1)
        parts = _of_network(network, inputs, rows, reference, numbers.shape[1], weights)
        for row, part in enumerate(parts):
            added[row] += np.bincount(place, part, minlength=len(model.names)) / len(model.networks)
    scores = model.score(slate, np.array([len(slate)])).astype(np.float64)
    missing = scores[rows] - scores[reference].mean() - added.sum(axis=1)
    size = np.abs(added) + 1e-12
    return np.asarray(added + size * (missing / size.sum(axis=1))[:, None])


def _of_network(
    network: CrossNetwork,
    inputs: Tensor,
    rows: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    numbers: int,
    weights: Tensor,
) -> npt.NDArray[np.float64]:
    """Of each input, float64 [rows, inputs]; inputs: float32 [n, inputs], of which so many are numbers."""
    points, shares = np.polynomial.legendre.leggauss(STEPS)
    added = np.zeros((len(rows), inputs.shape[1]))
    for at, row in enumerate(rows.tolist()):
        way = inputs[row] - inputs[reference]  # [references, inputs]
        for point, share in zip((points + 1) / 2, shares / 2, strict=True):
            here = (inputs[reference] + float(point) * way).requires_grad_(True)
            logits = network.combine(here[:, :numbers], here[:, numbers:])[:, : len(weights)]
            (gradient,) = torch.autograd.grad((logits @ weights).sum(), here)
            added[at] += float(share) * (gradient * way).mean(dim=0).double().numpy()
    return added
