"""Users as they are met: asked after their first events, by models that learned from other people alone."""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.splits import Protocol, Split
from ranking.types import Bools, Interactions, Queries

COUNTS: Final = (0, 1, 3, 5, 10)


def drawn_users(log: Interactions, share: float, *, seed: int = 0) -> Bools:
    """A seeded draw of the users who have any event, bool [n_users]; at least one of several."""
    met = np.unique(log.user)
    count = min(max(1, round(share * len(met))), max(len(met) - 1, 0))
    drawn = np.zeros(len(log.users), bool)
    drawn[np.random.default_rng(seed).permutation(met)[:count]] = True
    return drawn


def latecomers(log: Interactions, share: float) -> tuple[Interactions, Bools]:
    """The users who came last, bool [n_users], and the log as it was when the first of them came, with their events.

    As in production: nobody's later events are known to models that meet these users.
    """
    met, first = np.unique(log.user, return_index=True)  # the log ascends in time
    count = min(max(1, round(share * len(met))), max(len(met) - 1, 0))
    late = np.sort(first)[len(met) - count :]
    held = np.zeros(len(log.users), bool)
    held[met[np.isin(first, late)]] = True
    start = int(late[0]) if len(late) else len(log)
    return log.where((np.arange(len(log)) < start) | held[log.user]), held


def first_events(log: Interactions, held: Bools, *, counts: tuple[int, ...] = COUNTS) -> Split:
    """Hold out all events of some users (bool [n_users]) and ask about each after their first events.

    A query is a (count, user), counts in the outer order: its history are exactly the user's first so many events of
    `log`, and it is made at the moment of the next one, from that one's device and place. Relevant are the positive
    later items that the history does not hold; a user without any is not asked. What happened before the moment is
    known, as `as_of` says, but models learn from the other users of all times.
    """
    mine = held[log.user]
    train, test = log.where(~mine), log.where(mine)
    by_user = np.argsort(test.user, kind="stable")  # stable: keeps time order within a user
    starts = np.searchsorted(test.user[by_user], np.arange(len(log.users) + 1))
    histories, later = [], []
    for count in counts:
        for user in np.flatnonzero(np.diff(starts) > count).tolist():
            rows = by_user[starts[user] : starts[user + 1]]
            history, rest = rows[:count], rows[count:]
            wanted = rest[test.positive[rest] & ~np.isin(test.item[rest], test.item[history])]
            if len(wanted):
                histories.append(rows[: count + 1])
                later.append(wanted)
    return Split(
        protocol=Protocol.P2,
        train=train,
        test=test,
        queries=_queries(test, histories),
        relevant=_relevant(test, later),
        cutoff=None,
        parameters={"rule": "after the first events of users who were held out"},
    )


def _queries(test: Interactions, histories: list[npt.NDArray[np.int64]]) -> Queries:
    """One query a row of positions, of which the last is the event that the query is made at."""
    asked = np.array([rows[-1] for rows in histories], np.int64)
    known = np.concatenate([np.empty(0, np.int64), *(rows[:-1] for rows in histories)])
    lengths = np.array([len(rows) - 1 for rows in histories], np.int64)
    return Queries(
        user=test.user[asked],
        at=test.occurred_at[asked],
        as_of=test.occurred_at[asked],
        device=test.device[asked],
        place=test.place[asked],
        indptr=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        item=test.item[known],
        occurred_at=test.occurred_at[known],
        weight=test.weight[known],
        positive=test.positive[known],
        n_items=len(test.items),
    )


def _relevant(test: Interactions, later: list[npt.NDArray[np.int64]]) -> sparse.csr_matrix:
    row = np.repeat(np.arange(len(later)), [len(rows) for rows in later])
    found = np.concatenate([np.empty(0, np.int64), *later])
    shape = (len(later), len(test.items))
    return sparse.csr_matrix((np.ones(len(row), bool), (row, test.item[found])), shape=shape, dtype=bool)
