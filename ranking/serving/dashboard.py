"""The state of a deployment: evaluation, freshness of features, suites, releases and traffic."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError

from feature_repo.errors import FeatureRepoError
from feature_repo.freshness import freshness
from ranking.errors import ArtifactError
from ranking.serving.engine import Engine
from ranking.serving.evaluation_summary import EVALUATION, EvaluationSummary, read_summary, summary_of
from ranking.serving.releases import Release
from ranking.serving.shadow import ShadowReport
from ranking.serving.traffic import TrafficReport


class ViewFreshness(BaseModel):
    """How far a feature view is behind the data's clock.

    newest: moment of its newest row. age_s: how long before the data's clock that is. lag_s: of what was materialized.
    """

    view: str
    newest: datetime | None
    age_s: float | None
    materialized_until: datetime | None
    lag_s: float | None
    online: bool
    ok: bool


class SuiteState(BaseModel):
    """What a suite found when the release's data were last checked. expectations, rows: None where no report is kept.

    failed: names of the expectations that were not met, with their columns.
    """

    name: str
    passed: bool
    rows: int | None = None
    expectations: int | None = None
    failed: list[str] = []


class ReleaseState(BaseModel):
    """A release. metrics: of its offline evaluation by name."""

    id: str
    created_at: datetime
    data_until: datetime
    current: bool
    metrics: dict[str, float]


class Switch(BaseModel):
    """A release was promoted, or gone back to."""

    at: datetime
    action: str
    id: str


class Dashboard(BaseModel):
    """The state of a deployment.

    evaluation: None where the release was never evaluated. freshness_fault: why the views cannot be told of, empty if
    they can. refused: why a newer release does not answer, empty if there is none. shadow: what is known of the
    release that answers unseen; None where there is none.
    """

    release: str
    dataset: str
    now: datetime
    refused: str
    evaluation: EvaluationSummary | None
    evaluation_fault: str
    freshness: list[ViewFreshness]
    freshness_fault: str
    suites: list[SuiteState]
    releases: list[ReleaseState]
    history: list[Switch]
    traffic: TrafficReport
    shadow: ShadowReport | None


class _Outcome(BaseModel):
    expectation: str
    columns: list[str]
    passed: bool


class _Suite(BaseModel):
    passed: bool
    rows: int
    outcomes: list[_Outcome]


def dashboard_routes(engine: Engine) -> APIRouter:
    """The dashboard, read anew for each request."""
    router = APIRouter(tags=["dashboard"])

    @router.get("/v1/dashboard", summary="Evaluation, freshness, suites, releases and traffic")
    def dashboard() -> Dashboard:
        """What the page's dashboard shows."""
        release = engine.follow().release
        reports = engine.settings.reports
        evaluation, evaluation_fault = _evaluation(release, reports)
        views, freshness_fault = _freshness(engine)
        return Dashboard(
            release=release.id,
            dataset=release.manifest.dataset_name,
            now=engine.now(),
            refused=engine.refused,
            evaluation=evaluation,
            evaluation_fault=evaluation_fault,
            freshness=views,
            freshness_fault=freshness_fault,
            suites=list(_suites(release, engine.settings.suite_reports)),
            releases=_releases(engine, release.id),
            history=[Switch.model_validate(vars(one)) for one in engine.releases.promotions()],
            traffic=engine.traffic.report(),
            shadow=engine.shadow.report(),
        )

    return router


def _evaluation(release: Release, reports: Path) -> tuple[EvaluationSummary | None, str]:
    """The release's own, else, of a release that brings none, the home's latest; and why it cannot be read."""
    try:
        own = read_summary(release.folder)
        return own or summary_of((reports / EVALUATION).read_bytes()), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ArtifactError) as error:
        return None, str(error)


def _freshness(engine: Engine) -> tuple[list[ViewFreshness], str]:
    clock = engine.now()
    if engine.reads.open:
        return [], "the online store does not answer; see the server's log"
    try:
        found = freshness(engine.loaded.store, clock=clock)
    except FeatureRepoError as error:
        return [], str(error)
    views = []
    for one in found:
        newest = one.last_event_timestamp
        views.append(
            ViewFreshness(
                view=one.view,
                newest=newest,
                age_s=None if newest is None else (clock - newest).total_seconds(),
                materialized_until=one.materialized_until,
                lag_s=None if one.lag is None else one.lag.total_seconds(),
                online=one.online,
                ok=one.ok,
            )
        )
    return views, ""


def _suites(release: Release, folder: Path) -> Iterator[SuiteState]:
    """Those of the manifest, with what the home's last reports say beyond it."""
    for name, passed in sorted(release.manifest.suites.items()):
        try:
            report = _Suite.model_validate_json((folder / f"{name}.json").read_bytes())
        except (OSError, ValidationError):  # the manifest alone is the record
            yield SuiteState(name=name, passed=passed)
            continue
        failed = [
            f"{', '.join(one.columns) or 'table'}: {one.expectation}" for one in report.outcomes if not one.passed
        ]
        yield SuiteState(
            name=name,
            passed=passed,
            rows=report.rows,
            expectations=len(report.outcomes),
            failed=failed,
        )


def _releases(engine: Engine, current: str) -> list[ReleaseState]:
    """The newest first."""
    return [
        ReleaseState(
            id=one.id,
            created_at=one.manifest.created_at,
            data_until=one.manifest.data_until,
            current=one.id == current,
            metrics=one.manifest.metrics,
        )
        for one in reversed(engine.releases.list())
    ]
