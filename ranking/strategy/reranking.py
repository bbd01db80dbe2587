"""The last stage of an answer: what a request asks of its page beyond the ranker's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.candidates.candidates import Candidates
from ranking.candidates.looks import eligible
from ranking.strategy.arrange import Page, Pool, arrange
from ranking.strategy.diversity import MarginalRelevance, Relevance, Variety
from ranking.strategy.exploration import draws
from ranking.strategy.explorer import Explorer
from ranking.strategy.rules.compiled import NO_RULES, RuleSet
from ranking.strategy.rules.compiler import Compiler
from ranking.strategy.rules.conditions import at
from ranking.strategy.weighting import UNWEIGHTED, Weights, lifted
from ranking.types import Bools, Codes, Floats, Queries, Times

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Wishes:
    """What is asked of a page. diversity, exploration: 0 to 1, as in their modules; all defaults change nothing."""

    rules: RuleSet = NO_RULES
    diversity: float = 0.0
    exploration: float = 0.0
    explorer: Explorer = Explorer.EPSILON
    weights: Weights = UNWEIGHTED

    def __bool__(self) -> bool:
        return bool(self.rules or self.diversity or self.exploration or self.weights)


class Reranker:
    """Of one release.

    Args:
        table: its items, rows in the order of their codes.
        vectors: float32 [n_items, d], the aligned space.
        appeal: float32 [n_items], popularity that content predicts: the order of what no generator finds.
        created_at: int64 [n_items].
    """

    def __init__(self, table: pa.Table, *, vectors: Floats, appeal: Floats, created_at: Times) -> None:
        self.compiler = Compiler(table)
        self._variety = Variety.of(table, vectors)
        self._appeal = appeal
        self._created_at = created_at

    def allowed(self, rules: RuleSet, query: Queries, shown: Sequence[tuple[Codes, Times]]) -> Bools | None:
        """What the rules let through for the first query, bool [n_items]; None where they leave nothing out.

        shown: what the user was shown without choosing it: items int32 [m], and when, int64 [m].
        """
        if not rules.filters and not rules.repeats:
            return None
        allowed = self._filtered(rules, query)
        for rule in rules.repeats:
            since = int(query.as_of[0]) - rule.within
            for item, when in shown:
                allowed[item[when >= since]] = False
        return allowed

    def page(
        self,
        candidates: Candidates,
        query: Queries,
        wishes: Wishes,
        *,
        place: Codes,
        score: Floats,
        k: int,
        met: Values,
        allowed: Bools | None,
        seed: int,
        only: Bools | None = None,
    ) -> Page:
        """The page of the first query.

        place: int [n], the ranker's order, as places among the candidates. score: float32 [n], in that order; where
        spreading lets a worse item pass a better one, the better one counts as much as the worse. met: float64
        [n_items], how often anybody met each item. seed: of chance. only: bool [n_items], what may be shown; the other
        candidates count for what scores are measured by.
        """
        rules, items = wishes.rules, candidates.item[0][place]
        unit = float(np.std(score)) or 1.0 if len(score) else 1.0
        boosted = [at(rule.mask, int(query.as_of[0]))[items] for rule in rules.boosts]
        scores = np.minimum.accumulate(score.astype(np.float64))
        if wishes.weights:
            scores = scores + unit * lifted(candidates, 0, wishes.weights)[place]
        for rule, mask in zip(rules.boosts, boosted, strict=True):
            scores = scores + unit * rule.add * mask
        spare = cache(lambda: self._spare(query, items, allowed) if rules else items[:0])
        page = arrange(
            Pool(items, scores, boosted, met[items], self._filtered(rules, query), spare, only),
            rules,
            k=k,
            relevance=lambda: self._relevance(items, scores, query, wishes.diversity),
            draws=draws(wishes.explorer, wishes.exploration, scores, seed=seed),
        )
        return Page(page.seats, [*self._left_out(rules, query), *page.notes])

    def _filtered(self, rules: RuleSet, query: Queries) -> Bools:
        """What is there and no filter leaves out, bool [n_items]."""
        moment = int(query.as_of[0])
        found: Bools = self._created_at < moment
        for rule in rules.filters:
            found = found & at(rule.mask, moment)
        return found

    def _left_out(self, rules: RuleSet, query: Queries) -> list[str]:
        """What each filter does to the catalogue, and the rules that do nothing."""
        moment = int(query.as_of[0])
        told = [f"{one.text}: {int((~at(one.mask, moment)).sum())} items left out" for one in rules.filters]
        return [*told, *(f"{text}: no item matches" for text in rules.idle)]

    def _relevance(self, items: Codes, scores: Values, query: Queries, diversity: float) -> Relevance:
        if not diversity or not len(items):
            return Relevance(scores)
        wanted = self._variety.mix(query)
        return MarginalRelevance(self._variety, items, scores, wanted=wanted, diversity=diversity)

    def _spare(self, query: Queries, items: Codes, allowed: Bools | None) -> Codes:
        """What may answer and is no candidate, of most appeal first."""
        free = eligible(query.rows(0, 1), self._created_at, allowed)[0]
        free[items] = False
        codes = np.flatnonzero(free).astype(np.int32)
        return codes[np.argsort(-self._appeal[codes], kind="stable")]
