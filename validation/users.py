"""What users may be."""

from feature_repo import schema
from validation.expectations import rows, unique
from validation.suite import Suite, ids


def suite() -> Suite:
    """Users of `schema.USERS`: at least one, each id once."""
    return Suite("users", (schema.USER_ID,), [rows(1), *ids(schema.USER_ID), unique(schema.USER_ID)])
