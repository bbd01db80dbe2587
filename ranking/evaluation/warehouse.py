"""The evaluation's tables in one DuckDB file: splits, rankings and every user's metrics (columns: sql/schema.sql).

Metrics are computed when a ranking is written, so that a report is a mere read.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb
import pyarrow as pa

from feature_repo import schema
from ranking.candidates.reach import Reach
from ranking.errors import ArtifactError
from ranking.evaluation import rows
from ranking.evaluation.candidates import budgets_of, generators_of
from ranking.evaluation.slices import user_slices
from ranking.point_metrics import Reliability
from ranking.splits import Split
from ranking.types import Codes, Floats

LAYOUT: Final = 2  # raised when a table of the evaluation gets other columns: what an older version wrote is dropped
K: Final = 10
OF_A_MODEL: Final = ("models", "rankings", "per_user", "exposure")
POINTS: Final = ("point_predictions", "reliability")
OF_A_PROTOCOL: Final = (
    *("protocols", "splits", "queries", "catalogue", "targets", "user_slices", "candidates", "comparisons"),
    *POINTS,
    *("candidate_generators", "candidate_budgets"),
    *OF_A_MODEL,
)


@cache
def statement(name: str) -> str:
    """Text of `sql/NAME.sql`."""
    return (resources.files("ranking.evaluation") / "sql" / f"{name}.sql").read_text()


class Warehouse:
    """One connection. DuckDB lets one process write a file, or several read it, never both."""

    def __init__(self, path: Path, *, read_only: bool = False, threads: int = 2) -> None:
        """Open the file, created with its tables if it is to be written; raises `ArtifactError` when it cannot be."""
        try:
            self._db = duckdb.connect(path, read_only=read_only, config={"threads": threads})
        except duckdb.IOException as error:
            raise ArtifactError(f"{path}: {_refusal(path, error)}") from error
        self._path = path
        self._db.execute("set timezone = 'UTC'")
        if not read_only:
            self._lay_out()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def read(self, name: str, values: Mapping[str, str] | None = None) -> pa.Table:
        """Rows of `sql/NAME.sql` with its $names bound to `values`; `ArtifactError` where its table is not there."""
        try:
            return self._db.sql(statement(name), params=dict(values or {})).to_arrow_table()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            found = str(error).splitlines()[0]
            raise ArtifactError(
                f"{self._path}: made by an older version ({found}); run `trichord run` again"
            ) from error

    def write_run(self, *, dataset: str, seeds: Sequence[int], release: str | None = None) -> None:
        """Say what is evaluated; a later call, when a release has got its id, replaces an earlier one."""
        with self._transaction():
            self._db.execute("delete from run")
            self._db.execute("insert into run values (?, ?, ?)", [dataset, release, list(seeds)])

    def table(self, name: str) -> pa.Table | None:
        """A whole table that another part of the product may have written; None where it is absent or empty."""
        if not self._db.execute("from duckdb_tables() where table_name = ?", [name]).fetchall():
            return None
        found = self._db.table(name).to_arrow_table()
        return found if len(found) else None

    def write_split(self, split: Split, users: pa.Table | None = None) -> None:
        """Store a split and forget everything that was measured on an earlier one of the same protocol.

        users: user_id and attributes, by which users are sliced.
        """
        known = pa.table({schema.USER_ID: pa.array([], pa.string())}) if users is None else users
        stated = [json.dumps(dict(split.parameters)), len(split.train.items)]
        with self._transaction():
            self._forget(OF_A_PROTOCOL, [split.protocol])
            self._db.execute("insert into protocols values (?, ?, ?)", [split.protocol, *stated])
            self._insert("splits", [split.protocol], rows.events_of(split))
            self._insert("queries", [split.protocol], rows.queries_of(split))
            with self._view("ids", pa.table({schema.ITEM_ID: pa.array(split.train.items.ids, pa.string())})):
                self._db.execute(statement("catalogue"), {"protocol": split.protocol})
            self._insert("user_slices", [split.protocol], user_slices(split, known))
            self._db.execute(statement("targets"), {"protocol": split.protocol})

    def write_rankings(
        self,
        split: Split,
        model: str,
        items: Codes,
        scores: Floats,
        *,
        fit_s: float | None = None,
        validation_ndcg: float | None = None,
        vectors: Floats | None = None,
    ) -> None:
        """Store a model's answers to `split.queries` and its metrics, in place of earlier ones of the same name.

        items, scores: [q, k], best first, as `top_k` gives them; k is at least `rows.TOP` or the whole catalogue, and
        the rest is cut off. fit_s: seconds. validation_ndcg: of the model's configuration, where it was chosen.
        vectors: [n_items, d] by which the items of a list are alike, zeros for an item without. Raises ValueError for
        other shapes, an item of the query's own history, an item twice in a row, or a name that cannot be a file's.
        """
        rows.check_rankings(split, model, items, scores)
        named = {"protocol": split.protocol.value, "model": model}
        keys = list(named.values())
        with self._transaction():
            self._forget(OF_A_MODEL, keys)
            self._db.execute("insert into models values (?, ?, ?, ?)", [*keys, fit_s, validation_ndcg])
            self._insert("rankings", keys, rows.rankings_of(split, items[:, : rows.TOP], scores[:, : rows.TOP]))
            with self._view("diversities", rows.diversities_of(split, items, vectors, k=K)):
                self._db.execute(statement("per_user"), named)
            self._db.execute(statement("exposure"), named)

    def write_candidates(self, split: Split, items: Codes) -> None:
        """Store how much of what is relevant the candidates hold: codes [q, c], `UNKNOWN` where there are fewer."""
        with self._transaction(), self._view("found", rows.candidates_of(split, items)):
            self._forget(["candidates"], [split.protocol])
            self._db.execute(statement("candidate_recall"), {"protocol": split.protocol})

    def write_reach(self, split: Split, reach: Reach) -> None:
        """Store what each generator gives to the candidates, in place of an earlier table."""
        with self._transaction():
            self._forget(["candidate_generators", "candidate_budgets"], [split.protocol])
            self._insert("candidate_generators", [split.protocol], generators_of(reach))
            self._insert("candidate_budgets", [split.protocol], budgets_of(reach))

    def write_comparisons(self, protocol: str, table: pa.Table) -> None:
        """Store how the hybrid stands against each model of a protocol, in place of an earlier table."""
        with self._transaction():
            self._forget(["comparisons"], [protocol])
            self._insert("comparisons", [protocol], table)

    def write_points(
        self, split: Split, model: str, metrics: Mapping[str, float], bins: Reliability | None = None
    ) -> None:
        """Store what a model's point predictions are worth, in place of an earlier measurement; bins: of chances."""
        keys = [split.protocol.value, model]
        values = {"metric": list(metrics), "value": list(metrics.values())}
        with self._transaction():
            self._forget(POINTS, keys)
            self._insert("point_predictions", keys, pa.table(values))
            if bins is not None:
                told = {"predicted": bins.predicted, "observed": bins.observed, "n": bins.n}
                self._insert("reliability", keys, pa.table({"bin": range(len(bins.n)), **told}))

    def write_help_wanted(self, table: pa.Table) -> None:
        """Store which items want help, in place of an earlier table."""
        with self._transaction(), self._view("values_to_insert", table):
            self._db.execute("delete from help_wanted")
            self._db.execute("insert into help_wanted by name select * from values_to_insert")

    def _lay_out(self) -> None:
        """Make the tables; those of an evaluation in another layout are dropped, as it is made again anyway."""
        with self._transaction():
            self._db.execute("create table if not exists layout (version integer)")
            if self._db.execute("from layout").fetchall() != [(LAYOUT,)]:
                for view in ("per_slice", "slice_users"):
                    self._db.execute(f"drop view if exists {view}")
                for table in ("run", *OF_A_PROTOCOL):
                    self._db.execute(f"drop table if exists {table}")
                self._db.execute("delete from layout")
                self._db.execute("insert into layout values (?)", [LAYOUT])
            self._db.execute(statement("schema"))

    def write_trials(self, trials: pa.Table, winners: pa.Table) -> None:
        """Store tried and chosen configurations, in place of earlier ones of the same studies, protocols and models."""
        with self._transaction():
            with self._view("values_to_insert", trials):
                self._db.execute("delete from trials where study in (select study from values_to_insert)")
                self._db.execute("insert into trials by name select * from values_to_insert")
            with self._view("values_to_insert", winners):
                self._db.execute(
                    "delete from winners where (protocol, model) in (select (protocol, model) from values_to_insert)"
                )
                self._db.execute("insert into winners by name select * from values_to_insert")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.begin()
        try:
            yield
        except BaseException:  # an interrupt too: nothing half-written may stay
            self._db.rollback()
            raise
        self._db.commit()

    @contextmanager
    def _view(self, name: str, table: pa.Table) -> Iterator[None]:
        self._db.register(name, table)
        try:
            yield
        finally:
            self._db.unregister(name)

    def _forget(self, tables: Sequence[str], keys: Sequence[str]) -> None:
        condition = " and ".join(["protocol = ?", "model = ?"][: len(keys)])
        for table in tables:
            self._db.execute(f"delete from {table} where {condition}", keys)

    def _insert(self, table: str, keys: Sequence[str], values: pa.Table) -> None:
        marks = ", ".join("?" * len(keys))
        with self._view("values_to_insert", values):
            self._db.execute(f"insert into {table} select {marks}, * from values_to_insert", keys)


def _refusal(path: Path, error: duckdb.IOException) -> str:
    if not path.exists():
        return "there is no evaluation yet; `trichord run` makes one"
    if "lock" in str(error):
        return "another process is using it; try again when that one has ended"
    return f"not a readable DuckDB file ({str(error).splitlines()[0]}); delete it and run the evaluation again"
