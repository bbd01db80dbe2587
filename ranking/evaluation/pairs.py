"""The neural fusion model as the classifier that it is: loss and accuracy on pairs that came after training."""

from typing import Final

import numpy as np

from ranking.candidates.fusion import Fusion
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import Values, auc, calibration_error, logloss, reliability
from ranking.splits import Split
from ranking.types import Bools

THRESHOLD: Final = 0.5


def measure_pairs(warehouse: Warehouse, division: Split, model: Fusion, *, seed: int = 0) -> None:
    """Store the fitted model's test loss (logloss), accuracy, AUC and calibration error; nothing without a pair."""
    chances, observed = later_pairs(division, model, seed=seed)
    if not len(observed):
        return
    found = {
        "rows": float(len(observed)),
        "rate": float(observed.mean()),
        "auc": auc(chances, observed),
        "logloss": logloss(chances, observed),
        "ece": calibration_error(chances, observed),
        "accuracy": accuracy(chances, observed),
    }
    warehouse.write_points(division, model.name, found, reliability(chances, observed))


def later_pairs(division: Split, model: Fusion, *, seed: int = 0) -> tuple[Values, Bools]:
    """Probabilities and labels [n]: what was relevant, and for each as many unobserved pairs as in training.

    They are drawn evenly from the items that the user neither had nor took. Items without a training event are in
    neither part: the model has learned nothing of them.
    """
    queries = division.queries
    logits, wanted = model.score(queries), division.relevant.toarray()
    offered = np.isfinite(logits)
    row, item = np.nonzero(wanted & offered)
    met = wanted | ~offered
    met[queries.row, queries.item] = True
    rng = np.random.default_rng(seed)
    others = np.repeat(row, model.config.negatives)
    drawn = rng.integers(queries.n_items, size=len(others))
    unmet = ~met[others, drawn]
    pairs = np.concatenate([row, others[unmet]]), np.concatenate([item, drawn[unmet]])
    return 1 / (1 + np.exp(-logits[pairs].astype(np.float64))), np.arange(len(pairs[0])) < len(row)


def accuracy(predicted: Values, observed: Bools) -> float:
    """Share of the rows whose probability lies on the side of one half that came to be.

    >>> accuracy(np.array([0.9, 0.4, 0.2, 0.6]), np.array([True, True, False, False]))
    0.5
    """
    return float(np.mean((predicted >= THRESHOLD) == observed))
