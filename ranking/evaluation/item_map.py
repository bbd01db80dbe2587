"""The aligned space as a picture: every item a point, on the two directions along which the items differ most."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from ranking.representation.content import ItemContent
from ranking.types import Floats

# Okabe and Ito (2008), told apart with every kind of colour vision; the last is for all other categories
COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
OTHERS: Final = "#BBBBBB"
INK: Final = "#333333"
LEAST: Final = 3  # items: two always lie on a line
DOTS: Final = 60_000  # area of all points together, in square points


@dataclass(frozen=True)
class ItemMap:
    """places: float64 [n, 2], items that have a vector. explained: share of the variance that each axis holds.

    group: int [n], which of `names` each item is coloured by; len(names): none of them.
    """

    places: Floats
    explained: tuple[float, float]
    group: Floats
    names: tuple[str, ...]

    @classmethod
    def of(cls, vectors: Floats, content: ItemContent) -> Self | None:
        """Principal components of float32 [n, d], rows in the order of the content, 0 for items without a vector.

        None where fewer than three items have a vector. An item of several of the seven most frequent categories is
        coloured by the rarest of them, as the most frequent one tells least.
        """
        placed = vectors.any(axis=1)
        if placed.sum() < LEAST:
            return None
        places, explained = principal(vectors[placed])
        named = content.categories[np.flatnonzero(placed)].tocsc()
        often = np.asarray(named.sum(axis=0)).ravel()
        most = [code for code in np.argsort(-often, kind="stable")[: len(COLOURS)] if often[code]]
        group = np.full(len(places), len(most))
        for rank, code in enumerate(most):  # the rarest comes last
            group[named.indices[named.indptr[code] : named.indptr[code + 1]]] = rank
        return cls(places, explained, group, tuple(content.category_names[code] for code in most))

    def draw(self, path: Path, *, title: str) -> None:
        """Write a PNG: points stay points however many there are."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes two seconds to import
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        figure = Figure(figsize=(9, 7), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        size = float(np.clip(DOTS / len(self.places), 0.6, 40))
        colours = np.array([*COLOURS[: len(self.names)], OTHERS])
        order = np.random.default_rng(0).permutation(len(self.places))  # so that no category lies on top of all others
        x, y = self.places[order].T
        axes.scatter(x, y, s=size, c=colours[self.group[order]].tolist(), alpha=0.7, linewidths=0)
        counts = np.bincount(self.group, minlength=len(colours))
        shown = [
            Line2D([], [], linestyle="", marker="o", color=colour, label=f"{name} ({count:,})")
            for name, colour, count in zip([*self.names, "other"], colours.tolist(), counts.tolist(), strict=True)
            if count
        ]
        axes.legend(
            handles=shown, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9, labelcolor=INK
        )
        axes.set_title(title, color=INK, fontsize=11)
        axes.set_xlabel(f"first component, {self.explained[0]:.1%} of the variance", color=INK, fontsize=9)
        axes.set_ylabel(f"second component, {self.explained[1]:.1%} of the variance", color=INK, fontsize=9)
        axes.set_aspect("equal", adjustable="datalim")
        axes.tick_params(labelsize=8, colors=INK, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.savefig(path, dpi=130)


def principal(rows: Floats) -> tuple[Floats, tuple[float, float]]:
    """The first two principal components, float64 [n, 2] of float32 [n, d], d at least 2, and their shares of variance.

    Each axis points where its largest loading is positive, so that a picture is not mirrored from run to run.
    """
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = vectors[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = max(float(values.sum()), 1e-12)
    return centred @ axes, (float(values[-1] / total), float(values[-2] / total))
