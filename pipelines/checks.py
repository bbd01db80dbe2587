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
from pipelines import profiles
from pipelines.parity import check_logged
from pipelines.workspace import Workspace
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.space import Space as Places
from ranking.representation.embedding_store import VECTOR
from ranking.representation.precomputed import is_precomputed
from ranking.serving.engine import Engine
from validation import aligned_space, embeddings, events, features, items, recommendations, users
from validation.drift import Profile
from validation.embeddings import Space
from validation.suite import Suite

Subject = Callable[[Workspace], tuple[pa.Table, Suite]]


def suite_check(asset: str, subject: Subject) -> dg.AssetChecksDefinition:
    """The check of one asset. subject: its table and the suite to hold it against."""

    @dg.asset_check(asset=asset, name="suite", blocking=True, description=f"Great Expectations suite of {asset}.")
    def check(workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        table, suite = subject(workspace)
        report = workspace.validated(asset, table, suite)
        return dg.AssetCheckResult(
            passed=report.passed,
            metadata={
                "rows": report.rows,
                "expectations": len(report.outcomes),
                "failed": report.failed(),
                "notes": list(report.notes),
            },
        )

    return check


def _items(workspace: Workspace) -> tuple[pa.Table, Suite]:
    given = any(workspace.given_vectors(modality) is not None for modality in Modality)
    return workspace.items, items.suite(items.Limits(content_share=0.0) if given else items.Limits())


def _users(workspace: Workspace) -> tuple[pa.Table, Suite]:
    return workspace.home.read("users"), users.suite()


def _events(workspace: Workspace) -> tuple[pa.Table, Suite]:
    now = datetime.now(UTC) + timedelta(minutes=5)  # clocks of apps differ a little
    return workspace.events, events.suite(kinds=[kind.name for kind in workspace.kinds], now=now)


def _embeddings(modality: Modality, workspace: Workspace) -> tuple[pa.Table, Suite]:
    name, limits = f"{modality}_embeddings", workspace.settings.suites
    table = workspace.home.read(name)
    size = table.schema.field(VECTOR).type.list_size
    made_by = profiles.maker(table) if len(table) else ""
    given = is_precomputed(made_by)
    before, note = _before(workspace, name, size, made_by, len(table))
    space = Space(
        dimension=size,
        expected=len(table) if given else _with_content(workspace.items, modality, table[schema.ITEM_ID]),
        coverage=limits.coverage_of(modality),
        unit_norm=modality is Modality.TEXT and not given,
        before=before,
    )
    return table, embeddings.suite(name, space, limits, notes=(note,))


def _with_content(items: pa.Table, modality: Modality, encoded: pa.ChunkedArray) -> int:
    """Items that have something to encode; encoded: the ids of those that have a vector."""
    match modality:
        case Modality.TEXT:
            return _with_text(items)
        case Modality.IMAGE:
            return int(pc.sum(_named(items, schema.IMAGE, schema.VIDEO)).as_py() or 0)
        case Modality.AUDIO:
            return _with_sound(items, heard=encoded)


def _with_text(items: pa.Table) -> int:
    """Items that have a word to read: title, description or categories."""
    lengths = [pc.utf8_length(items[schema.TITLE]), pc.utf8_length(items[schema.DESCRIPTION])]
    lengths.append(pc.list_value_length(items[schema.CATEGORIES]))
    filled = [pc.greater(pc.fill_null(length, 0), 0) for length in lengths]
    return int(pc.sum(reduce(pc.or_, filled)).as_py() or 0)


def _named(items: pa.Table, *columns: str) -> pa.ChunkedArray:
    """Whether an item names a file in one of the columns."""
    return pc.is_valid(pc.coalesce(*(items[column] for column in columns)))


def _with_sound(items: pa.Table, *, heard: pa.ChunkedArray) -> int:
    """Items that name a sound, and those whose video was heard: many videos are silent."""
    named = _named(items, schema.AUDIO)
    return int(pc.sum(pc.or_(named, pc.is_in(items[schema.ITEM_ID], heard.combine_chunks()))).as_py())


def _item_vectors(workspace: Workspace) -> tuple[pa.Table, Suite]:
    name, dimension = profiles.ALIGNED, workspace.alignment.dim
    table = workspace.store.read_view(name)
    before, note = _before(workspace, name, dimension, profiles.alignment_id(workspace), len(table))
    space = Space(dimension, expected=len(table), before=before)
    suite = embeddings.suite(name, space, workspace.settings.suites, vector="item_vector", notes=(note,))
    return table, suite


def _user_vectors(workspace: Workspace) -> tuple[pa.Table, Suite]:
    table = workspace.store.read_view("user_vectors")
    space = Space(workspace.alignment.dim, expected=len(table), spread=False)  # users may all like the same
    suite = embeddings.suite("user_vectors", space, workspace.settings.suites, key=schema.USER_ID, vector="user_vector")
    return table, suite


def _before(workspace: Workspace, table: str, dimension: int, made_by: str, count: int) -> tuple[Profile | None, str]:
    return profiles.profile_before(workspace, table, dimension=dimension, made_by=made_by, count=count)


def _aligned_space(workspace: Workspace) -> tuple[pa.Table, Suite]:
    where = Places.load(workspace.home.folder("vector_index"))
    table = aligned_space.measured({str(modality): rows for modality, rows in where.by_modality.items()})
    return table, aligned_space.suite(table, workspace.settings.suites)


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
    suite_check("vector_index", _aligned_space),
    suite_check("item_vectors", _item_vectors),
    suite_check("user_vectors", _user_vectors),
    suite_check("offline_evaluation", _recommendations),
    served_equals_offline,
]
