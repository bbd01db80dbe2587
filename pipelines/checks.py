"""Suites as blocking asset checks; freshness and parity, that only tell.

Where a suite fails, nothing that builds on its table is made.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial, reduce

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.compute import BEHAVIOUR
from feature_repo.freshness import freshness
from feature_repo.schema import Modality
from pipelines.parity import check_logged
from pipelines.workspace import Workspace
from ranking.evaluation.warehouse import Warehouse
from ranking.representation.embedding_store import VECTOR
from ranking.serving.engine import Engine
from validation import embeddings, events, features, items, recommendations, users
from validation.embeddings import Limits
from validation.suite import Suite

AGREEING = Limits(mean_cosine=1.01, effective_rank=0.0)  # users may all like the same

Subject = Callable[[Workspace], tuple[pa.Table, Suite]]


def suite_check(asset: str, subject: Subject) -> dg.AssetChecksDefinition:
    """The check of one asset. subject: its table and the suite to hold it against."""

    @dg.asset_check(asset=asset, name="suite", blocking=True, description=f"Great Expectations suite of {asset}.")
    def check(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        table, suite = subject(workspace)
        report = workspace.validated(asset, table, suite)
        return dg.AssetCheckResult(
            passed=report.passed,
            metadata={"rows": report.rows, "expectations": len(report.outcomes), "failed": report.failed()},
        )

    return check


def _items(workspace: Workspace) -> tuple[pa.Table, Suite]:
    return workspace.items, items.suite()


def _users(workspace: Workspace) -> tuple[pa.Table, Suite]:
    return workspace.home.read("users"), users.suite()


def _events(workspace: Workspace) -> tuple[pa.Table, Suite]:
    now = datetime.now(UTC) + timedelta(minutes=5)  # clocks of apps differ a little
    return workspace.events, events.suite(kinds=[kind.name for kind in workspace.kinds], now=now)


def _embeddings(modality: Modality, workspace: Workspace) -> tuple[pa.Table, Suite]:
    table = workspace.home.read(f"{modality}_embeddings")
    expected = {
        Modality.TEXT: _with_text(workspace.items),
        Modality.IMAGE: len(workspace.items) - workspace.items[schema.IMAGE].null_count,
        Modality.AUDIO: len(workspace.items) - workspace.items[schema.AUDIO].null_count,
    }[modality]
    size = table.schema.field(VECTOR).type.list_size
    suite = embeddings.suite(
        f"{modality}_embeddings", dimension=size, expected=expected, unit_norm=modality is Modality.TEXT
    )
    return table, suite


def _with_text(items: pa.Table) -> int:
    """Items that have a word to read: title, description or categories."""
    lengths = [pc.utf8_length(items[schema.TITLE]), pc.utf8_length(items[schema.DESCRIPTION])]
    lengths.append(pc.list_value_length(items[schema.CATEGORIES]))
    filled = [pc.greater(pc.fill_null(length, 0), 0) for length in lengths]
    return int(pc.sum(reduce(pc.or_, filled)).as_py() or 0)


def _vectors(view: str, workspace: Workspace) -> tuple[pa.Table, Suite]:
    table = workspace.store.read_view(view)
    of_items = view == "item_vectors"
    suite = embeddings.suite(
        view,
        dimension=workspace.alignment.dim,
        expected=len(table),
        key=schema.ITEM_ID if of_items else schema.USER_ID,
        vector=view.removesuffix("s"),
        limits=Limits() if of_items else AGREEING,
    )
    return table, suite


def _view(name: str, workspace: Workspace) -> tuple[pa.Table, Suite]:
    return workspace.store.read_view(name), features.suite(name)


def _recommendations(workspace: Workspace) -> tuple[pa.Table, Suite]:
    with Warehouse(workspace.settings.warehouse, read_only=True) as warehouse:
        rankings = warehouse.read("hybrid_rankings")
    return rankings, recommendations.suite(k=200)


@dg.asset_check(asset="online_features", description="No view is further behind the data's clock than it may be.")
def fresh(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """Whether every view is online up to the data's own now."""
    views = freshness(workspace.store, clock=Engine(workspace.settings, wall=workspace.wall).now())
    stale = [view.view for view in views if not view.ok]
    found = {view.view: dg.MetadataValue.json(view.to_json()) for view in views}
    return dg.AssetCheckResult(passed=not stale, metadata={"stale": stale, **found})


@dg.asset_check(
    asset="online_features", name="parity", description="Logged vectors, computed again offline, are equal."
)
def served_equals_offline(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
    """Not blocking: what was served cannot be undone, and fresh features are the likeliest cure."""
    checked = check_logged(workspace, requests=20)
    if not checked.report.vectors:
        note = f"nothing was logged yet that these definitions can compute again; log: {checked.log}"
        return dg.AssetCheckResult(passed=True, metadata={"note": note})
    found = {name: value for name, value in checked.to_json().items() if name != "passed"}
    return dg.AssetCheckResult(passed=checked.report.passed, metadata=found)


CHECKS = [
    fresh,
    suite_check("items", _items),
    suite_check("users", _users),
    suite_check("events", _events),
    *(suite_check(f"{modality}_embeddings", partial(_embeddings, modality)) for modality in Modality),
    *(suite_check(name, partial(_view, name)) for name in [*BEHAVIOUR, "item_content"]),
    *(suite_check(name, partial(_vectors, name)) for name in ("item_vectors", "user_vectors")),
    suite_check("offline_evaluation", _recommendations),
    served_equals_offline,
]
