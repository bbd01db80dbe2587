"""The command `trichord tune encoder`: an encoder adapted to a home's items and likes."""

from functools import reduce
from pathlib import Path

import numpy as np
from scipy import sparse

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from pipelines.assets.embeddings import embedding_store, quickened
from pipelines.assets.models import WINDOWS
from pipelines.home import Json
from pipelines.workspace import Workspace
from ranking.representation import sources
from ranking.representation.behaviour import positives
from ranking.representation.chosen import image_encoder, text_encoder
from ranking.representation.embed import embed
from ranking.representation.embedding_store import CONTENT_HASH, vectors_of
from ranking.representation.encoder import Decoded, NetworkEncoder
from ranking.representation.inputs import Inputs
from ranking.representation.sources import Content
from ranking.representation.tuned import AdapterKind
from ranking.representation.tuning import Material, TuningConfig, TuningResult, mean, tune
from ranking.splits import Protocol
from ranking.strategy.fit import divisions
from ranking.types import Interactions


def tune_encoder(
    workspace: Workspace,
    modality: str,
    *,
    kind: AdapterKind,
    rank: int,
    steps: int,
    rate: float | None,
    seed: int,
) -> TuningResult:
    """Tune a home's chosen encoder without its adapter, holding the home; the adapter lies under `adapters` there.

    Raises `TuningError` and `EncoderError` with what can be done.
    """
    defaults = TuningConfig()
    config = TuningConfig(
        kind=kind, rank=rank, steps=steps, seed=seed, learning_rate=defaults.learning_rate if rate is None else rate
    )
    plain = workspace.settings.encoders.model_copy(update={"text_adapter": None, "image_adapter": None})
    with workspace.home.lock():
        if modality == Modality.TEXT:
            return _tune(workspace, text_encoder(plain), config)
        return _tune(workspace, image_encoder(plain), config)


def _tune(workspace: Workspace, encoder: NetworkEncoder[Decoded], config: TuningConfig) -> TuningResult:
    return tune(
        encoder,
        material(workspace, encoder),
        workspace.settings.adapters,
        config=config,
        progress=lambda what, done, total: workspace.listener.step(f"tune {encoder.modality}: {what}", done, total),
    )


def material(workspace: Workspace, encoder: NetworkEncoder[Decoded]) -> Material:
    """What a home has to learn from: items with the modality, their vectors without adapter, and early likes."""
    store = embedding_store(workspace)
    table = embed(
        workspace.items,
        quickened(workspace, encoder),
        store,
        media_root=workspace.dataset.media_root,
        rejected=Rejected(),
        progress=workspace.progress(f"tune {encoder.modality}: encoding"),
    ).table
    hash_of = dict(zip(table[schema.ITEM_ID].to_pylist(), table[CONTENT_HASH].to_pylist(), strict=True))
    contents = {
        one.item_id: one
        for one in _contents(workspace, encoder.modality, store.folder)
        if hash_of.get(one.item_id) == one.content_hash
    }
    content = workspace.content
    ids = [item_id for item_id in content.items.ids if item_id in contents]
    codes = content.items.codes(ids)
    places = {item_id: place for place, item_id in enumerate(table[schema.ITEM_ID].to_pylist())}
    inputs = Inputs.fit(content, np.ones(len(content.items), bool)).of(content)
    others = {name: one.rows(codes) for name, one in inputs.items() if name in {*Modality} - {encoder.modality}}
    liked = early_likes(workspace.interactions)[:, codes]
    vectors = vectors_of(table)[[places[item_id] for item_id in ids]]
    return Material([contents[item_id] for item_id in ids], vectors, others, liked)


def early_likes(log: Interactions) -> sparse.csr_matrix:
    """Users x items, 1 where liked before the earliest window of every protocol: no evaluation may know its future.

    Of a log without anything to be evaluated everything is taken.
    """
    divided = [divisions(log, protocol, WINDOWS) for protocol in Protocol]
    parts = [positives(found[-1].train) for found in divided if found]
    return reduce(lambda one, other: one.minimum(other).tocsr(), parts) if parts else positives(log)


def _contents(workspace: Workspace, modality: Modality, folder: Path) -> list[Content]:
    if modality is Modality.TEXT:
        return list(sources.texts(workspace.items))
    hashes = folder / modality / "file_hashes.parquet"
    root = workspace.dataset.media_root
    return list(
        sources.files(workspace.items, modality, media_root=root, hashes=hashes, reject=lambda item_id, error: None)
    )


def tuning_report(result: TuningResult) -> dict[str, Json]:
    """A result as JSON."""
    return {
        "held_out": result.held_out,
        "recall@10": {"before": result.before, "after": result.after},
        "best_step": result.best_step,
        "recalls": [{"step": step, **found} for step, found in result.recalls],
        "adapter": None if result.folder is None else str(result.folder),
    }


def tuning_lines(modality: str, result: TuningResult) -> list[str]:
    """What a person is told."""
    names = " and ".join(result.recalls[0][1])
    found = (
        f"recall@10 of {names} among {result.held_out} held-out items: {result.before:.3f} before "
        f"(standard error {result.standard_error:.3f})"
    )
    if result.folder is None:
        best = max(mean(one) for _, one in result.recalls)
        return [f"{found}, {best:.3f} at best: no gain beyond chance, so no adapter was written"]
    return [
        f"{found}, {result.after:.3f} after {result.best_step} steps",
        f'To use it, set in trichord.toml under [encoders]: {modality}_adapter = "{result.folder}"',
        "and run `trichord run`; compare with `trichord evaluate` before you promote the release.",
    ]
