"""What a release holds for serving: the hybrid, and the items as they were known to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import schema
from ranking.errors import ArtifactError, UnknownEntityError
from ranking.serving.releases import Release
from ranking.strategy.hybrid import Hybrid
from ranking.types import UNKNOWN, Bools, IdIndex

ITEMS: Final = "items.parquet"
HYBRID: Final = "hybrid"


@dataclass(frozen=True)
class Catalogue:
    """Items of a release, rows in the order of the hybrid's item codes. table: `schema.ITEMS` and attributes."""

    index: IdIndex
    table: pa.Table
    titles: tuple[str | None, ...]
    images: tuple[str | None, ...]

    @classmethod
    def of(cls, table: pa.Table, index: IdIndex) -> "Catalogue":
        """In the order of an index; ValueError where its ids are others."""
        order = index.codes(table[schema.ITEM_ID].to_pylist()).argsort()
        table = table.take(order)
        if table[schema.ITEM_ID].to_pylist() != list(index.ids):
            raise ValueError(f"{len(table)} items, which are not the ranker's {len(index)}")
        return cls(index, table, tuple(table[schema.TITLE].to_pylist()), tuple(table[schema.IMAGE].to_pylist()))

    def items_of(self, events: pa.Table) -> pa.Table:
        """Rows of the items that some events name, each once; those that the release does not know are left out."""
        codes = self.index.codes(pc.unique(events[schema.ITEM_ID]).to_pylist())
        return self.table.take(codes[codes != UNKNOWN])

    def having(self, categories: Iterable[str]) -> Bools:
        """Which items have one of the categories, bool [n]; UnknownEntityError for a category that no item has."""
        column = self.table[schema.CATEGORIES].combine_chunks()
        named, owner = pc.list_flatten(column), pc.list_parent_indices(column)
        allowed = np.zeros(len(self.index), bool)
        for category in categories:
            rows = owner.filter(pc.equal(named, category)).to_numpy()
            if not len(rows):
                known = ", ".join(sorted(pc.unique(named.drop_null()).to_pylist())[:20]) or "none"
                raise UnknownEntityError(f"category {category!r}: no item has it; accepted are: {known}")
            allowed[rows] = True
        return allowed

    def code(self, item_id: str, *, release: str) -> int:
        """An item's code; UnknownEntityError for one that the release does not have."""
        code = int(self.index.codes([item_id])[0])
        if code == UNKNOWN:
            raise UnknownEntityError(
                f"item {item_id!r}: not in release {release}; accepted are item ids like {self.index.ids[0]!r}"
            )
        return code

    def title(self, code: int) -> str:
        """An item's title, its id where it has none."""
        return self.titles[code] or self.index.ids[code]


def save_parts(folder: Path, hybrid: Hybrid, items: pa.Table) -> None:
    """Write what `load_parts` reads into a release's new folder; to be called by what publishes."""
    Catalogue.of(items, hybrid.items)
    place = folder / HYBRID
    place.mkdir()
    hybrid.save(place)
    pq.write_table(items, folder / ITEMS, compression="zstd")


def load_parts(release: Release) -> tuple[Hybrid, Catalogue]:
    """Read a release's models and items; ArtifactError names what is missing or damaged."""
    release.verify()
    hybrid = Hybrid.load(release.folder / HYBRID)
    catalogue = load_items(release)
    if catalogue.index != hybrid.items:
        raise ArtifactError(f"{release.folder / ITEMS}: other items than the ranker's; build the release again")
    return hybrid, catalogue


def load_items(release: Release) -> Catalogue:
    """Read a release's items alone; raises as `load_parts` does."""
    path = release.folder / ITEMS
    try:
        table = pq.read_table(path)
        return Catalogue.of(table, IdIndex.of(table[schema.ITEM_ID].to_pylist()))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not the items of this release ({error}); build the release again") from error
