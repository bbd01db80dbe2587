"""How a view's row lies in bytes: a part of fixed size, then what varies in length.

    event_us created_us | fixed fields, vectors | lengths of the segments | null bits | padding || segment segment ...

Fields are ordered by size and name, so a layout depends on what a view holds and not on how it is written down. Its
digest begins every key: a view whose fields, types or keys change, or whose tag `definition` does, finds no rows of its
former layout.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.errors import StoreError
from feature_repo.schema import TIMESTAMP

if TYPE_CHECKING:
    from feast import FeatureView, Field

EVENT: Final = "__event_us"  # microseconds since 1970
CREATED: Final = "__created_us"  # the same, or NEVER
LENGTHS: Final = "__lengths"
NULLS: Final = "__nulls"
NEVER: Final = np.iinfo(np.int64).min
DIGEST_SIZE: Final = 8
DEFINITION: Final = "definition"  # tag of a view whose values change their meaning while its fields stay

_FORMAT: Final = "packed 1"  # of the bytes themselves; another one makes every row unreadable to this one

# Feast's value types by what they are in Arrow, and the bytes of those of fixed size
_ARROW: Final[dict[str, pa.DataType]] = {
    "BOOL": pa.bool_(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "UNIX_TIMESTAMP": TIMESTAMP,
    "STRING": pa.string(),
    "BYTES": pa.binary(),
}
_BYTES: Final[dict[pa.DataType, str]] = {
    pa.bool_(): "u1",
    pa.int32(): "<i4",
    pa.int64(): "<i8",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
    TIMESTAMP: "<i8",
}
_KEYS: Final = (pa.string(), pa.binary(), pa.int32(), pa.int64())


@dataclass(frozen=True)
class Column:
    """One field. value_type: Feast's name of its type. width: numbers in a vector of fixed length, else 0."""

    name: str
    value_type: str
    width: int

    @cached_property
    def is_list(self) -> bool:
        """Whether a value is a list, of fixed length or not."""
        return self.value_type.endswith("_LIST")

    @cached_property
    def element_type(self) -> str:
        """Feast's name of the type of the value, or of each one in a list."""
        return self.value_type.removesuffix("_LIST")

    @cached_property
    def type(self) -> pa.DataType:
        """Its type in Arrow."""
        one = _ARROW[self.element_type]
        return pa.list_(one) if self.is_list else one

    @cached_property
    def element(self) -> np.dtype | None:
        """Bytes of the value, or of each one in a list; None for text."""
        code = _BYTES.get(_ARROW[self.element_type])
        return None if code is None else np.dtype(code)

    @cached_property
    def fixed(self) -> bool:
        """Whether every value takes the same number of bytes."""
        return self.element is not None and (self.width > 0 or not self.is_list)

    @cached_property
    def segments(self) -> int:
        """Stretches of varying length that it takes: a list of texts needs one for the texts' lengths."""
        if self.fixed:
            return 0
        return 2 if self.element is None and self.is_list else 1


