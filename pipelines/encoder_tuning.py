"""The command `trichord tune encoder`: an encoder adapted to a home's items and likes."""

import numpy as np

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from pipelines.alignment_tuning import common_train
from pipelines.assets.embeddings import embedding_store, quickened
from pipelines.errors import HomeError
from pipelines.home import Json
from pipelines.workspace import Workspace
from ranking.representation.behaviour import positives
from ranking.representation.chosen import image_encoder, text_encoder
from ranking.representation.embed import contents_of, embed
from ranking.representation.embedding_store import CONTENT_HASH, vectors_of
from ranking.representation.encoder import Decoded, NetworkEncoder
from ranking.representation.inputs import Inputs
from ranking.representation.tuning import Material, TuningResult, mean, tune
from ranking.representation.tuning_config import TuningConfig


def tune_encoder(workspace: Workspace, modality: str, config: TuningConfig) -> TuningResult:
    """Tune a home's chosen encoder without its adapter, holding the home; the adapter lies under `adapters` there.

    Raises `HomeError` for a home without vectors or with given ones, `TuningError` and `EncoderError` with what can be
    done.
    """
    plain = workspace.settings.encoders.model_copy(update={"text_adapter": None, "image_adapter": None})
    _ = workspace.content  # a home that has none is not touched
    if workspace.given_vectors(Modality(modality)) is not None:
        raise HomeError(
            f"dataset {workspace.dataset_name}: brings its own {modality} vectors, so no {modality} encoder is used; "
            "tune another modality, or leave these vectors out of the dataset"
        )
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
    store, media_root = embedding_store(workspace), workspace.dataset.media_root
    table = embed(
        workspace.items,
        quickened(workspace, encoder),
        store,
        media_root=media_root,
        rejected=Rejected(),
        progress=workspace.progress(f"tune {encoder.modality}: encoding"),
    ).table
    hash_of = dict(zip(table[schema.ITEM_ID].to_pylist(), table[CONTENT_HASH].to_pylist(), strict=True))
    contents = {
        one.item_id: one
        for one in contents_of(workspace.items, encoder, store, media_root=media_root)
        if hash_of.get(one.item_id) == one.content_hash
    }
    content = workspace.content
    ids = [item_id for item_id in content.items.ids if item_id in contents]
    codes = content.items.codes(ids)
    places = {item_id: place for place, item_id in enumerate(table[schema.ITEM_ID].to_pylist())}
    inputs = Inputs.fit(content, np.ones(len(content.items), bool)).of(content)
    others = {name: one.rows(codes) for name, one in inputs.items() if name in {*Modality} - {encoder.modality}}
    liked = positives(common_train(workspace.interactions))[:, codes]
    vectors = vectors_of(table)[[places[item_id] for item_id in ids]]
    return Material([contents[item_id] for item_id in ids], vectors, others, liked)


def tuning_report(result: TuningResult) -> dict[str, Json]:
    """A result as JSON."""
    return {
        "held_out": result.held_out,
        "recall@10": {"before": result.before, "after": result.after, "standard_error": result.standard_error},
        "best_step": result.best_step,
        "recalls": [{"step": step, **found} for step, found in result.recalls],
        "adapter": None if result.folder is None else str(result.folder.resolve()),
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
        f'To use it, set in trichord.toml under [encoders]: {modality}_adapter = "{result.folder.resolve()}"',
        "and run `trichord run`; compare with `trichord evaluate` before you promote the release.",
    ]
