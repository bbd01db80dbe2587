"""What a suite found: lines for people, JSON for programs."""

from dataclasses import asdict, dataclass
from typing import TypeAlias

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True)
class Outcome:
    """What one expectation found.

    expectation: Great Expectations' name of it. columns: what it speaks of, none for the table as a whole. limits: its
    arguments. observed: the aggregate that it judged, if it judged one. failing: rows that fail (0 for an aggregate) of
    `rows` that were looked at. examples: some of their values. error: why it could not be evaluated, if so.
    remedy: what to do about a failure.
    """

    expectation: str
    columns: tuple[str, ...]
    limits: dict[str, Plain]
    passed: bool
    observed: Plain = None
    failing: int = 0
    rows: int = 0
    examples: tuple[Plain, ...] = ()
    error: str | None = None
    remedy: str = ""

    def line(self, suite: str) -> str:
        """In words: `events.weight: expect_column_values_to_be_between (min_value=0.0): 2 of 9 rows, such as -1.0`.

        A remedy stands behind a semicolon.
        """
        where = f"{suite}.{', '.join(self.columns)}" if self.columns else suite
        limits = ", ".join(f"{name}={value}" for name, value in self.limits.items())
        if self.error is not None:
            found = f"could not be evaluated: {self.error}"
        elif self.failing:
            found = f"{self.failing} of {self.rows} rows, such as {', '.join(map(str, self.examples))}"
        else:
            found = f"observed {self.observed}"
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{where}: {self.expectation}{f' ({limits})' if limits else ''}: {found}{remedy}"


@dataclass(frozen=True)
class Report:
    """What a suite found in a table. notes: what was not checked, and why."""

    suite: str
    rows: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every expectation was evaluated and met."""
        return all(outcome.passed for outcome in self.outcomes)

    def failed(self) -> list[str]:
        """A line for each expectation that was not met or could not be evaluated."""
        return [outcome.line(self.suite) for outcome in self.outcomes if not outcome.passed]

    def errors(self) -> list[str]:
        """A line for each expectation that could not be evaluated."""
        return [outcome.line(self.suite) for outcome in self.outcomes if outcome.error is not None]

    def to_json(self) -> dict[str, object]:
        """The report as JSON values."""
        return {
            "suite": self.suite,
            "rows": self.rows,
            "passed": self.passed,
            "notes": list(self.notes),
            "outcomes": list(map(asdict, self.outcomes)),
        }
