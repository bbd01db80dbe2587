import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from validation import expectations as expect
from validation.errors import BrokenSuiteError, ValidationError
from validation.expectations import Expectation
from validation.run import require, validate
from validation.suite import Suite

TABLE = pa.table({"n": [1, 2, 3, None], "name": ["a", "b", "b", "c"]})


def suite(*expectations: Expectation) -> Suite:
    return Suite("numbers", ("n", "name"), expectations)


def test_a_report_says_what_was_expected_what_was_found_and_where() -> None:
    report = validate(TABLE, suite(expect.between("n", 2, 9), expect.unique("name"), expect.rows(5), expect.rows(4)))
    assert report.failed() == [
        "numbers.n: expect_column_values_to_be_between (min_value=2.0, max_value=9.0): 1 of 4 rows, such as 1.0",
        "numbers.name: expect_column_values_to_be_unique: 2 of 4 rows, such as b, b",
        "numbers: expect_table_row_count_to_be_between (min_value=5): observed 4",
    ]
    assert [outcome.passed for outcome in report.outcomes] == [False, False, False, True]


def test_what_the_engine_cannot_evaluate_is_an_error_not_a_mere_failure() -> None:
    report = validate(TABLE, suite(expect.between("name", 0), expect.not_null("gone"), expect.not_null("n")))
    assert not report.passed
    assert len(report.failed()) == 3
    first, second = report.errors()
    assert first.startswith(
        "numbers.name: expect_column_values_to_be_between (min_value=0.0): could not be evaluated: "
    )
    assert '"gone" in BatchData does not exist' in second
    with pytest.raises(BrokenSuiteError, match="could not be evaluated"):
        require(report)


def test_an_expectation_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(BrokenSuiteError, match="expect_wonders"):
        validate(TABLE, suite(expect.not_null("name"), Expectation("expect_wonders", {})))
    with pytest.raises(BrokenSuiteError, match="expect_column_values_to_not_be_null"):
        validate(TABLE, suite(Expectation("expect_column_values_to_not_be_null", {"colunm": "name"})))


def test_a_column_that_is_not_there_is_a_failure_that_names_it() -> None:
    report = validate(TABLE.drop_columns("n"), suite(expect.not_null("name")))
    assert report.failed() == ["numbers.n: expect_column_to_exist: observed ['name']"]
    with pytest.raises(ValidationError, match=r"numbers\.n"):
        require(report)


def test_a_report_that_passed_is_let_through() -> None:
    require(validate(TABLE, suite(expect.not_null("name"))))


def test_a_report_is_json() -> None:
    table = pa.table({"at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)]), "x": pa.array([np.inf], pa.float32())})
    bounds = expect.between("at", datetime(2025, 1, 1, tzinfo=UTC)), expect.finite("x")
    told = json.loads(json.dumps(validate(table, Suite("s", ("at", "x"), bounds)).to_json(), allow_nan=False))
    assert (told["suite"], told["rows"], told["passed"]) == ("s", 1, False)
    assert told["outcomes"][0]["limits"]["min_value"] == "2025-01-01T00:00:00+00:00"
    assert told["outcomes"][1]["examples"] == ["inf"]


_QUIET = """
import sys
import pyarrow as pa
from validation import users
from validation.run import validate
assert "great_expectations" not in sys.modules
assert validate(pa.table({"user_id": ["u1", "u2"]}), users.suite()).passed
"""


def test_a_run_is_silent_writes_nothing_and_imports_the_engine_late(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", _QUIET]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
