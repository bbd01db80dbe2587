"""One protocol's evaluation: tuned baselines, the hybrid with several seeds, and the hybrid without each part."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo.schema import Modality
from ranking.candidates.content import ContentKnn
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.fusion import Fusion
from ranking.candidates.generator import Generator
from ranking.candidates.threads import two_at_once
from ranking.evaluation.pairs import measure_pairs
from ranking.evaluation.points import measure_points
from ranking.evaluation.ratings import measure_ratings
from ranking.evaluation.report_types import HYBRID, REPLICATE, WITHOUT
from ranking.evaluation.rows import TOP
from ranking.evaluation.seeds import SEEDS, reseeded
from ranking.evaluation.variants import Variant, answers_of
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.features import Part
from ranking.rankers.slates import Slates
from ranking.representation.content import ItemContent
from ranking.splits import Split
from ranking.strategy.fit import Window, fit_ranker, fit_routes, slates_of, vocabulary_of
from ranking.strategy.hybrid import HybridConfig
from ranking.strategy.routes import Routes
from ranking.strategy.tuned import TunedModels
from ranking.types import Codes, Floats

ABLATED: Final = (Part.BEHAVIOUR, Part.CONTEXT)  # by leaving columns out; modalities by placing items without them


def measure_baselines(warehouse: Warehouse, division: Split, tuned: TunedModels, content: ItemContent) -> None:
    """Fit each tuned single model on the training part, rank the whole catalogue and store it."""
    by_content = content_knn(content)
    models: dict[str, Generator] = {**tuned.baselines(), ContentKnn.name: by_content}

    def answered(model: Generator) -> tuple[Codes, Floats, float]:
        started = time.perf_counter()
        model.fit(division.train)
        fit_s = time.perf_counter() - started
        return *full_ranking(model, division.queries, k=TOP), fit_s

    for (name, model), (items, scores, fit_s) in zip(
        models.items(), two_at_once(answered, models.values()), strict=True
    ):
        chosen_by, vectors = tuned.validation_ndcg.get(name), by_content.space.vectors
        warehouse.write_rankings(division, name, items, scores, fit_s=fit_s, validation_ndcg=chosen_by, vectors=vectors)
        if isinstance(model, Fusion):
            measure_pairs(warehouse, division, model)


def content_knn(content: ItemContent) -> ContentKnn:
    """The content-only baseline: each modality centred and at length 1, side by side."""
    vectors, present = [], np.zeros(len(content.items), bool)
    for modality, raw in content.vectors.items():
        there = content.present[modality]
        if there.any():
            vectors.append(ContentKnn.of(raw, there).space.vectors)
            present |= there
    together: Floats = np.hstack(vectors) if vectors else np.zeros((len(content.items), 1), np.float32)
    return ContentKnn.of(together, present)


def measure_hybrid(
    warehouse: Warehouse,
    windows: Sequence[Window],
    content: ItemContent,
    users: pa.Table,
    config: HybridConfig,
    *,
    modalities: Sequence[Modality],
    first: Window | None = None,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Routes:
    """Learn from all windows but the first, rank the first, store it; then with other seeds; then without each part.

    first: the slates that a ranker of short histories learns from (`newcomers`). seeds: of the ranker (`reseeded`); the
    first makes the hybrid, from which parts are taken, the others replicates. Gives who was trusted with what.

    An ablation keeps the candidates and takes away what the ranker knows: `behaviour` all collaborative scores and
    behavioural features, `context` the request's surroundings, a modality its part of every item's place. They are
    the ranker's alone, as `routes` is: the hybrid without a ranker of short histories, gate and rule.
    """
    asked, *past = windows
    vocabulary = vocabulary_of(past)
    full = slates_of(windows, content, users, vocabulary)
    warehouse.write_candidates(asked.division, full[0].candidates.item)
    warehouse.write_reach(asked.division, asked.reach)
    vectors = content_knn(content).space.vectors
    earlier = fit_ranker(full[2:], [window.division for window in past[1:]], config.ranker) if past[1:] else None
    newcomer = None if first is None else (first.slates(content, users, vocabulary), first.division)
    routes = fit_routes(full[1:], [window.division for window in past], newcomer, config, earlier=earlier)
    learned = None if earlier is None else earlier.trees
    divided = [window.division for window in windows]
    measure_points(warehouse, divided, full, config.ranker.trees, trees=learned)
    measure_ratings(warehouse, divided, content=asked.alignment.item_vectors(content))

    def without(part: Part) -> list[Slates]:
        return [replace(one, features=one.features.without(part)) for one in full]

    def blind(modality: Modality) -> list[Slates]:
        return [one.blind(slates, content, modality) for one, slates in zip(windows, full, strict=True)]

    served = reseeded(config.ranker, seeds[0])
    variants = [
        Variant(HYBRID, served, lambda: full, led=True),
        *(Variant(f"{REPLICATE}{one}", reseeded(config.ranker, one), lambda: full, led=True) for one in seeds[1:]),
        *(Variant(f"{WITHOUT}{part}", served, partial(without, part)) for part in ABLATED),
        *(Variant(f"{WITHOUT}{one}", served, partial(blind, one)) for one in modalities),
    ]
    answered = two_at_once(lambda one: answers_of(one, windows, routes), variants)
    for done in range(len(variants)):
        progress(done, len(variants))
        for one in next(answered):
            warehouse.write_rankings(asked.division, one.model, one.items, one.scores, fit_s=one.fit_s, vectors=vectors)
    return routes
