"""What is learned from and what is asked: three ways of dividing a log in time, and a dataset's own.

Applied to a split's own `train`, the same function gives validation windows and the ranker's training windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from feature_repo.epoch import moment_of
from feature_repo.schema import SplitPart
from ranking.types import PARTS, UNKNOWN, Bools, Codes, Interactions, Parts, Queries, Times

MIN_EVENTS: Final = 5  # P2: a user with fewer keeps them all; a fifth of four is less than one
MIN_TRAIN_SHARE: Final = 0.5  # P1: a cutoff before the median event would leave models less than they are asked for

Positions: TypeAlias = npt.NDArray[np.int64]


class Protocol(StrEnum):
    """How a log is divided; results of different protocols must never be compared with each other.

    P1: one moment for everybody, as in production: nobody's future is known. P2: each user's latest share of events;
    other users' later events are known. P3: each user's last new item, the habit of the sequence literature. FIXED: the
    dataset's own parts, as published; test is held out, of what is left then validation, then each user's latest share.
    """

    P1 = "p1"
    P2 = "p2"
    P3 = "p3"
    FIXED = "fixed"


def protocols_of(log: Interactions) -> tuple[Protocol, ...]:
    """What a log is evaluated by: the dataset's own split alone where it brings one, else P1 to P3."""
    return (Protocol.FIXED,) if log.part is not None else (Protocol.P1, Protocol.P2, Protocol.P3)


def served_protocol(log: Interactions) -> Protocol:
    """The protocol whose windows teach the served ranker: they hold every user's latest wishes."""
    return Protocol.FIXED if log.part is not None else Protocol.P2


@dataclass(frozen=True)
class Split:
    """A divided log, q evaluated users in ascending order of their codes.

    train: what models may learn from, events of one moment in a seeded random order. test: the held-out events of the
    evaluated users, in the order of the division; held-out events of users without a relevant item are in neither.
    queries: one row an evaluated user. `at`, device and place are those of the user's first held-out event; `as_of` is
    `at`, under P1 the cutoff, of a dataset's own parts the first moment that anything is held out of. The history is
    exactly the user's rows of `train`: under P2 and P3 events of the same moment as `at` are among them when their item
    id stands before it, of a dataset's own parts all that the user did there, whenever.
    relevant: bool CSR [q, n_items], at least one a row: positive held-out items that are not in the history; under P3
    the one new item whatever its sign.
    cutoff: P1's moment, train lies strictly before it; else None. parameters: for reports.
    """

    protocol: Protocol
    train: Interactions
    test: Interactions
    queries: Queries
    relevant: sparse.csr_matrix
    cutoff: int | None
    parameters: Mapping[str, str | int | float]


def split(
    log: Interactions,
    protocol: Protocol,
    *,
    share: float = 0.2,
    min_users: int = 100,
    newcomers: bool = False,
    tie_seed: int = 0,
) -> Split:
    """Divide `log` in the order of (occurred_at, item_id); deterministic.

    share: held-out share of the events, of all under P1 and of each user's under P2 (rounded down, at least one of
    five). min_users: P1's cutoff stands at the (1 - share) quantile of event times, or at the latest moment before
    it, but not before the median, that leaves this many users both a history and something relevant; when none does,
    at the one that leaves most. newcomers: P1 and a dataset's own parts also ask for users who have no history (rows
    with an empty one). Events that a dataset's own split does not name are in neither part.
    tie_seed: of the order in which models see the events of one moment.
    Raises ValueError for a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; accepted are numbers between 0 and 1, for example 0.2")
    log, cutoff = log.ties_by_item(), None
    part = _held_out_part(log) if protocol is Protocol.FIXED else None
    if part is not None:
        log = log.where(_parts(log) != UNKNOWN)
        held = _parts(log) == part
        wanted = held & log.positive & ~_seen(log, held)
    elif protocol is Protocol.P1:
        cutoff = _cutoff(log, share, min_users)
        held = log.occurred_at >= cutoff
        wanted = held & log.positive & ~_seen(log, held)
    elif protocol is Protocol.P3:
        held, wanted = _last_new_item(log)
    else:
        held = _latest(log, share)
        wanted = held & log.positive & ~_seen(log, held)
    asked = _mask(log.user[wanted], len(log.users))
    if not newcomers:
        asked &= _mask(log.user[~held], len(log.users))
    train, test = log.where(~held).ties_shuffled(tie_seed), log.where(held & asked[log.user])
    as_of = cutoff if part is None else int(log.occurred_at[held].min())
    queries = _queries(train, test, as_of)
    return Split(
        protocol=protocol,
        train=train,
        test=test,
        queries=queries,
        relevant=_relevant(log.where(wanted & asked[log.user]), queries.user),
        cutoff=cutoff,
        parameters=_parameters(protocol, share, cutoff, part, float(held.mean()) if len(log) else 0.0),
    )


def _held_out_part(log: Interactions) -> int | None:
    """The code of the last part that a log has events of, where it is one to hold out: test, or else validation."""
    last = int(_parts(log).max(initial=UNKNOWN))
    return last if last > PARTS.index(SplitPart.TRAIN) else None


def _parts(log: Interactions) -> Parts:
    return np.full(len(log), UNKNOWN, np.int8) if log.part is None else log.part


def _pairs(log: Interactions) -> Positions:
    """One number a (user, item), int64 [n]."""
    return log.user.astype(np.int64) * len(log.items) + log.item


def _first_positions(log: Interactions) -> Positions:
    """Position of the first event of each (user, item)."""
    first: Positions
    _, first = np.unique(_pairs(log), return_index=True)
    return first


def _cutoff(log: Interactions, share: float, min_users: int) -> int:
    """P1's moment. A cutoff c evaluates a user whose first event is before c and whose latest new item is not."""
    if not len(log):
        return 0
    pair = _pairs(log)
    new = _first_positions(log)
    new = new[np.isin(pair[new], pair[log.positive])]
    begun = np.full(len(log.users), np.iinfo(np.int64).max)
    last_new = np.full(len(log.users), np.iinfo(np.int64).min)
    np.minimum.at(begun, log.user, log.occurred_at)
    np.maximum.at(last_new, log.user[new], log.occurred_at[new])
    both = begun < last_new
    latest = int(len(log) * (1 - share))
    earliest = min(int(len(log) * MIN_TRAIN_SHARE), latest)
    times = np.unique(log.occurred_at[earliest : latest + 1])[::-1]  # latest first
    evaluated = np.searchsorted(np.sort(begun[both]), times) - np.searchsorted(np.sort(last_new[both]), times)
    enough = evaluated >= min(min_users, int(evaluated.max()))
    return int(times[np.argmax(enough)])


