"""What was left out and why: nothing is dropped without a count."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

EXAMPLES: Final = 20  # rows named in full per table and reason; the count goes on


@dataclass
class Rejected:
    """Counts of rejected rows or files by (table, reason), the first `EXAMPLES` of each kept in full."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, table: str, reason: str, *, row: str, detail: str) -> None:
        """Count one. reason: of a closed set, snake_case. row: its id or number. detail: the value and the remedy."""
        self.counts[table, reason] += 1
        if self.counts[table, reason] <= EXAMPLES:
            self.examples.append((table, reason, row, detail))

    def __len__(self) -> int:
        return self.counts.total()

    def merge(self, other: "Rejected") -> None:
        """Take over the counts and examples of another."""
        self.counts.update(other.counts)
        self.examples.extend(other.examples)

    def summary(self) -> list[str]:
        """One line per table and reason: `items: 3 x missing_id (first: row 12: ...)`."""
        first = {(table, reason): (row, detail) for table, reason, row, detail in reversed(self.examples)}
        return [
            f"{table}: {count} x {reason} (first: {first[table, reason][0]}: {first[table, reason][1]})"
            for (table, reason), count in sorted(self.counts.items())
        ]

    def to_arrow(self) -> pa.Table:
        """Counts as a table: table, reason, count."""
        rows = [{"table": table, "reason": reason, "count": n} for (table, reason), n in sorted(self.counts.items())]
        return pa.Table.from_pylist(
            rows, pa.schema([("table", pa.string()), ("reason", pa.string()), ("count", pa.int64())])
        )
