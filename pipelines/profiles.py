"""What a release remembers of its vectors, so that the next one's can be held against them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo.schema import Modality
from pipelines.home import RECIPE_VERSION
from pipelines.workspace import Workspace
from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.errors import ArtifactError
from ranking.representation.embedding_store import ENCODER_ID, vectors_of
from ranking.representation.sources import content_hash
from ranking.serving.releases import Release, Releases
from validation.drift import Profile
from validation.vector_statistics import Floats

ALIGNED: Final = "item_vectors"
_ARRAYS, _MAKERS = "profiles.safetensors", "profiles.json"


def save_profiles(workspace: Workspace, aligned: Floats, place: Path) -> None:
    """Write the profiles of all tables of item vectors into a release's new folder; aligned: float32 [n, d]."""
    found = {ALIGNED: Profile.of(aligned[aligned.any(axis=1)], alignment_id(workspace))}
    for modality in Modality:
        table = workspace.home.read(f"{modality}_embeddings")
        if len(table):
            found[f"{modality}_embeddings"] = Profile.of(vectors_of(table), maker(table))
    save_arrays(place / _ARRAYS, {name: profile.values for name, profile in found.items()})
    makers = {name: (profile.made_by, profile.dimension) for name, profile in found.items()}
    save_as(place / _MAKERS, makers, dict[str, tuple[str, int]])


def alignment_id(workspace: Workspace) -> str:
    """Names the aligned space by all that it is made by but the events: its recipe and the encoders."""
    tables = (workspace.home.read(f"{modality}_embeddings") for modality in Modality)
    parts = [str(RECIPE_VERSION), repr(workspace.alignment), *(maker(table) for table in tables if len(table))]
    return f"alignment {content_hash(json.dumps(parts).encode())[:12]}"


def maker(embeddings: pa.Table) -> str:
    """The encoder of a table of embeddings that has rows."""
    return str(embeddings[ENCODER_ID][0].as_py())


def profile_before(
    workspace: Workspace, table: str, *, dimension: int, made_by: str, count: int
) -> tuple[Profile | None, str]:
    """The current release's profile of a table, or None and why there is nothing to compare with."""
    release = _current(workspace)
    if release is None:
        return None, "drift: not checked, as there is no release yet to compare with"
    profile = _load(release).get(table)
    if profile is None:
        return None, f"drift: not checked, as release {release.id} remembers no vectors of {table}"
    reason = profile.incomparable(dimension, made_by, count)
    if reason is not None:
        return None, f"drift against release {release.id}: not checked: {reason}"
    return profile, f"drift: against release {release.id}"


def _current(workspace: Workspace) -> Release | None:
    releases = Releases.of(workspace.settings)
    try:
        return None if releases.current_id() is None else releases.current()
    except ArtifactError:  # damaged: the run makes a new one
        return None


def _load(release: Release) -> Mapping[str, Profile]:
    """Profiles by table; none of a release that was published before they were kept, or whose file is damaged."""
    try:
        makers = load_as(release.folder / _MAKERS, dict[str, tuple[str, int]])
        arrays = load_arrays(release.folder / _ARRAYS)
    except ArtifactError:
        return {}
    known = {name: np.asarray(values, np.float64) for name, values in arrays.items() if name in makers}
    return {name: Profile(*makers[name], values) for name, values in known.items()}
