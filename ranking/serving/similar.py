"""What lies near an item, or near a text, picture or sound that somebody looks for, in the space of a release.

<release>/index/<space>/    a `VectorIndex` of each space, see `SPACES`
<release>/alignment/        what leads contents into the space
<release>/cross_modal/      spaces of two modalities, see `pair_spaces`
"""

import shutil
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from feature_repo.schema import Modality
from feature_repo.settings import Settings
from ranking.errors import ArtifactError, BadRequestError
from ranking.rankers.space import Space
from ranking.representation.alignment import Alignment
from ranking.representation.index import VectorIndex
from ranking.representation.inputs import unit_rows
from ranking.representation.query import encoded, query_contents, query_vector
from ranking.representation.query_encoders import encoders_of
from ranking.serving.catalogue import HYBRID, Catalogue, load_items
from ranking.serving.pair_spaces import CROSS_MODAL, PairSpaces
from ranking.serving.payloads import Similar, SimilarItem
from ranking.serving.releases import Release, Releases
from ranking.types import UNKNOWN, Floats

ALL: Final = "all"  # what the gates make of all modalities together
BEHAVIOUR: Final = "behaviour"  # what audiences share, predicted of new items
SPACES: Final = (ALL, *Modality, BEHAVIOUR)

ALIGNMENT: Final = "alignment"
INDEX: Final = "index"


