"""Trials on disk: Optuna studies in one journal of JSON lines, so that a search that ends, or is killed, can go on.

Who opens a journal holds the home, so there is one process at a time.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.errors import TuningError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# optuna is heavy and only a search needs it: it is imported where it is used

log = logging.getLogger(__name__)

JOURNAL: Final = "trials.jsonl"  # in the home
STARTUP: Final = 5  # finished trials before the sampler makes use of them
PARTS: Final = "ndcg"  # attribute of a trial: its NDCG on each part of what it is measured on
UNFIT: Final = "unfit"  # attribute, and state, of a trial whose configuration cannot be fitted

Value: TypeAlias = "bool | int | float | str | None"
Params: TypeAlias = dict[str, Value]
Arrays: TypeAlias = list[npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Budget:
    """A time to stop at. end: by `clock`, seconds."""

    end: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, minutes: float, clock: Callable[[], float] = time.monotonic) -> Self:
        """So many minutes from now on."""
        return cls(clock() + 60 * minutes, clock)

    @property
    def spent(self) -> bool:
        """Whether it is time to stop."""
        return self.clock() >= self.end


@dataclass(frozen=True)
class Attempt:
    """A trial as the journal has it.

    parts: what it reached on each part of its measure, empty unless it is finished; facts: seconds and the like.
    state: `unfit` (the configuration cannot be fitted) or Optuna's, in lower case: `complete`, `fail` (interrupted or
    killed), `pruned` (given up: no time was left), `running`.
    """

    number: int
    params: Params
    parts: tuple[float, ...]
    facts: dict[str, float]
    state: str
    started_at: datetime | None

    @property
    def value(self) -> float | None:
        """The mean of the parts, None where the trial is not finished."""
        return float(np.mean(self.parts)) if self.parts else None


class Journal:
    """All studies of one file.

    Raises `TuningError` for a file that is damaged or cannot be read. A last line that was cut off is left out: it is
    what a kill left of the trial at work.
    """

    def __init__(self, path: Path, *, seed: int = 0) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path, self._seed = path, seed
        with told(path):
            _mend(path)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # left by a kill
            backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
            self._storage: JournalStorage = JournalStorage(backend)

    def names(self) -> list[str]:
        """The studies, the oldest first."""
        return [one.study_name for one in self._storage.get_all_studies()]

    def study(self, name: str) -> "Study":
        """A study of that name, begun if it is not there."""
        import optuna

        with told(self.path):
            found = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
            )
        return Study(found, self.path, self._seed)


class Study:
    """The trials of one thing that is tuned, on one set of data; more is better."""

    def __init__(self, study: "optuna.Study", path: Path, seed: int) -> None:
        self._study, self._path, self._seed = study, path, seed
        self._orphans = True

    @property
    def name(self) -> str:
        """What was given to `Journal.study`."""
        return self._study.study_name

    def attempts(self) -> list[Attempt]:
        """All trials in the order of their numbers."""
        return [_attempt(one) for one in self._study.get_trials(deepcopy=False)]

    def finished(self) -> list[Attempt]:
        """Those that have a value."""
        return [one for one in self.attempts() if one.parts]

    def tried(self) -> list[Attempt]:
        """Those that have a value or can have none."""
        return [one for one in self.attempts() if one.parts or one.state == UNFIT]

    def ask(self, point: Params | None = None) -> "optuna.Trial":
        """Begin a trial, at a point or at what the sampler proposes.

        The sampler draws by the number of those tried: a search that was interrupted proposes what it would have.
        """
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        with told(self._path):
            if self._orphans:  # trials that a kill found at work
                for lost in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                    self._study.tell(lost.number, state=TrialState.FAIL)
                self._orphans = False
            waits = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if point is not None and not waits:
                self._study.enqueue_trial(point)
            self._study.sampler = TPESampler(seed=self._seed + len(self.tried()), n_startup_trials=STARTUP)
            return self._study.ask()

    def tell(self, trial: "optuna.Trial", parts: Sequence[float], facts: Mapping[str, float] | None = None) -> None:
        """End a trial with what it reached on each part."""
        with told(self._path):
            for name, fact in (facts or {}).items():
                trial.set_user_attr(name, fact)
            trial.set_user_attr(PARTS, list(parts))
            self._study.tell(trial, float(np.mean(parts)))

    def refuse(self, trial: "optuna.Trial") -> None:
        """End a trial whose configuration cannot be fitted."""
        from optuna.trial import TrialState

        with told(self._path):
            trial.set_user_attr(UNFIT, True)
            self._study.tell(trial, state=TrialState.FAIL)

    def give_up(self, trial: "optuna.Trial") -> None:
        """End a trial for which the time did not suffice."""
        from optuna.trial import TrialState

        with told(self._path):
            self._study.tell(trial, state=TrialState.PRUNED)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Errors of a journal as `TuningError`."""
    try:
        yield
    except OSError as error:
        raise TuningError(
            f"{path}: cannot be written ({error.strerror}); make room or give another home, and run again: the search "
            "goes on from the last finished trial"
        ) from error
    except (LookupError, TypeError, AttributeError, AssertionError) as error:
        raise TuningError(f"{path}: no journal of trials ({error!r}); delete it to begin anew") from error


def digest(stated: Sequence[str], arrays: Arrays) -> str:
    """16 hexadecimal digits that are the same for the same strings and arrays."""
    found = hashlib.sha256("\n".join(stated).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def _mend(path: Path) -> None:
    """Cut off a last line without its end; refuse one that is no JSON object."""
    if not path.exists():
        return
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    for number, line in enumerate(kept.splitlines(), 1):
        try:
            fine = isinstance(json.loads(line), dict)
        except ValueError:
            fine = False
        if not fine:
            raise TuningError(
                f"{path}: line {number} is damaged; cut the file off before it to keep what was tried earlier, or "
                "delete the file to begin anew"
            )
    if kept != whole:
        log.warning("%s: the last line was cut off, and so is left out", path)
        with path.open("r+b") as file:
            file.truncate(len(kept))


def _attempt(trial: "FrozenTrial") -> Attempt:
    parts = trial.user_attrs.get(PARTS, ()) if trial.state.name == "COMPLETE" else ()
    return Attempt(
        number=trial.number,
        params=dict(trial.params),
        parts=tuple(parts),
        facts={name: fact for name, fact in trial.user_attrs.items() if name not in (PARTS, UNFIT)},
        state=UNFIT if UNFIT in trial.user_attrs else trial.state.name.lower(),
        started_at=None if trial.datetime_start is None else trial.datetime_start.astimezone(UTC),
    )
