"""One protocol's evaluation: tuned baselines, the hybrid, and the hybrid without each of its parts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo.schema import Modality
from ranking.candidates.content import ContentKnn
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.fusion import Fusion
from ranking.candidates.generator import Generator
from ranking.evaluation.pairs import measure_pairs
from ranking.evaluation.points import measure_points
from ranking.evaluation.rows import TOP
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.blend import BlendConfig
from ranking.rankers.features import Part
from ranking.rankers.slates import Slates
from ranking.splits import Split
from ranking.strategy.fit import Window, fit_ranker, vocabulary_of
from ranking.strategy.hybrid import rank
from ranking.strategy.tuned import TunedModels
from ranking.types import Floats, ItemContent

HYBRID: Final = "hybrid"
ABLATED: Final = (Part.BEHAVIOUR, Part.CONTEXT)  # by leaving columns out; modalities by placing items without them


def measure_baselines(warehouse: Warehouse, division: Split, tuned: TunedModels, content: ItemContent) -> None:
    """Fit each tuned single model on the training part, rank the whole catalogue and store it."""
    models: dict[str, Generator] = {**tuned.baselines(), ContentKnn.name: content_knn(content)}
    for name, model in models.items():
        started = time.perf_counter()
        model.fit(division.train)
        fit_s = time.perf_counter() - started
        warehouse.write_rankings(division, name, *full_ranking(model, division.queries, k=TOP), fit_s=fit_s)
        if isinstance(model, Fusion):
            measure_pairs(warehouse, division, model)


def content_knn(content: ItemContent) -> ContentKnn:
    """The content-only baseline: each modality centred and at length 1, side by side."""
    vectors, present = [], np.zeros(len(content.items), bool)
    for modality, raw in content.vectors.items():
        there = content.present[modality]
        if there.any():
            vectors.append(ContentKnn.of(raw, there).vectors)
            present |= there
    together: Floats = np.hstack(vectors) if vectors else np.zeros((len(content.items), 1), np.float32)
    return ContentKnn.of(together, present)


def measure_hybrid(
    warehouse: Warehouse,
    windows: Sequence[Window],
    content: ItemContent,
    users: pa.Table,
    config: BlendConfig,
    *,
    modalities: Sequence[Modality],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Learn from all windows but the first, rank the first, store it; then the same without each part.

    An ablation keeps the candidates and takes away what the ranker knows: `behaviour` all collaborative scores and
    behavioural features, `context` the request's surroundings, a modality its part of every item's place.
    """
    asked, *past = windows
    vocabulary = vocabulary_of(past)
    full = [window.slates(content, users, vocabulary) for window in windows]
    warehouse.write_candidates(asked.division, full[0].candidates.item)
    steps = 1 + len(ABLATED) + len(modalities)
    progress(0, steps)
    _measure(warehouse, windows, HYBRID, full, config)
    measure_points(warehouse, [window.division for window in windows], full, config.trees)
    for done, part in enumerate(ABLATED, 1):
        progress(done, steps)
        _measure(warehouse, windows, f"{HYBRID}-{part}", [_without(one, part) for one in full], config)
    for done, modality in enumerate(modalities, 1 + len(ABLATED)):
        progress(done, steps)
        reduced = [
            _without(window.slates(content, users, vocabulary, without=modality), Part(modality.value))
            for window in windows
        ]
        _measure(warehouse, windows, f"{HYBRID}-{modality}", reduced, config)


def _measure(
    warehouse: Warehouse, windows: Sequence[Window], name: str, slates: Sequence[Slates], config: BlendConfig
) -> None:
    divided = [window.division for window in windows]
    started = time.perf_counter()
    ranker = fit_ranker(slates[1:], divided[1:], config)
    fit_s = time.perf_counter() - started
    ranked = rank(slates[0], divided[0].queries, ranker, k=slates[0].candidates.item.shape[1])
    warehouse.write_rankings(divided[0], name, ranked.item, ranked.score, fit_s=fit_s)


def _without(slates: Slates, part: Part) -> Slates:
    return replace(slates, features=slates.features.without(part))