@dataclass(frozen=True)
class Layout:
    """A view's keys (name and type, by name) and columns (fixed ones first), and what follows from them."""

    project: str
    view: str
    definition: str
    keys: tuple[tuple[str, pa.DataType], ...]
    columns: tuple[Column, ...]

    @cached_property
    def digest(self) -> bytes:
        """What begins the key of every row in this layout."""
        keys = [f"{name} {kind}" for name, kind in self.keys]
        columns = [f"{one.name} {one.value_type} {one.width}" for one in self.columns]
        text = "\n".join([_FORMAT, self.project, self.view, self.definition, *keys, "", *columns])
        return blake2b(text.encode(), digest_size=DIGEST_SIZE).digest()

    @cached_property
    def dtype(self) -> np.dtype:
        """The fixed part, a multiple of eight bytes."""
        parts: list[tuple[str, object, tuple[int, ...]]] = [(EVENT, "<i8", ()), (CREATED, "<i8", ())]
        parts += [(one.name, one.element, (one.width,) if one.width else ()) for one in self.columns if one.fixed]
        parts += [(LENGTHS, "<u4", (self.segments,)), (NULLS, "u1", (-(-len(self.columns) // 8),))]
        size = np.dtype(parts).itemsize
        return np.dtype([*parts, ("__padding", "u1", (-size % 8,))])

    @cached_property
    def segments(self) -> int:
        """Number of stretches of varying length."""
        return sum(one.segments for one in self.columns)

    @cached_property
    def first_segment(self) -> dict[str, int]:
        """Place of each varying column's first segment."""
        varying = [one for one in self.columns if not one.fixed]
        ends = np.cumsum([one.segments for one in varying])
        return {one.name: int(end) - one.segments for one, end in zip(varying, ends, strict=True)}

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each column, which is also that of its null bit."""
        return {one.name: place for place, one in enumerate(self.columns)}

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Where each field begins in the fixed part, in bytes."""
        return {name: place[1] for name, place in (self.dtype.fields or {}).items()}

    @cached_property
    def _chosen(self) -> dict[tuple[str, ...], "Chosen"]:
        return {}

    def chosen(self, names: tuple[str, ...]) -> "Chosen":
        """Some of the columns; resolved once."""
        if names not in self._chosen:
            self._chosen[names] = Chosen.of(self, names)
        return self._chosen[names]

    @cached_property
    def nothing(self) -> bytes:
        """A row of no moment whose values are all null, for where there is none."""
        row = np.zeros(1, self.dtype)
        row[EVENT] = row[CREATED] = NEVER
        row[NULLS] = 255
        return row.tobytes()

    @cached_property
    def schema(self) -> pa.Schema:
        """Keys, then columns."""
        return pa.schema([*self.keys, *((one.name, one.type) for one in self.columns)])


@dataclass(frozen=True)
class Scalars:
    """Columns of single numbers of one type and size in bytes.

    words: of their size, where they lie in the fixed part. places: of the columns in the layout.
    """

    type: pa.DataType
    size: int
    names: tuple[str, ...]
    words: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, layout: Layout, columns: Sequence[Column]) -> "Scalars":
        """Of one or more columns of a type."""
        element = columns[0].element
        assert element is not None  # it is text that has none
        names = tuple(one.name for one in columns)
        words = np.array([layout.offsets[name] // element.itemsize for name in names])
        return cls(columns[0].type, element.itemsize, names, words, np.array([layout.places[name] for name in names]))


@dataclass(frozen=True)
class Chosen:
    """Some of a layout's columns: single numbers type by type, vectors of a fixed length, and what varies in length."""

    scalars: tuple[Scalars, ...]
    vectors: tuple[Column, ...]
    varying: tuple[Column, ...]

    @classmethod
    def of(cls, layout: Layout, names: Iterable[str]) -> "Chosen":
        """By their names."""
        columns = [layout.columns[place] for place in sorted({layout.places[name] for name in names})]
        numbers = [one for one in columns if one.fixed and not one.width]
        kinds = dict.fromkeys(one.type for one in numbers)
        return cls(
            tuple(Scalars.of(layout, [one for one in numbers if one.type == kind]) for kind in kinds),
            tuple(one for one in columns if one.fixed and one.width),
            tuple(one for one in columns if not one.fixed),
        )


def layout_of(project: str, view: "FeatureView") -> Layout:
    """Layout of a view's rows.

    Raises:
        StoreError: a field has a type that is not held.
    """
    keys = sorted((field.name, field.dtype.to_value_type().name) for field in view.entity_columns)
    fields = sorted(_signature(view.features))
    return _layout(project, view.name, view.tags.get(DEFINITION, ""), tuple(keys), tuple(fields))


def _signature(fields: Iterable["Field"]) -> list[tuple[str, str, int]]:
    return [(field.name, field.dtype.to_value_type().name, field.vector_length or 0) for field in fields]


@lru_cache(maxsize=1024)
def _layout(
    project: str,
    view: str,
    definition: str,
    keys: tuple[tuple[str, str], ...],
    fields: tuple[tuple[str, str, int], ...],
) -> Layout:
    for name, value_type in (*keys, *(field[:2] for field in fields)):
        if value_type.removesuffix("_LIST") not in _ARROW:
            raise StoreError(
                f"{name} of view {view} is of Feast's type {value_type}, which the packed online store does not hold; "
                f"use one of {', '.join(_ARROW)}, a list of those, or online_store = 'sqlite' in trichord.toml"
            )
    for name, value_type in keys:
        if _ARROW.get(value_type) not in _KEYS:
            raise StoreError(f"{name} of view {view} is of type {value_type}; keys are of {', '.join(map(str, _KEYS))}")
    columns = [
        Column(name, value_type, width if value_type.endswith("_LIST") else 0) for name, value_type, width in fields
    ]
    columns.sort(key=lambda one: -one.element.itemsize if one.fixed and one.element else 0)
    return Layout(
        project, view, definition, tuple((name, _ARROW[value_type]) for name, value_type in keys), tuple(columns)
    )
