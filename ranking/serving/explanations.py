"""An earlier answer explained: made again as of its moment, and again without single events of the user's."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.errors import GoneError
from ranking.rankers.slates import Slates
from ranking.rankers.trees import REFERENCE
from ranking.serving.answer import Loaded, make, understand
from ranking.serving.answers import Answers, Given
from ranking.serving.evidence import Evidence, Piece
from ranking.serving.explanation_payloads import (
    Contribution,
    Counterfactual,
    EvidenceItem,
    ExplainedItem,
    Explanation,
    RankerScore,
)
from ranking.serving.made import Asked, Made
from ranking.serving.payloads import Recommended
from ranking.serving.shown import shown
from ranking.serving.stopwatch import Stopwatch
from ranking.strategy.hybrid import Hybrid
from ranking.strategy.rules.compiled import NO_RULES
from ranking.types import UNKNOWN, Queries

TRIES: Final = 10  # events that are left out, one at a time: each takes as long as an answer


def explain_again(loaded: Loaded, answers: Answers, request_id: str) -> Explanation:
    """Why an earlier answer held what it held; GoneError where it is forgotten, or of another release."""
    given = answers.of(request_id)
    if given is None:
        raise GoneError(
            f"request {request_id!r}: its answer is not remembered here; each process of a server holds the latest "
            f"{answers.size:,} answers that it gave itself since it started. Where several processes serve, ask over "
            "the connection by which the answer came, or serve with one; else ask for recommendations again, with "
            "`explain`"
        )
    if given.release != loaded.release.id:
        raise GoneError(
            f"request {request_id!r}: was answered by release {given.release}, which is no longer loaded; "
            f"{loaded.release.id} is: ask for recommendations again"
        )
    return explain(loaded, given, answers.vectors(request_id))


def explain(loaded: Loaded, given: Given, vectors: pa.Table | None) -> Explanation:
    """Why an answer held its items. vectors: what its ranker was given, None where that is no longer held."""
    request = given.request.model_copy(update={"explain": True})
    asked = understand(loaded, request, now=given.now, request_id=given.request_id, vector=given.vector)
    made = make(loaded, asked, Stopwatch(), known=vectors)
    items = shown(loaded.hybrid, loaded.catalogue, made)
    exact = _same(items, given) and len(asked.query.item) == given.history
    if {one.item_id for one in items} != given.items.keys():
        codes = loaded.catalogue.index.codes(given.items)
        asked = replace(asked, named=codes, wishes=replace(asked.wishes, rules=NO_RULES))
        made = make(loaded, asked, Stopwatch(), known=vectors)
        items = shown(loaded.hybrid, loaded.catalogue, made)
    pieces = _pieces(loaded, asked, items)
    lost, tried = _tried(loaded, made, pieces, items) if exact else ({}, 0)
    ranker = _ranker_scores(loaded, made, items)
    explained = [
        ExplainedItem(
            **one.model_dump() | {"rank": given.items[one.item_id].rank},
            ranker=ranker.get(one.item_id),
            evidence=[_evidence(loaded, asked.query, piece) for piece in pieces[one.item_id]],
            counterfactual=None if one.item_id not in lost else _counterfactual(loaded, asked, lost[one.item_id]),
        )
        for one in items
    ]
    return Explanation(
        request_id=given.request_id,
        release=given.release,
        user_id=given.request.user_id,
        answered_at=given.now,
        exact=exact,
        ordered_by=loaded.hybrid.routes.chosen(np.array([len(asked.query.item)]))[0],
        tried=tried,
        items=sorted(explained, key=lambda one: one.rank),
    )


def without(query: Queries, place: int) -> Queries:
    """The query of one, as if one event of its history had not happened."""
    return replace(
        query,
        indptr=np.array([0, len(query.item) - 1]),
        item=np.delete(query.item, place),
        occurred_at=np.delete(query.occurred_at, place),
        weight=np.delete(query.weight, place),
        positive=np.delete(query.positive, place),
    )


def _same(items: Sequence[Recommended], given: Given) -> bool:
    """Whether an answer came out as it was given."""
    again = [(one.item_id, one.score, one.propensity) for one in items]
    return again == [(item_id, one.score, one.propensity) for item_id, one in given.items.items()]


def _pieces(loaded: Loaded, asked: Asked, items: Sequence[Recommended]) -> dict[str, list[Piece]]:
    """The events that speak for each item."""
    evidence = Evidence(loaded.hybrid.generators, asked.query, loaded.hybrid.knowledge.space.fused)
    codes = loaded.catalogue.index.codes(one.item_id for one in items)
    return {one.item_id: evidence.of(code) for one, code in zip(items, codes.tolist(), strict=True)}


def _tried(
    loaded: Loaded, made: Made, pieces: dict[str, list[Piece]], items: Sequence[Recommended]
) -> tuple[dict[str, int], int]:
    """For items, the place of an event without which they are not in the answer; and how many events were tried.

    Of every item the event that speaks most for it is tried first. The event's item may not answer in its stead, and
    features of the feature store stay as they are. Nothing is tried where items were named, which are there anyway, or
    where chance was let in.
    """
    asked, lost = made.asked, dict[str, int]()
    if asked.named is not None or asked.wishes.exploration:
        return {}, 0
    rounds = zip_longest(*(pieces[one.item_id] for one in items))
    places = list(dict.fromkeys(piece.place for one in rounds for piece in one if piece is not None))[:TRIES]
    for place in places:
        changed = replace(asked, query=without(asked.query, place), barred=int(asked.query.item[place]))
        again = make(loaded, changed, Stopwatch(), known=made.stored)
        there = {loaded.catalogue.index.ids[seat.item] for seat in again.page.seats}
        for one in items:
            if one.item_id not in there:
                lost.setdefault(one.item_id, place)
    return lost, len(places)


def _ranker_scores(loaded: Loaded, made: Made, items: Sequence[Recommended]) -> dict[str, RankerScore]:
    """Of the items that the ranker scored; none where a single model orders."""
    voice = loaded.hybrid.voice(made.asked.query)
    if voice is None or made.slates is None:
        return {}
    features, groups = made.slates.features, made.slates.groups
    rows = _rows(loaded.hybrid, made.slates, items)
    scores = voice.score(features, groups).astype(np.float64)
    reference = np.linspace(0, len(features) - 1, min(len(features), REFERENCE)).astype(np.int64)
    values = features.select(voice.names)[list(rows.values())]
    added = voice.contributions(features, np.array(list(rows.values()), np.int64))
    return {
        item_id: RankerScore(
            score=float(scores[row]),
            reference=float(scores[reference].mean()),
            contributions=_contributions(voice.names, values[place], added[place]),
        )
        for place, (item_id, row) in enumerate(rows.items())
    }


def _rows(hybrid: Hybrid, slates: Slates, items: Sequence[Recommended]) -> dict[str, int]:
    """The row of each item that is a candidate."""
    candidates = slates.candidates.item[0][slates.candidates.item[0] != UNKNOWN].tolist()
    row_of = {item: row for row, item in enumerate(candidates)}
    codes = hybrid.items.codes(one.item_id for one in items).tolist()
    return {one.item_id: row_of[code] for one, code in zip(items, codes, strict=True) if code in row_of}


def _contributions(
    names: Sequence[str], values: npt.NDArray[np.float32], added: npt.NDArray[np.float64]
) -> list[Contribution]:
    order = np.argsort(-np.abs(added), kind="stable").tolist()
    return [
        Contribution(
            feature=names[column],
            value=float(values[column]) if np.isfinite(values[column]) else None,
            contribution=float(added[column]),
        )
        for column in order
        if added[column]
    ]


def _evidence(loaded: Loaded, query: Queries, piece: Piece) -> EvidenceItem:
    code = int(query.item[piece.place])
    return EvidenceItem(
        item_id=loaded.catalogue.index.ids[code],
        title=loaded.catalogue.titles[code],
        at=_moment(query, piece.place),
        by=piece.by,
        score=piece.score,
    )


def _counterfactual(loaded: Loaded, asked: Asked, place: int) -> Counterfactual:
    code, at = int(asked.query.item[place]), _moment(asked.query, place)
    in_session = place >= len(asked.query.item) - len(asked.request.session)
    title = loaded.catalogue.title(code)
    event = f"{title} in the session" if in_session else f"your choice of {title} on {at:%Y-%m-%d}"
    return Counterfactual(
        item_id=loaded.catalogue.index.ids[code],
        title=loaded.catalogue.titles[code],
        at=at,
        text=f"without {event} this would not be here",
    )


def _moment(query: Queries, place: int) -> datetime:
    return datetime.fromtimestamp(int(query.occurred_at[place]) / 1e6, UTC)
