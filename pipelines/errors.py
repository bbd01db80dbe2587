"""Errors of `pipelines`.

PipelineError
├── DatasetError   a dataset that cannot be used at all (single bad rows are counted in `Rejected` instead)
├── HomeError      a home folder that is not writable, or in use by another run
└── SuiteError     a table that its suite refuses: nothing that builds on it was made
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """Root of all errors that `pipelines` raises on purpose."""


class DatasetError(PipelineError):
    """A dataset that cannot be used at all; single bad rows are counted in `Rejected` instead."""


class HomeError(PipelineError):
    """A home folder that is not writable, or in use by another run."""


class SuiteError(PipelineError):
    """A table that its suite refuses: nothing that builds on it was made."""

    def __init__(self, failed: Sequence[str]) -> None:
        super().__init__(f"{'; '.join(failed)}; mend the data and run again: what was served before stays")
