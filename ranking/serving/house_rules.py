"""The rules that every request is answered under, as a file that may change while the server runs."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ranking.strategy.rules.compiled import NO_RULES, RuleSet
from ranking.strategy.rules.compiler import Compiler

_log = logging.getLogger(__name__)

Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Read:
    """stamp: of the file as it was read. broken: it holds faults, and `rules` are not all of it."""

    stamp: Stamp
    rules: RuleSet
    broken: bool


class HouseRules:
    """Of one release: looked at by every request, read again when the file has changed.

    A file with a fault leaves the rules as they were before it; where there were none yet, its good ones count.
    """

    def __init__(self, path: Path | None, compiler: Compiler) -> None:
        self._path, self._compiler = path, compiler
        self._read = _Read(None, NO_RULES, broken=False)

    def current(self) -> tuple[RuleSet, bool]:
        """The rules, and whether the file is broken. Any number of threads may ask."""
        read = self._read
        stamp = None if self._path is None else _stamp(self._path)
        if stamp != read.stamp:
            read = self._read = self._again(read, stamp)
        return read.rules, read.broken

    def _again(self, before: _Read, stamp: Stamp) -> _Read:
        if self._path is None or stamp is None:
            return _Read(None, NO_RULES, broken=False)
        try:
            linted = self._compiler.lint_lines(self._path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            _log.error("%s: the rules are not read (%s); the ones before it stay", self._path, error)
            return _Read(stamp, before.rules, broken=True)
        for one in linted.faults:
            _log.log(
                logging.INFO if one.warning else logging.ERROR,
                "%s:%d:%d: %s",
                self._path,
                one.line,
                one.column,
                one.text,
            )
        if linted.errors:
            kept = before.rules or linted.rules
            _log.error("%s: a rule is wrong; %s", self._path, "the ones before it stay" if before.rules else "left out")
            return _Read(stamp, kept, broken=True)
        _log.info("%s: %d rules", self._path, linted.count)
        return _Read(stamp, linted.rules, broken=False)


def _stamp(path: Path) -> Stamp:
    """What changes with the file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
