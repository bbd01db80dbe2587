"""Which items would a text, a picture, a sound or better categories help most?

For each item and modality: by how much would its audience be more certain, if the item had what others have? Times the
interactions that it may expect. A modality that an item lacks would bring what it typically brings; one that brings
less than half of that is called unclear, and would bring the rest. Items are compared as if all were new, because an
item's own likes say who likes it whatever its picture shows; see `uncertainty`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.content import ItemContent
from ranking.representation.demand import WINDOW_DAYS, expected_demand
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.inputs import CATEGORIES
from ranking.representation.uncertainty import ContentProcess
from ranking.types import Bools, Codes, Floats, Interactions

MAX_TAUGHT: Final = 2048  # of the items that the factor mapping has learned from, the most liked
UNCLEAR: Final = 0.5  # share of what a modality typically brings, below which it says little
MISSING: Final = {
    Modality.TEXT.value: "no text",
    Modality.IMAGE.value: "no picture",
    Modality.AUDIO.value: "no sound",
    CATEGORIES: "no categories",
}
VAGUE: Final = {
    Modality.TEXT.value: "text says little",
    Modality.IMAGE.value: "picture says little",
    Modality.AUDIO.value: "sound says little",
    CATEGORIES: "categories and date say little",
}


@dataclass(frozen=True)
class Needs:
    """Of each item: how uncertain it is, and what each head would bring.

    uncertainty: float32 [n], share of the prior variance. gain: head -> float32 [n], by how much that would fall.
    present: head -> bool [n].
    """

    uncertainty: Floats
    gain: Mapping[str, Floats]
    present: Mapping[str, Bools]

    @classmethod
    def of(cls, process: ContentProcess, unlabelled: Bools) -> Self:
        """What is missing or unclear of the process's items. unlabelled: bool [n], those without any category."""
        uncertainty = process.uncertainty()
        gain, present = {}, {}
        for head, rows in process.rows.items():
            brought = process.uncertainty(without=head) - uncertainty
            typical = float(np.median(brought[rows.present])) if rows.present.any() else 0.0
            there = rows.present & ~unlabelled if head == CATEGORIES else rows.present  # a date alone is no label
            wanted = ~there | (brought < UNCLEAR * typical)
            gain[head] = np.asarray(np.where(wanted, np.maximum(typical - brought, 0), 0), np.float32)
            present[head] = there
        return cls(uncertainty, gain, present)


def help_wanted_table(
    mapping: FactorMapping, content: ItemContent, log: Interactions, items: pa.Table, *, now: int
) -> pa.Table:
    """One row an item, where help is wanted most first.

    mapping: fitted on `content` and `log`; only the heads that it reads count, as what does not help to find new items'
    audiences is not worth getting. items: `schema.ITEMS`, any order. now: microseconds UTC.

    Columns: rank (from 1), item_id, title, missing and unclear (heads), uncertainty, gain (sum over those heads),
    demand (interactions expected in four weeks), score (gain x demand), reason. Equal scores stand by uncertainty, then
    by id.
    """
    rows = {head: one for head, one in mapping.inputs.of(content).items() if head in mapping.choice.heads}
    n = len(content.items)
    needs, demand = Needs(np.ones(n, np.float32), {}, {}), np.zeros(n, np.float32)
    if rows and len(mapping.taught):
        strength = mapping.choice.strength
        process = ContentProcess.fit(rows, _most_liked(mapping.taught, log), strength)
        needs = Needs.of(process, content.categories.getnnz(axis=1) == 0)
        demand = expected_demand(rows, log, content.created_at, now=now, strength=strength)
    return _table(needs, demand, items.take(np.argsort(content.items.codes(items[schema.ITEM_ID].to_pylist()))))


def _most_liked(taught: Codes, log: Interactions) -> Codes:
    likes = np.bincount(log.item[log.positive], minlength=len(log.items))[taught]
    return np.sort(taught[np.argsort(-likes, kind="stable")[:MAX_TAUGHT]])


def _table(needs: Needs, demand: Floats, items: pa.Table) -> pa.Table:
    """The table of `help_wanted_table`; needs, demand and items are in one order."""
    gain: Floats = sum(needs.gain.values(), start=np.zeros(len(items), np.float32))
    score = gain * demand  # [n]
    order = np.lexsort((-needs.uncertainty, -score))  # stable: then by id
    wanted = [_wanted(needs, one) for one in order.tolist()]
    undescribed = [not (text or "").strip() for text in items[schema.DESCRIPTION].take(order).to_pylist()]
    reasons = [
        _reason(*one, expected=expected, undescribed=bare)
        for one, expected, bare in zip(wanted, demand[order].tolist(), undescribed, strict=True)
    ]
    heads = pa.list_(pa.string())
    return pa.table(
        {
            "rank": pa.array(np.arange(1, len(items) + 1), pa.int32()),
            schema.ITEM_ID: items[schema.ITEM_ID].take(order),
            schema.TITLE: items[schema.TITLE].take(order),
            "missing": pa.array([missing for missing, _ in wanted], heads),
            "unclear": pa.array([unclear for _, unclear in wanted], heads),
            "uncertainty": _column(needs.uncertainty[order]),
            "gain": _column(gain[order]),
            "demand": _column(demand[order]),
            "score": _column(score[order]),
            "reason": pa.array(reasons, pa.string()),
        }
    )


def _column(values: Floats) -> pa.Array:
    return pa.array(values.astype(np.float64).round(6))


def _wanted(needs: Needs, item: int) -> tuple[list[str], list[str]]:
    """Heads that an item lacks, and those that say little of it."""
    missing = [head for head, there in needs.present.items() if not there[item]]
    unclear = [head for head, gain in needs.gain.items() if gain[item] > 0 and head not in missing]
    return missing, unclear


def _reason(missing: Sequence[str], unclear: Sequence[str], *, expected: float, undescribed: bool) -> str:
    """In plain words."""
    said = [MISSING[head] for head in missing] + [VAGUE[head] for head in unclear]
    if not said:
        return "nothing is missing or unclear"
    if undescribed and Modality.TEXT.value not in missing:
        said.append("no description")
    return f"{', '.join(said)}; {expected:.1f} interactions expected in {WINDOW_DAYS} days"
