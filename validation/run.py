"""The only runner of suites: a table and its suite in, a report out; nothing is written, shown or sent."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from validation.errors import BrokenSuiteError, ValidationError
from validation.expectations import Expectation
from validation.report import Outcome, Plain, Report
from validation.suite import Suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation as Built
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

EXAMPLES: Final = 3  # failing values that are kept
_PLACE: Final = "place"  # in the suite; results come in another order
_NO_LIMITS: Final = frozenset({"column", "column_A", "column_B", "column_list", "batch_id", "ignore_row_if"})
_DEFAULTS: Final[dict[str, object]] = {"mostly": 1.0, "strict_min": False}


def validate(table: pa.Table, suite: Suite) -> Report:
    """Evaluate a suite on a table.

    A column that the table lacks is a failure, and then the only thing said. An expectation at which the engine itself
    fails is an outcome with an error, never a mere failure. Raises `BrokenSuiteError` for one that does not exist.
    """
    lacking = [column for column in suite.columns if column not in table.column_names]
    if lacking:
        there = _plain(table.column_names)
        outcomes = [Outcome("expect_column_to_exist", (one,), {}, passed=False, observed=there) for one in lacking]
        return Report(suite.name, len(table), tuple(outcomes), suite.notes)
    measured = suite.measured(table.select(suite.columns))
    with _quiet():
        results = _evaluate(measured, suite)
    pairs = zip(suite.expectations, results, strict=True)
    return Report(suite.name, len(table), tuple(_outcome(*pair, measured) for pair in pairs), suite.notes)


def require(report: Report) -> None:
    """Raise unless a report passed: `BrokenSuiteError` if anything could not be evaluated, else `ValidationError`."""
    if report.errors():
        raise BrokenSuiteError(report.failed())
    if not report.passed:
        raise ValidationError(report.failed())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without telemetry and without the deprecation warnings of Great Expectations' own dependencies."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _evaluate(table: pa.Table, suite: Suite) -> list[ExpectationValidationResult]:
    """One result an expectation, in the suite's order."""
    import great_expectations as gx  # late: takes 3 s
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    # built here: a suite that is given configurations drops those that it does not know
    expectations = [_built(one, suite, place) for place, one in enumerate(suite.expectations)]
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(suite.name)
    # categories: Great Expectations hashes the frame twice, and a column of strings is the dearest to hash
    frame = table.to_pandas(strings_to_categorical=True)
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    results = batch.validate(gx.ExpectationSuite(suite.name, expectations=expectations)).results
    return sorted(results, key=lambda result: _config(result).meta[_PLACE])


def _built(expectation: Expectation, suite: Suite, place: int) -> Built:
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        config = ExpectationConfiguration(expectation.type, dict(expectation.arguments), meta={_PLACE: place})
        return config.to_domain_obj()
    except (GreatExpectationsError, ValueError) as error:
        raise BrokenSuiteError([f"{suite.name}: {expectation.type} {expectation.arguments}: {error}"]) from error


def _outcome(expectation: Expectation, result: ExpectationValidationResult, measured: pa.Table) -> Outcome:
    config, found = _config(result), result.result
    columns = [config.kwargs[name] for name in ("column", "column_A", "column_B") if name in config.kwargs]
    examples = (found.get("partial_unexpected_list") or [])[:EXAMPLES]
    outcome = Outcome(
        expectation=config.type,
        columns=(*columns, *config.kwargs.get("column_list", [])),
        limits={
            name: _plain(value)
            for name, value in config.kwargs.items()
            if name not in _NO_LIMITS and value != _DEFAULTS.get(name)
        },
        passed=bool(result.success),
        observed=_plain(found.get("observed_value")),
        failing=int(found.get("unexpected_count") or 0),
        rows=int(found.get("element_count") or 0),
        examples=tuple(map(_plain, examples)),
        error=_error(result.exception_info or {}),
        remedy=expectation.remedy,
    )
    if not expectation.of_table or outcome.error is not None:
        return outcome
    number = measured[outcome.columns[0]].slice(0, 1).to_pylist()
    return replace(outcome, observed=_plain(number[0] if number else None), failing=0, rows=0, examples=())


def _config(result: ExpectationValidationResult) -> ExpectationConfiguration:
    if result.expectation_config is None:
        raise TypeError("a result of Great Expectations without its expectation")
    return result.expectation_config


def _error(exception_info: dict[str, object]) -> str | None:
    """What the engine raised: it tells of one exception, or of one by each metric that failed."""
    for info in (exception_info, *exception_info.values()):
        if isinstance(info, dict) and info.get("raised_exception"):
            return " ".join(str(info.get("exception_message")).split())
    return None


def _plain(value: object) -> Plain:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value)
