"""Errors of `pipelines`.

PipelineError
├── DatasetError   a dataset that cannot be used at all (single bad rows are counted in `Rejected` instead)
└── HomeError      a home folder that is not writable, or in use by another run
"""


class PipelineError(Exception):
    """Root of all errors that `pipelines` raises on purpose."""


class DatasetError(PipelineError):
    """A dataset that cannot be used at all; single bad rows are counted in `Rejected` instead."""


class HomeError(PipelineError):
    """A home folder that is not writable, or in use by another run."""
