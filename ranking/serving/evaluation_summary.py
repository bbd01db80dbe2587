"""What a release's offline evaluation found, short enough for a page.

<release>/evaluation.json   written when the release is published
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ranking.errors import ArtifactError
from ranking.strategy.choice import HYBRID

EVALUATION: Final = "evaluation.json"

Interval = tuple[float, float]


class Score(BaseModel):
    """A model's mean NDCG@10 over users, and its 95 % interval."""

    model: str
    ndcg: float
    ci95: Interval
    users: int


class Slice(BaseModel):
    """Scores of the hybrid and of the baseline that is best there, on a part of the users or of what is relevant."""

    name: str
    hybrid: Score
    baseline: Score


class Removed(BaseModel):
    """The change of NDCG@10 when a part is taken away: negative where it helps. relative, ci95: None where it is 0."""

    part: str
    relative: float | None
    ci95: Interval | None


class Lift(BaseModel):
    """The hybrid's NDCG@10 / a baseline's - 1."""

    baseline: str
    relative: float | None
    ci95: Interval | None


class ProtocolSummary(BaseModel):
    """One protocol. rule: how it splits. models: the hybrid, baselines and a planted world's oracle, best first."""

    name: str
    rule: str
    users: int
    items: int
    cold_item_share: float
    models: list[Score]
    baselines: list[str]
    lift: Lift | None
    slices: list[Slice]
    ablation: list[Removed]


class EvaluationSummary(BaseModel):
    """A whole evaluation."""

    seeds: list[int]
    protocols: list[ProtocolSummary]


class _Metrics(BaseModel):
    ndcg: float = Field(alias="ndcg@10")
    users: int
    ci95: dict[str, Interval]

    def score(self, model: str) -> Score:
        return Score(model=model, ndcg=self.ndcg, ci95=self.ci95["ndcg@10"], users=self.users)


class _Change(BaseModel):
    relative: float | None
    ci95: Interval | None


class _Comparison(BaseModel):
    p_holm: float | None


class _Protocol(BaseModel):
    split: dict[str, str | int | float]
    users: int
    items: int
    cold_item_share: float
    models: dict[str, _Metrics]
    slices: dict[str, dict[str, _Metrics]]
    ablation: dict[str, _Change]
    comparisons: dict[str, _Comparison]
    hybrid_vs_validated_baseline: Lift | None = None
    hybrid_vs_best_baseline: Lift | None = None


class _Report(BaseModel):
    seeds: list[int]
    protocols: dict[str, _Protocol]


def summary_of(report: bytes) -> EvaluationSummary:
    """The summary of what `trichord evaluate --json` prints; ArtifactError where it is something else."""
    try:
        whole = _Report.model_validate_json(report)
    except ValidationError as error:
        raise ArtifactError(f"the evaluation is not readable ({error}); run `trichord run` again") from error
    protocols = [_summary(name, one) for name, one in whole.protocols.items()]
    return EvaluationSummary(seeds=whole.seeds, protocols=protocols)


def save_summary(folder: Path, report: Path) -> None:
    """Write a report's summary into a release's new folder; to be called by what publishes."""
    (folder / EVALUATION).write_text(summary_of(report.read_bytes()).model_dump_json(indent=1) + "\n")


def read_summary(folder: Path) -> EvaluationSummary | None:
    """A release's summary, None where it was published without; ArtifactError where it is damaged."""
    try:
        return _SUMMARY.validate_json((folder / EVALUATION).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{folder / EVALUATION}: not readable ({error}); build the release again") from error


_SUMMARY: Final = TypeAdapter(EvaluationSummary)


def _summary(name: str, protocol: _Protocol) -> ProtocolSummary:
    baselines = [model for model, one in protocol.comparisons.items() if one.p_holm is not None]
    shown = [one for one in protocol.models if one in (HYBRID, *baselines) or not one.startswith(HYBRID)]
    scores = [protocol.models[model].score(model) for model in shown]
    return ProtocolSummary(
        name=name,
        rule=str(protocol.split.get("rule", "")),
        users=protocol.users,
        items=protocol.items,
        cold_item_share=protocol.cold_item_share,
        models=sorted(scores, key=lambda score: -score.ndcg),
        baselines=baselines,
        lift=protocol.hybrid_vs_validated_baseline or protocol.hybrid_vs_best_baseline,
        slices=_slices(protocol.slices, baselines),
        ablation=[Removed(part=part, relative=one.relative, ci95=one.ci95) for part, one in protocol.ablation.items()],
    )


def _slices(slices: Mapping[str, Mapping[str, _Metrics]], baselines: list[str]) -> list[Slice]:
    """Slices that the hybrid and a baseline were measured on, in the report's order."""
    found = []
    for name, models in slices.items():
        rivals = [model for model in baselines if model in models]
        if HYBRID in models and rivals:
            best = max(rivals, key=lambda model: models[model].ndcg)
            found.append(Slice(name=name, hybrid=models[HYBRID].score(HYBRID), baseline=models[best].score(best)))
    return found
