"""What is learned from behaviour: tuned single models, candidates of past moments, the ranker."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np

from pipelines.assets.data import events, users
from pipelines.assets.embeddings import audio_embeddings, image_embeddings, text_embeddings
from pipelines.assets.features import BEHAVIOUR, feature_registry, item_content
from pipelines.assets.materialized import materialized
from pipelines.assets.representation import EMBEDDINGS, vector_index
from pipelines.errors import DatasetError
from pipelines.home import Facts
from pipelines.searched import ranker_of, searched_on, tune_on, winners
from pipelines.windows import (
    COLD_START,
    CONFIG,
    FIRST,
    RESERVED,
    WINDOWS,
    factor_mapping_folder,
    newcomer_division,
    newcomer_window,
    taught_short,
    tuned,
    window_folder,
    windows,
)
from pipelines.workspace import Workspace
from ranking.artifacts import load_as, save_as
from ranking.candidates.cold_start import ColdStartConfig
from ranking.candidates.votes import choose_votes
from ranking.rankers.space import Space
from ranking.representation.alignment import Alignment
from ranking.representation.factor_mapping import FactorMapping
from ranking.splits import Protocol, protocols_of, served_protocol
from ranking.strategy.fit import (
    divisions,
    fit_ranker,
    fit_routes,
    open_window,
    open_windows,
    place_items,
    slates_of,
    vocabulary_of,
)
from ranking.strategy.generators import fit_generators, save_generators
from ranking.strategy.model_search import TRIALS, searched_trials
from ranking.strategy.newcomers import tune_cold_start
from ranking.strategy.tuned import TunedModels
from ranking.types import Interactions

GROUP = "models"


@dg.asset(group_name=GROUP, deps=[events, users])
def tuned_models(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """For each protocol, the best configuration of each single model on a division inside its training part."""
    searched = {protocol: searched_on(workspace, protocol) for protocol in protocols_of(workspace.interactions)}

    def make(folder: Path) -> Facts:
        facts: Facts = {}
        for protocol in protocols_of(workspace.interactions):
            divided = divisions(workspace.interactions, protocol, 2)
            if protocol is served_protocol(workspace.interactions) and len(divided) < 2:
                raise DatasetError(f"dataset {workspace.dataset_name}: {undivided(workspace.interactions)}")
            tuned = TunedModels()
            if len(divided) > 1:
                progress = workspace.progress(f"tuned_models {protocol}")
                tuned = tune_on(workspace, protocol, divided[1], searched[protocol], progress=progress)
            save_as(folder / f"{protocol}.json", tuned, TunedModels)
            facts[protocol.value] = {name: round(ndcg, 4) for name, ndcg in tuned.validation_ndcg.items()}
            facts[f"trials_{protocol}"] = tuned.trials
        return facts

    config: Facts = {"trials": TRIALS, "sequential": workspace.settings.models.sequential}
    for protocol, entrants in searched.items():
        if won := winners(searched_trials(entrants)):
            config[f"searched {protocol}"] = {**won}
    return materialized(workspace.build("tuned_models", make, inputs=["events", "users", "items"], config=config))


@dg.asset(group_name=GROUP, deps=[tuned_models, text_embeddings, image_embeddings, audio_embeddings])
def candidate_sets(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """For each protocol, what the generators would have proposed at past moments, knowing only what was before."""

    def make(folder: Path) -> Facts:
        facts: Facts = {}
        for protocol in protocols_of(workspace.interactions):
            divided = divisions(workspace.interactions, protocol, WINDOWS)
            if not divided:
                continue
            configs = tuned(workspace, protocol).generators()
            # The earliest training part teaches what is learned from content, so that it knows no window's future
            alignment = Alignment.fit(
                workspace.content, divided[-1].train, config=workspace.alignment, views=workspace.content_views()
            )
            mapping = FactorMapping.fit(workspace.content, divided[-1].train)
            mapping.save(factor_mapping_folder(folder, protocol))
            space = place_items(alignment, mapping, workspace.content)
            created_at = workspace.content.created_at
            cold_start = tune_cold_start(configs.cold_start, divided[-1], space=space, created_at=created_at)
            configs = replace(configs, cold_start=cold_start)
            save_as(folder / protocol / COLD_START, cold_start, ColdStartConfig)
            earliest = fit_generators(divided[-1].train, configs, space=space, created_at=created_at)
            asked = divided[-1]
            reserved = choose_votes(
                earliest,
                asked.queries,
                asked.relevant,
                k=CONFIG.candidates,
                created_at=created_at,
                reserved=CONFIG.reserved,
                config=CONFIG.shortlist,
            )
            save_as(folder / protocol / RESERVED, reserved, dict[str, int])
            opened = open_windows(
                divided,
                content=workspace.content,
                alignment=alignment,
                mapping=mapping,
                configs=configs,
                config=replace(CONFIG, reserved=reserved),
                earliest=earliest,
            )
            workspace.listener.step(f"candidate_sets {protocol}", 0, len(divided))
            for number, window in enumerate(opened):
                window.save(window_folder(folder, protocol, number))
                facts[f"{protocol}.{number}"] = len(window.stored)
                workspace.listener.step(f"candidate_sets {protocol}", number + 1, len(divided))
        for protocol in taught_short(workspace.interactions):
            _open_newcomers(workspace, folder, protocol)
        return facts

    inputs = ["tuned_models", *EMBEDDINGS, "events", "users", "items"]
    return materialized(
        workspace.build(
            "candidate_sets",
            make,
            inputs=inputs,
            config={
                "candidates": CONFIG.candidates,
                "reserved": {**CONFIG.reserved},
                "reserved_short": {**CONFIG.reserved_short},
                "newcomers": CONFIG.routes.share,
                "alignment": repr(workspace.alignment),
            },
        )
    )


@dg.asset(group_name=GROUP, deps=[candidate_sets, *BEHAVIOUR, item_content, feature_registry])
def training_set(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The candidates with the feature store's values as of their moment: a point-in-time join by Feast."""

    def make(folder: Path) -> Facts:
        rows = 0
        for protocol in protocols_of(workspace.interactions):
            for number, window in windows(workspace, "candidate_sets", protocol):
                if not number:
                    window.mapping.save(factor_mapping_folder(folder, protocol))
                workspace.listener.step(f"training_set {protocol}", number, WINDOWS)
                joined = window.joined(workspace.store.training_frame)
                joined.save(window_folder(folder, protocol, number))
                rows += len(joined.stored)
        for protocol in taught_short(workspace.interactions):
            if first := newcomer_window(workspace, "candidate_sets", protocol):
                joined = first.joined(workspace.store.training_frame)
                joined.save(window_folder(folder, protocol, FIRST))
                rows += len(joined.stored)
        return {"rows": rows, "features": len(workspace.store.feature_columns("ranking_v1"))}

    inputs = ["candidate_sets", *BEHAVIOUR, "item_content", "feature_registry"]
    return materialized(workspace.build("training_set", make, inputs=inputs))