class Neighbours:
    """Search in the spaces of one release; several threads may use it. Of all files only what a query needs is read."""

    def __init__(self, release: Release, space: Callable[[], Space], catalogue: Catalogue, settings: Settings) -> None:
        self._release = release
        self._space = space
        self._catalogue = catalogue
        self._encoders = cache(encoders_of(settings, release.manifest.encoders))  # their weights take a second to load
        self._pairs = PairSpaces(release.folder / CROSS_MODAL)
        self._index = cache(self._load)

    @classmethod
    def current(cls, settings: Settings) -> "Neighbours":
        """Of the release that servers follow; ArtifactError where there is none or it is damaged."""
        release = Releases.of(settings).current()
        release.verify()
        return cls(release, lambda: Space.load(release.folder / HYBRID), load_items(release), settings)

    @property
    def spaces(self) -> tuple[str, ...]:
        """Those of `SPACES` in which any item lies."""
        return tuple(self._vectors)

    def spaces_of(self, code: int) -> tuple[str, ...]:
        """Those of `spaces` in which an item, or what it has of another modality, lies: where `of_item` answers."""
        return tuple(by for by, vectors in self._vectors.items() if vectors[code].any() or self._across_from(code, by))

    def of_item(self, item_id: str, *, k: int, by: str = ALL, categories: tuple[str, ...] = ()) -> Similar:
        """The k items nearest to an item, without itself, best first.

        by: one of `SPACES`; an item that lacks the modality asks by another one, in the space of the two. categories:
        only items that have one of them.

        Raises:
            UnknownEntityError: no such item or category.
            BadRequestError: no such space, or the item has no vector there.
        """
        index = self._index(by)
        code = self._catalogue.code(item_id, release=self._release.id)
        if index.vectors[code].any():
            return self._near(index.vectors[code], index, k=k, by=by, categories=categories, but=code)
        for asked, modality in self._across_from(code, by):
            vector, index = self._pairs.side(asked, modality).vectors[code], self._pairs.side(modality, asked)
            return self._near(vector, index, k=k, by=by, categories=categories, but=code, asked=asked)
        raise BadRequestError(f"item {item_id!r}: has no {by} vector; ask by another of {', '.join(SPACES)}")

    def of_content(
        self,
        *,
        k: int,
        by: str = ALL,
        categories: tuple[str, ...] = (),
        text: str | None = None,
        image: bytes | None = None,
        audio: bytes | None = None,
    ) -> Similar:
        """The k items nearest to where an item of this content would lie; arguments as in `of_item`, `query_vector`.

        A single content of another modality than `by` is looked for in the space of the two, where there is one.

        Raises what they raise, and `EncoderError` where the release's encoder is not to be had.
        """
        if by == BEHAVIOUR:
            raise BadRequestError(
                f"by {by!r}: only items have it; give an item, or by one of {ALL}, {', '.join(Modality)}"
            )
        contents = query_contents(text=text, image=image, audio=audio)
        if len(contents) == 1:
            for asked, modality in self._across(by, tuple(contents)):
                content = encoded(self._encoders(asked), contents[asked])
                (vector,) = self._pairs.model(modality, asked).place(asked, content)
                index = self._pairs.side(modality, asked)
                return self._near(vector, index, k=k, by=by, categories=categories, asked=asked)
        index = self._index(by)
        vector = query_vector(self._alignment, self._encoders, text=text, image=image, audio=audio)
        return self._near(vector, index, k=k, by=by, categories=categories)

    def place(self, *, text: str | None = None, image: bytes | None = None, audio: bytes | None = None) -> Floats:
        """Where an item of this content would lie in the aligned space, float32 [d]; raises as `of_content` does."""
        return query_vector(self._alignment, self._encoders, text=text, image=image, audio=audio)

    def _across(self, by: str, asked: tuple[Modality, ...]) -> list[tuple[Modality, Modality]]:
        """Those modalities that have a space together with the one that is looked for, each with that one."""
        if by not in tuple(Modality):
            return []
        modality = Modality(by)
        return [(one, modality) for one in asked if self._pairs.holds(one, modality)]

    def _across_from(self, code: int, by: str) -> list[tuple[Modality, Modality]]:
        """Those of `_across` in whose space an item has a place."""
        across = self._across(by, tuple(Modality))
        return [
            (asked, modality) for asked, modality in across if self._pairs.side(asked, modality).vectors[code].any()
        ]

    def _near(
        self,
        vector: Floats,
        index: VectorIndex,
        *,
        k: int,
        by: str,
        categories: tuple[str, ...],
        but: int | None = None,
        asked: Modality | None = None,
    ) -> Similar:
        allowed = self._catalogue.having(categories) if categories else None
        # an item is most like itself: one place more
        codes, scores = index.search(vector[None], k + (but is not None), allowed=allowed)
        best = [(code, score) for code, score in zip(codes[0].tolist(), scores[0].tolist(), strict=True)]
        best = [(code, score) for code, score in best if code not in (UNKNOWN, but)][:k]
        items = [
            SimilarItem(
                item_id=self._catalogue.index.ids[code],
                rank=rank,
                score=score,
                title=self._catalogue.titles[code],
                image=self._catalogue.images[code],
            )
            for rank, (code, score) in enumerate(best, 1)
        ]
        return Similar(release=self._release.id, by=by, asked=asked, items=items)

    def _load(self, by: str) -> VectorIndex:
        if by not in SPACES:
            raise BadRequestError(f"by {by!r}: accepted are {', '.join(SPACES)}")
        if by not in self._vectors:
            raise BadRequestError(f"by {by!r}: no item has any; this release has {', '.join(self._vectors)}")
        folder = self._release.folder / INDEX / by
        if not folder.is_dir():  # it was published without
            return VectorIndex.exact(self._vectors[by])
        return VectorIndex.load(folder, self._vectors[by])

    @cached_property
    def _vectors(self) -> dict[str, Floats]:
        return space_vectors(self._space())

    @cached_property
    def _alignment(self) -> Alignment:
        folder = self._release.folder / ALIGNMENT
        if not folder.is_dir():
            raise ArtifactError(f"release {self._release.id}: holds no alignment; build a new one with `trichord run`")
        return Alignment.load(folder)


def space_vectors(space: Space) -> dict[str, Floats]:
    """Vectors by name of their space, float32 [n, d] each, unit rows or 0."""
    by_modality = {str(modality): vectors for modality, vectors in space.by_modality.items()}
    return {ALL: space.fused, **by_modality, BEHAVIOUR: unit_rows(space.remembered)}


def save_search(folder: Path, *, indexes: Path, alignment: Path) -> None:
    """Copy what `Neighbours` reads into a release's new folder; to be called by what publishes.

    indexes: holds `INDEX` and, where two modalities have a space together, `CROSS_MODAL`.
    """
    for name in (INDEX, CROSS_MODAL):
        if (indexes / name).is_dir():
            shutil.copytree(indexes / name, folder / name)
    place = folder / ALIGNMENT
    place.mkdir()
    Alignment.load(alignment).save(place)
