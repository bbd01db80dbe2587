"""A user's own dataset folder: `dataset.toml`, the tables items, events and perhaps users, and media files."""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from feature_repo.rejected import Rejected
from feature_repo.schema import EventKind, Modality
from pipelines.datasets.checks import REQUIRED, WANTED, check_dataset, sieves
from pipelines.datasets.columns import conform
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.files import find_files, infer_attributes, read_file
from pipelines.datasets.sieve import Sieve
from pipelines.datasets.vectors import read_vectors
from pipelines.errors import DatasetError

DESCRIPTION_FILE: Final = "dataset.toml"
EXAMPLE: Final = 'name = "shop" and, for each kind of event, a table such as [kinds.purchase] with weight = 1.0'

Finite = Annotated[float, Field(allow_inf_nan=False)]


class KindDescription(BaseModel):
    """One `[kinds.NAME]` table; see `EventKind`. A kind of weight 0 is an exposure and never positive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: Finite = Field(default=1.0, ge=0)
    positive: bool | None = Field(default=None, description="says that the user liked the item; if unset, weight > 0")
    positive_from: Finite | None = None

    @model_validator(mode="after")
    def _exposure_says_nothing(self) -> "KindDescription":
        if self.weight == 0 and (self.positive or self.positive_from is not None):
            raise ValueError("a kind of weight 0 is an exposure and cannot be positive")
        return self

    def named(self, name: str) -> EventKind:
        """The kind itself."""
        positive = self.weight > 0 if self.positive is None else self.positive
        return EventKind(name, self.weight, positive, self.positive_from)


class DatasetDescription(BaseModel):
    """What `dataset.toml` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=100)
    kinds: dict[str, KindDescription]
    vectors: dict[Modality, str] = Field(default={}, description="path of the items' vectors, by modality")

    @model_validator(mode="after")
    def _something_is_liked(self) -> "DatasetDescription":
        if not any(kind.positive for kind in self.event_kinds()):
            raise ValueError("at least one kind must be positive, or there is nothing to learn")
        return self

    def event_kinds(self) -> tuple[EventKind, ...]:
        """The kinds in their order."""
        return tuple(kind.named(name) for name, kind in self.kinds.items())


def read_tables(folder: Path, *, now: datetime) -> Dataset:
    """The dataset in `folder`; rows that break a rule are left out and counted.

    Raises:
        DatasetError: the folder, its description, a file or a column cannot be used, or no good row is left.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; accepted: a folder with {DESCRIPTION_FILE}, items and events")
    description = read_description(folder / DESCRIPTION_FILE)
    rejected = Rejected()
    sieve = sieves(rejected)
    return check_dataset(
        description.name,
        items=_read_table(folder, "items", sieve["items"]),
        users=_read_table(folder, "users", sieve["users"]) if find_files(folder, "users") else None,
        events=_read_table(folder, "events", sieve["events"]),
        kinds=description.event_kinds(),
        media_root=folder,
        now=now,
        rejected=rejected,
        vectors={
            modality: read_vectors(folder, path, sieve[f"{modality}_vectors"])
            for modality, path in description.vectors.items()
        },
    )


def read_description(path: Path) -> DatasetDescription:
    """The checked `dataset.toml`."""
    try:
        return DatasetDescription.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; accepted: {EXAMPLE}; add it") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DatasetError(f"{path}: not readable as TOML: {error}; accepted: {EXAMPLE}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        given = "" if isinstance(first["input"], dict) else f" {first['input']!r}"
        fields = (
            f"name, [kinds.NAME] with {', '.join(KindDescription.model_fields)}, [vectors] with {', '.join(Modality)}"
        )
        raise DatasetError(f"{path}: {key}{given}: {first['msg']}; accepted: {fields}; mend it") from error


def _read_table(folder: Path, name: str, sieve: Sieve) -> pa.Table:
    files = find_files(folder, name)
    if not files:
        raise DatasetError(f"{folder}: no {name}; accepted: {name}.parquet, {name}.csv or a folder {name}/; add it")
    parts = {str(path.relative_to(folder)): read_file(path, sieve, root=folder) for path in files}
    table = conform(parts, WANTED[name], required=REQUIRED[name], sieve=sieve)
    typed_by_hand = all(path.suffix == ".csv" for path in files)
    return infer_attributes(table, known=[*WANTED[name].names]) if typed_by_hand else table
