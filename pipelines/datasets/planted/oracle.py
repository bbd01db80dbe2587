"""The planted world's truth as a ranking: the ceiling that no model can pass."""

from pathlib import Path

import numpy as np

from pipelines.datasets.open import SYNTHETIC
from pipelines.datasets.planted.truth import FILE, Truth
from ranking.candidates.full_ranking import unseen
from ranking.candidates.generator import top_k
from ranking.evaluation.rows import TOP
from ranking.types import Codes, Floats, Interactions, Queries


def planted_truth(dataset: str, home: Path) -> Truth | None:
    """The truth behind a dataset, None for one that nobody planted."""
    folder = home / "datasets" / SYNTHETIC if dataset == SYNTHETIC else Path(dataset)
    return Truth.load(folder) if (folder / f"{FILE}.json").is_file() else None


def rank_by_truth(truth: Truth, queries: Queries, log: Interactions) -> tuple[Codes, Floats]:
    """What each query's user most wants at that moment and there, out of what is unseen: items and log chances."""
    scores = truth.score(log.users.take(queries.user), queries.at, list(queries.device), list(queries.place))
    columns = truth.items.codes(log.items.ids)
    return top_k(unseen(np.ascontiguousarray(scores[:, columns]), queries), min(TOP, queries.n_items))
