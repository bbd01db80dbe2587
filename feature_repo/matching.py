"""How items fit a user and a request, row by row: loops that numpy makes many passes of, compiled when first called."""

from typing import Final, TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from feature_repo.columns import Places
from feature_repo.names import Bools, Names, Numbers

Singles: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]

# An item's share of a context counts as if this many interactions, spread evenly, had come before.
PRIOR_INTERACTIONS: Final = 10.0


@numba.njit(cache=True, nogil=True)
def mean_weights(names: Names, held: Names, holder: Places, weights: Numbers) -> tuple[Singles, Bools]:
    """Mean over a row's names of the weights that its holder gives them, float32 [n]; and where it is null, bool [n].

    holder: (n,) a place in `held` and `weights`. A name that is not held, or has no weight, weighs 0; one that is held
    twice weighs what it does first. Null where a row has no names, or its holder's list is null.
    """
    mean, null = np.zeros(len(holder), np.float32), np.empty(len(holder), np.bool_)
    for row in range(len(holder)):
        first, end, by = names.first[row], names.first[row + 1], holder[row]
        null[row] = names.null[row] or first == end or held.null[by]
        if null[row]:
            continue
        total = 0.0
        for name in range(first, end):
            for place in range(held.first[by], held.first[by + 1]):
                if _same(names, name, held, place):
                    total += _number(weights, by, place - held.first[by])
                    break
        mean[row] = total / (end - first)
    return mean, null


@numba.njit(cache=True, nogil=True)
def named_lifts(asked: Names, of_row: Places, names: Names, counts: Numbers) -> tuple[Singles, Bools]:
    """Lift of the named context that each row asks for, float32 [n]; and where it is null, as none is named, bool [n].

    of_row: (n,) a place in `asked`, whose lists hold one name each. names, counts: n lists, what was counted so far; a
    name without a count counts 0. An even spread is one over the names that the row or the request knows, at least 2.
    """
    lifts, null = np.zeros(len(of_row), np.float32), np.empty(len(of_row), np.bool_)
    for row in range(len(of_row)):
        null[row] = asked.null[of_row[row]]
        if null[row]:
            continue
        first = names.first[row]
        size = 0 if names.null[row] else names.first[row + 1] - first
        chosen, total, known = 0.0, 0.0, size + 1
        for place in range(size):
            count = _number(counts, row, place)
            total += count
            if _same(asked, of_row[row], names, first + place):
                chosen += count
                known = size
        lifts[row] = _lift(chosen, total, 1 / max(known, 2))
    return lifts, null


@numba.njit(cache=True, nogil=True)
def time_lifts(
    daypart: Ints, is_weekend: Bools, of_row: Places, by_daypart: Ints, on_weekends: Ints
) -> tuple[Singles, Singles]:
    """Lifts of each row's part of the day, and of the weekend or the week, float32 [n] each.

    daypart, is_weekend: of each moment. of_row: (n,) the place of each row's moment. by_daypart: int64 [4, n], what was
    chosen then; on_weekends: int64 [n].
    """
    n = len(of_row)
    of_daypart, of_weekend = np.empty(n, np.float32), np.empty(n, np.float32)
    for row in range(n):
        moment = of_row[row]
        total = by_daypart[:, row].sum()
        of_daypart[row] = _lift(by_daypart[daypart[moment], row], total, 1 / 4)
        if is_weekend[moment]:
            of_weekend[row] = _lift(on_weekends[row], total, 2 / 7)
        else:
            of_weekend[row] = _lift(total - on_weekends[row], total, 5 / 7)
    return of_daypart, of_weekend


@numba.njit(cache=True, nogil=True)
def _lift(chosen: float, total: float, even: float) -> float:
    """Smoothed P(context | item), divided by what an even spread would give."""
    return (chosen / even + PRIOR_INTERACTIONS) / (total + PRIOR_INTERACTIONS)


@numba.njit(cache=True, nogil=True)
def _number(numbers: Numbers, row: int, place: int) -> float:
    at = numbers.first[row] + place
    return numbers.values[at] if at < numbers.first[row + 1] else 0.0


@numba.njit(cache=True, nogil=True)
def _same(some: Names, name: int, others: Names, other: int) -> bool:
    begin, there = some.ends[name], others.ends[other]
    size = some.ends[name + 1] - begin
    if some.hashes[name] != others.hashes[other] or others.ends[other + 1] - there != size:
        return False
    for step in range(size):  # noqa: SIM110 - numba knows no `all` of a generator
        if some.data[begin + step] != others.data[there + step]:
            return False
    return True