@dg.asset(group_name=GROUP, deps=[training_set])
def lambdarank_model(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The served ranker: trees that learn from the latest windows which candidates were chosen."""
    config = replace(CONFIG, ranker=ranker_of(workspace, served_protocol(workspace.interactions), CONFIG.ranker))

    def make(folder: Path) -> Facts:
        served = served_protocol(workspace.interactions)
        past = [window for _, window in windows(workspace, "training_set", served)][: CONFIG.windows]
        vocabulary = vocabulary_of(past)
        slates = slates_of(past, workspace.content, workspace.home.read("users"), vocabulary)
        divided = [window.division for window in past]
        ranker = fit_ranker(slates, divided, config.ranker)
        ranker.save(folder)
        first = newcomer_window(workspace, "training_set", served)
        short = None
        if first is not None:
            short = (first.slates(workspace.content, workspace.home.read("users"), vocabulary), first.division)
        fit_routes(slates, divided, short, config).save(folder)
        save_as(folder / "vocabulary.json", vocabulary, dict[str, tuple[str, ...]])
        return {"slates": sum(len(one.groups) for one in slates), "features": len(ranker.names)}

    return materialized(
        workspace.build("lambdarank_model", make, inputs=["training_set"], config={"hybrid": repr(config)})
    )


@dg.asset(group_name=GROUP, deps=[candidate_sets, vector_index])
def collaborative_models(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The served generators, fitted on everything that happened."""

    def make(folder: Path) -> Facts:
        space = Space.load(workspace.home.folder("vector_index"))
        served = served_protocol(workspace.interactions)
        cold_start = load_as(workspace.home.folder("candidate_sets") / served / COLD_START, ColdStartConfig)
        configs = replace(tuned(workspace, served).generators(), cold_start=cold_start)
        log, created_at = workspace.interactions, workspace.content.created_at
        generators = fit_generators(log, configs, space=space, created_at=created_at)
        save_generators(generators, folder)
        return {"interactions": len(log), "generators": ", ".join(one.name for one in generators)}

    return materialized(
        workspace.build(
            "collaborative_models",
            make,
            inputs=["tuned_models", "candidate_sets", "vector_index", "events", "users"],
        )
    )


def undivided(log: Interactions) -> str:
    """Why a log cannot be divided in time twice, and what to do."""
    found, needed = f"its {len(log):,} interactions", "needed are users with at least 10 events, some of them positive"
    if not log.positive.any():
        return f"none of {found} is of a positive kind, so nobody's wish can be found; {needed}: add positive events"
    if len(np.unique(log.item)) < 2:
        return f"all of {found} are with one item, so there is never another one to be found; {needed}: add items"
    return f"{found} are too few to be divided in time twice; {needed}: add events"


def _open_newcomers(workspace: Workspace, folder: Path, protocol: Protocol) -> None:
    """Candidates for the newcomers of P1's training part: an earlier one, which its alignment knows, lacks them."""
    division = newcomer_division(workspace)
    inner = folder / Protocol.P1 / "0"
    if division is None or not inner.is_dir():
        return
    cold_start = load_as(folder / protocol / COLD_START, ColdStartConfig)
    window = open_window(
        division,
        content=workspace.content,
        alignment=Alignment.load(inner),
        mapping=FactorMapping.load(factor_mapping_folder(folder, Protocol.P1)),
        configs=replace(tuned(workspace, protocol).generators(), cold_start=cold_start),
        config=replace(CONFIG, reserved=load_as(folder / protocol / RESERVED, dict[str, int])),
    )
    window.save(window_folder(folder, protocol, FIRST))
