"""What a release needs to answer a request's wishes: its re-ranker, the house's rules, and what users were shown."""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from ranking.candidates.candidates import Candidates
from ranking.serving.histories import Histories
from ranking.serving.house_rules import HouseRules
from ranking.serving.labelled import interactions
from ranking.serving.order import Order
from ranking.serving.payloads import Asker, CheckedRules, FoundInRules, Request, RulesToCheck
from ranking.strategy.arrange import Page, Seat
from ranking.strategy.hybrid import Hybrid
from ranking.strategy.reranking import Reranker, Wishes
from ranking.strategy.rules.compiler import Compiler, Linted
from ranking.strategy.weighting import Weights
from ranking.types import Bools, Interactions, Queries

RULES: Final = "rules"  # the house's rules have a fault: answered with those that were good


class Pages:
    """Of one release. One thread may `remember` while any number ask.

    Args:
        hybrid: the release's.
        table: its items, rows in the order of their codes.
        rules: the house's rules, a file that need not be there; None for none.
    """

    def __init__(self, hybrid: Hybrid, table: pa.Table, rules: Path | None) -> None:
        space = hybrid.knowledge.space
        self._reranker = Reranker(table, vectors=space.fused, appeal=space.appeal, created_at=hybrid.created_at)
        self._items = hybrid.items
        self._house = HouseRules(rules, self.compiler)
        self._exposures = Histories(interactions(schema.LABELLED_EVENTS.empty_table(), self._items))
        self._met = np.zeros(len(self._items))

    @property
    def compiler(self) -> Compiler:
        """Of this release's rules."""
        return self._reranker.compiler

    def lint(self, asked: RulesToCheck) -> Linted:
        """What is wrong with rules."""
        return self.compiler.lint(asked.rules) if asked.text is None else self.compiler.lint_lines(asked.text)

    def begin(self, events: pa.Table) -> None:
        """Know these labelled events alone; before anybody asks."""
        self._exposures = Histories(interactions(_exposures(events), self._items))
        self._met = _counts(interactions(events, self._items))

    def remember(self, events: pa.Table) -> None:
        """Know further labelled events."""
        self._exposures.add(interactions(_exposures(events), self._items))
        self._met = self._met + _counts(interactions(events, self._items))

    def wishes(self, request: Asker, *, house: bool = True) -> tuple[Wishes, list[str]]:
        """What is asked for, the request's own rules first, and the fallbacks; RuleError for a bad one of its own.

        Who names the items has chosen them: no rule counts then.
        """
        rules = self.compiler.compile(request.rules if isinstance(request, Request) else ())
        fallbacks = []
        if house and isinstance(request, Request):
            standing, broken = self._house.current()
            rules = rules.then(standing)
            fallbacks = [RULES] if broken else []
        weights = Weights(**request.weights.model_dump())
        return Wishes(rules, request.diversity, request.exploration, request.explorer, weights), fallbacks

    def allowed(self, wishes: Wishes, request: Asker, query: Queries) -> Bools | None:
        """What the rules let through, bool [n_items]; None for all."""
        shown = [] if request.user_id is None else [self._exposures.of(request.user_id)]
        return self._reranker.allowed(wishes.rules, query, [(one.item, one.occurred_at) for one in shown])

    def page(
        self,
        wishes: Wishes,
        query: Queries,
        candidates: Candidates,
        order: Order,
        *,
        k: int,
        allowed: Bools | None,
        request_id: str,
        only: Bools | None = None,
    ) -> Page:
        """The answer's items. request_id: seeds chance, as hex digits. only: bool [n_items], what may be shown.

        Without any wish it is the order's beginning.
        """
        if not wishes:
            items = candidates.item[0][order.place]
            shown = np.arange(len(items)) if only is None else np.flatnonzero(only[items])
            places = shown[:k].tolist()
            return Page([Seat(int(items[at]), at, float(order.score[at]), 1.0) for at in places], [])
        return self._reranker.page(
            candidates,
            query,
            wishes,
            place=order.place,
            score=order.score,
            k=k,
            met=self._met,
            allowed=allowed,
            seed=int(request_id, 16),
            only=only,
        )


def checked(linted: Linted, release: str) -> CheckedRules:
    """What a linter found, as it is sent. release: whose items were asked."""
    found = [
        FoundInRules(
            rule=one.rule,
            line=one.line,
            column=one.column,
            severity="warning" if one.warning else "error",
            what=one.what,
            accepted=one.accepted,
            remedy=one.remedy,
        )
        for one in linted.faults
    ]
    return CheckedRules(release=release, ok=not linted.errors, count=linted.count, faults=found)


def _exposures(events: pa.Table) -> pa.Table:
    """Labelled events of what was shown alone, as if each weighed something: else they are no interactions."""
    shown = events.filter(pc.equal(events[schema.WEIGHT], 0))
    place = shown.schema.get_field_index(schema.WEIGHT)
    return shown.set_column(place, shown.schema.field(place), pa.array(np.ones(len(shown), np.float32)))


def _counts(log: Interactions) -> npt.NDArray[np.float64]:
    """How often each item was met by anybody, float64 [n_items]."""
    return np.bincount(log.item, minlength=len(log.items)).astype(np.float64)