def _latest(log: Interactions, share: float) -> Bools:
    """Each user's latest share of events, by place in the log."""
    count = np.bincount(log.user, minlength=len(log.users))
    by_user = np.argsort(log.user, kind="stable")
    place = np.empty(len(log), np.int64)
    place[by_user] = np.arange(len(log)) - (np.cumsum(count) - count)[log.user[by_user]]
    kept = count - np.maximum(1, np.floor(count * share + 1e-9).astype(np.int64))
    return np.asarray((place >= kept[log.user]) & (count[log.user] >= MIN_EVENTS))


def _last_new_item(log: Interactions) -> tuple[Bools, Bools]:
    """Each user's events from the last new item on, and the first of them: its item is the one to find.

    Without repeated pairs that is the last event. A repeated item could not be found, as seen items are never
    recommended. A user of a single item keeps it: without a history there is nothing to go by.
    """
    new = _first_positions(log)
    begun = np.full(len(log.users), len(log))
    last = np.full(len(log.users), -1)
    np.minimum.at(begun, log.user[new], new)
    np.maximum.at(last, log.user[new], new)
    position = np.arange(len(log))
    usable = (begun < last)[log.user]
    return usable & (position >= last[log.user]), usable & (position == last[log.user])


def _seen(log: Interactions, held: Bools) -> Bools:
    """Events whose (user, item) also stands among those that are not held out."""
    pair = _pairs(log)
    return np.isin(pair, pair[~held])


def _mask(codes: Codes, n: int) -> Bools:
    mask = np.zeros(n, bool)
    mask[codes] = True
    return mask


def _queries(train: Interactions, test: Interactions, as_of: int | None) -> Queries:
    """as_of: of all queries; None: each knows what was before its own moment."""
    user, first = np.unique(test.user, return_index=True)
    at: Times = test.occurred_at[first]
    end = np.full(len(at), np.iinfo(np.int64).max)
    queries = Queries.from_interactions(train, user, at, as_of=end, device=test.device[first], place=test.place[first])
    return replace(queries, as_of=at if as_of is None else np.full(len(at), as_of))


def _relevant(wanted: Interactions, users: Codes) -> sparse.csr_matrix:
    row = np.searchsorted(users, wanted.user)
    found = np.ones(len(wanted), bool)
    return sparse.csr_matrix((found, (row, wanted.item)), shape=(len(users), len(wanted.items)), dtype=bool)


def _parameters(
    protocol: Protocol, share: float, cutoff: int | None, part: int | None, held_share: float
) -> Mapping[str, str | int | float]:
    stated: dict[str, str | int | float] = {"held_out_share": round(held_share, 4)}
    if part is not None:
        learned = " and ".join(PARTS[:part])
        return {"rule": f"the dataset's own split: {PARTS[part]}, known is {learned}", **stated}
    if cutoff is not None:
        moment = moment_of(cutoff)
        return {"rule": "one cutoff for all", "share": share, "cutoff": moment.isoformat(), **stated}
    if protocol in (Protocol.P2, Protocol.FIXED):
        return {"rule": "latest events of each user", "share": share, "min_events": MIN_EVENTS, **stated}
    return {"rule": "last new item of each user", **stated}
