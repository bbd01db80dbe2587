"""What was found for queries, and who found what at which place."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_arrays, save_json
from ranking.candidates.generator import NOT_OFFERED
from ranking.candidates.state import State
from ranking.types import UNKNOWN, Bools, Codes, Floats

_RANK: Final = attrgetter("rank")


class Source(NamedTuple):
    """One generator that found a candidate: at which place, with which score."""

    generator: str
    rank: int
    score: float


@dataclass(frozen=True)
class Candidates:
    """Candidates of q queries, best fused first, k places each.

    generators: the g names. item: int32 [q, k], `UNKNOWN` where a query has fewer. fused: float32 [q, k], see `union`,
    0 there. rank: int32 [q, k, g], from 1 among the allowed items, 0 where the generator does not have
    the item among its first `DEPTH`; score: float32 [q, k, g], `NOT_OFFERED` where it does not offer it. Both are told
    of every generator, whoever found the item. looked: int32 [q, m], the `shortlist` of each query that places are
    counted in, ascending, then `UNKNOWN`; None where the catalogue was looked at whole.
    """

    generators: tuple[str, ...]
    item: Codes
    fused: Floats
    rank: Codes
    score: Floats
    looked: Codes | None = None

    def __len__(self) -> int:
        return len(self.item)

    @cached_property
    def row(self) -> npt.NDArray[np.int64]:
        """The query of each of all n candidates, query after query, int64 [n]."""
        return np.asarray(np.flatnonzero(self.item != UNKNOWN) // self.item.shape[1])

    @cached_property
    def items(self) -> Codes:
        """All n candidates in the same order, int32 [n]."""
        return np.asarray(self.item[self.item != UNKNOWN])

    @classmethod
    def stacked(cls, parts: "Sequence[Candidates]") -> "Candidates":
        """Those of queries, then those of further queries; of the same generators and looked at alike."""
        if len(parts) == 1:
            return parts[0]
        looked = [part.looked for part in parts if part.looked is not None]
        return cls(
            generators=parts[0].generators,
            item=_below([part.item for part in parts], UNKNOWN),
            fused=_below([part.fused for part in parts], 0),
            rank=_below([part.rank for part in parts], 0),
            score=_below([part.score for part in parts], NOT_OFFERED),
            looked=_below(looked, UNKNOWN) if looked else None,
        )

    def take(self, rows: npt.NDArray[np.int64] | Bools) -> "Candidates":
        """Those of some queries."""
        return Candidates(
            self.generators,
            self.item[rows],
            self.fused[rows],
            self.rank[rows],
            self.score[rows],
            None if self.looked is None else self.looked[rows],
        )

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        save_json(folder / "candidates.json", list(self.generators))
        arrays = {"item": self.item, "fused": self.fused, "rank": self.rank, "score": self.score}
        if self.looked is not None:
            arrays["looked"] = self.looked
        save_arrays(folder / "candidates.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        names = load_as(folder / "candidates.json", tuple[str, ...])
        state = State(folder / "candidates.safetensors")
        looked = state.codes("looked") if "looked" in state else None
        return cls(
            names, state.codes("item"), state.floats("fused"), state.codes("rank"), state.floats("score"), looked
        )

    def sources(self, row: int, items: Codes) -> list[list[Source]]:
        """For each item the generators that have it among their own k best, best place first.

        None found an item that is no candidate.
        """
        if not self.item.shape[1]:
            return [[] for _ in items]
        there = (self.item[row] == items[:, None]) & (self.fused[row] > 0)
        place, last = there.argmax(axis=1), self.item.shape[1]
        told = there.any(axis=1).tolist(), self.rank[row, place].tolist(), self.score[row, place].tolist()
        return [
            sorted(
                (Source(*one) for one in zip(self.generators, rank, score, strict=True) if 0 < one[1] <= last),
                key=_RANK,
            )
            if candidate
            else []
            for candidate, rank, score in zip(*told, strict=True)
        ]


def _below(parts: Sequence[npt.NDArray[Any]], filling: float) -> npt.NDArray[Any]:
    """Arrays [q, k, ...] one below the other; narrower ones are filled up."""
    width = max(part.shape[1] for part in parts)
    rest = [(0, 0)] * (parts[0].ndim - 2)
    return np.concatenate(
        [
            np.pad(one, [(0, 0), (0, width - one.shape[1]), *rest], constant_values=filling)
            if one.shape[1] < width
            else one
            for one in parts
        ]
    )
