"""What happens in the sessions: slates of a logging policy, and choices by the planted truth."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit, log_softmax

from feature_repo import schema
from pipelines.datasets.planted.sessions import Session
from pipelines.datasets.planted.themes import DEVICES, PLACES
from pipelines.datasets.planted.truth import Truth
from ranking.types import Bools, Floats

IMPRESSION, CLICK, LIKE = "impression", "click", "like"

SLATE: Final = 5
EXPLORATION: Final = 0.3  # share of the logging policy that is uniform
EXAMINED: Final = (1.0, 0.75, 0.6, 0.5, 0.4)  # chance that a position is looked at
CLICK_BIAS: Final = -0.6  # logit of a click on an examined item that a free choice would take as often as any other
LIKE_BIAS: Final = -3.7  # the same of a like, where the item is consumed
SLATES, PICKS = 1.1, 2.4  # slates and further free choices (Poisson means) of a session
LEAST_CHOICE: Final = 40  # who has consumed all but so many items stays away
SECOND_US: Final = 1_000_000


class _Service:
    """The service as it runs: what has been consumed, how often, and the log."""

    def __init__(self, truth: Truth, rng: np.random.Generator) -> None:
        self.truth = truth
        self.rng = rng
        self.consumed = np.zeros((len(truth.users), len(truth.items)), bool)
        self.consumptions = np.zeros(len(truth.items))
        self.rows: list[tuple[object, ...]] = []
        self.requests = 0

    def visit(self, number: int, session: Session) -> None:
        """One session: slates that are looked through, then free choices, in proportion to exp(utility)."""
        at = np.array([session.at])
        utility = self.truth.utility(
            np.array([session.user]), at, np.array([session.device]), np.array([session.place])
        )[0]
        if (np.isfinite(utility) & ~self.consumed[session.user]).sum() < LEAST_CHOICE:
            return
        now = session.at
        for _ in range(self.rng.poisson(SLATES)):
            now = self._slate(number, session, now, self._appeal(session, utility))
        appeal = self._appeal(session, utility)
        free = np.flatnonzero(np.isfinite(appeal))
        # the largest of utility + Gumbel noise are draws without replacement in proportion to exp(utility)
        noisy = appeal[free] + self.rng.gumbel(size=len(free))
        for item in free[np.argsort(-noisy)[: self.rng.poisson(PICKS)]].tolist():
            now += int(self.rng.integers(20, 240)) * SECOND_US
            self._consume(number, session, now, item, appeal[item])

    def _appeal(self, session: Session, utility: Floats) -> Floats:
        """Log of how much likelier than by chance each item is the next free choice; -inf where it cannot be."""
        open_to_user = np.where(self.consumed[session.user], -np.inf, utility)
        appeal: Floats = log_softmax(open_to_user) + np.log(np.isfinite(open_to_user).sum(), dtype=np.float32)
        return appeal

    def _slate(self, number: int, session: Session, now: int, appeal: Floats) -> int:
        """Show one slate and let the user click; answers when the user is through with it."""
        chance = self._policy(np.isfinite(appeal))
        keys = np.log(chance, where=chance > 0, out=np.full(len(chance), -np.inf)) + self.rng.gumbel(size=len(chance))
        shown = np.argsort(-keys)[:SLATE]
        # what the draw of this position was, given the items above it
        propensity = chance[shown] / (1 - np.concatenate([[0], np.cumsum(chance[shown])[:-1]]))
        request = f"r{self.requests:06d}"
        self.requests += 1
        for position, item in enumerate(shown.tolist()):
            self._log(number, session, now, item, IMPRESSION, request, position, propensity[position])
        clicked = self.rng.random(SLATE) < EXAMINED * expit(appeal[shown] + CLICK_BIAS)
        for position in np.flatnonzero(clicked).tolist():
            now += int(self.rng.integers(5, 60)) * SECOND_US
            item, odds = int(shown[position]), propensity[position]
            self._consume(number, session, now, item, appeal[item], request, position, odds)
        return now + int(self.rng.integers(5, 60)) * SECOND_US

    def _policy(self, offered: Bools) -> npt.NDArray[np.float64]:
        """Chance of each item to be drawn for a slate: by popularity, mixed with uniform exploration."""
        popular = np.where(offered, 1 + self.consumptions, 0)
        chance: npt.NDArray[np.float64] = (
            1 - EXPLORATION
        ) * popular / popular.sum() + EXPLORATION * offered / offered.sum()
        return chance

    def _consume(
        self,
        number: int,
        session: Session,
        now: int,
        item: int,
        appeal: float,
        request: str | None = None,
        position: int | None = None,
        propensity: float | None = None,
    ) -> None:
        kind = LIKE if self.rng.random() < expit(appeal + LIKE_BIAS) else CLICK
        self._log(number, session, now, item, kind, request, position, propensity)
        self.consumed[session.user, item] = True
        self.consumptions[item] += 1

    def _log(
        self,
        number: int,
        session: Session,
        now: int,
        item: int,
        kind: str,
        request: str | None,
        position: int | None,
        propensity: float | None,
    ) -> None:
        place, device = PLACES[session.place], DEVICES[session.device]
        user_id, item_id = self.truth.users.ids[session.user], self.truth.items.ids[item]
        who = (user_id, item_id, kind, None, now, f"s{number:06d}", device, place)
        self.rows.append((*who, request, position, propensity))


def simulate(truth: Truth, sessions: list[Session], rng: np.random.Generator) -> pa.Table:
    """Run the service over sessions in order of time: `schema.EVENTS`, ascending in occurred_at."""
    service = _Service(truth, rng)
    for number, session in enumerate(sessions):
        service.visit(number, session)
    at = schema.EVENTS.names.index(schema.OCCURRED_AT) - 1
    service.rows.sort(key=lambda row: row[at])
    columns = zip(*service.rows, strict=True)
    ids = [f"e{number:07d}" for number in range(len(service.rows))]
    arrays = [pa.array(column, field.type) for column, field in zip((ids, *columns), schema.EVENTS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.EVENTS)
