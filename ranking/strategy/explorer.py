"""The ways of letting chance in, by name; apart from how they draw, so that a client need not import that."""

from enum import StrEnum


class Explorer(StrEnum):
    """How chance is let in."""

    EPSILON = "epsilon"
    THOMPSON = "thompson"
