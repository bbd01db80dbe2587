"""A request as a release understands it, and what the release makes of it."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final

import pyarrow as pa

from feature_repo.columns import Columns, table_of
from ranking.candidates.candidates import Candidates
from ranking.rankers.slates import Slates
from ranking.serving.order import Order
from ranking.serving.payloads import Asker
from ranking.serving.sought import Sought
from ranking.strategy.arrange import Page
from ranking.strategy.reranking import Wishes
from ranking.types import Codes, Queries

FEATURES: Final = "features"  # the feature store did not answer in time: in the order of the generators' votes
RANK: Final = "rank"  # ranking would have been too late: in the order of the generators' votes


@dataclass(frozen=True)
class Asked:
    """A request, understood.

    now: up to when everything is known. query: a batch of one. named: int32 [m], the items to put in order; None where
    they are to be chosen. barred: an item that may not be chosen, whatever else is allowed. sought: what
    the request's query looks for.
    """

    request: Asker
    request_id: str
    now: datetime
    query: Queries
    wishes: Wishes
    named: Codes | None = None
    barred: int | None = None
    sought: Sought | None = None
    fallbacks: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Made:
    """From candidates to a page.

    rows: `KEYS` and features, one row a candidate; None where the feature store did not answer. slates: what the
    ranker read; None where it was not asked. near: int32 [m], candidates that lie near the query, nearest first.
    read_at: by the machine's clock, just before the online store was read. late: whether the ranker was not asked
    since there was no time for it.
    """

    asked: Asked
    candidates: Candidates
    rows: Columns | None
    slates: Slates | None
    near: Codes
    order: Order
    page: Page
    read_at: datetime
    late: bool = False

    @cached_property
    def stored(self) -> pa.Table | None:
        """`rows` as a table, made when first asked for."""
        return None if self.rows is None else table_of(self.rows)

    @property
    def fallbacks(self) -> list[str]:
        """What the answer had to do without."""
        missing = [FEATURES] if self.rows is None else [RANK] if self.late else []
        return [*self.asked.fallbacks, *missing]
