"""What the shell asks and shows: requests from arguments, answers as tables."""

import reprlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypedDict

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from feature_repo.errors import StoreError
from feature_repo.feast_json import Value
from feature_repo.freshness import Reported, freshness
from feature_repo.settings import Settings
from feature_repo.store import Store
from pipelines.errors import HomeError
from pipelines.similar import read_content
from ranking.errors import BadRequestError
from ranking.evaluation.warehouse import Warehouse
from ranking.serving.engine import Engine
from ranking.serving.payloads import GroupWeights, Request, Response

NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class FreshnessReport(TypedDict):
    """What `trichord features --freshness --json` prints. clock: the data's now."""

    clock: str
    views: list[Reported]


def parse_pairs(texts: Sequence[str], *, what: str, accepted: str) -> dict[str, str]:
    """KEY=VALUE arguments; BadRequestError for anything else."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, sign, value) in zip(texts, pairs, strict=True):
        if not (key and sign and value):
            raise BadRequestError(f"{what} {text!r}: accepted is {accepted}")
    return {key: value for key, _, value in pairs}


def parse_request(
    user: str,
    *,
    k: int,
    context: Sequence[str],
    explain: bool,
    weights: Sequence[str] = (),
    wishes: Mapping[str, object] = NOTHING,
) -> Request:
    """A request as the HTTP API takes it; BadRequestError names the first value that it refuses.

    context, weights: KEY=VALUE. wishes: further keys of the request.
    """
    pairs = parse_pairs(context, what="context", accepted="at=ISO-TIME, device=NAME or place=NAME")
    groups = parse_pairs(weights, what="weight", accepted=f"GROUP=NUMBER, of {', '.join(GroupWeights.model_fields)}")
    return request_of({"user_id": user, "k": k, "context": pairs, "explain": explain, "weights": groups} | dict(wishes))


def query_of(*, text: str | None, image: Path | None, audio: Path | None) -> dict[str, str] | None:
    """A request's query as the HTTP API takes it; None where nothing is looked for."""
    files = {"image": image, "audio": audio}
    found = {name: b64encode(read_content(path)).decode() for name, path in files.items() if path is not None}
    if text is not None:
        found["text"] = text
    return found or None


def request_of(body: Mapping[str, object]) -> Request:
    """A request from its keys; BadRequestError names the first value that is refused."""
    try:
        return Request.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequestError(f"{where} {reprlib.repr(first['input'])}: {first['msg']}") from error


def answered_table(response: Response) -> Table:
    """Recommendations with their reasons."""
    notes = f"; without {', '.join(response.fallbacks)}" if response.fallbacks else ""
    table = Table(
        title=f"for {response.user_id}, release {response.release}, {response.timings_ms.total:.0f} ms{notes}",
        title_justify="left",
    )
    for column in ("", "item", "title", "score", "found by", "why"):
        table.add_column(column, justify="right" if column in ("", "score") else "left")
    for item in response.items:
        found = ", ".join(f"{source.generator} #{source.rank}" for source in item.sources[:3])
        chance = [f"propensity {item.propensity:.3f}"] if item.propensity < 1 else []
        why = escape("; ".join([*item.reasons, *item.rules, *chance]))
        table.add_row(str(item.rank), item.item_id, item.title or "", f"{item.score:.3f}", found, why)
    table.caption = escape("\n".join(response.rules)) or None
    table.caption_justify = "left"
    return table


def feature_table(entities: Mapping[str, str], features: Mapping[str, Value]) -> Table:
    """Features by name."""
    table = Table(title=", ".join(f"{key} {value}" for key, value in entities.items()), title_justify="left")
    table.add_column("feature")
    table.add_column("value")
    for name, value in sorted(features.items()):
        shown = str(value)
        table.add_row(name, shown if len(shown) <= 80 else f"{shown[:77]}...")
    return table


def wanted_items(settings: Settings, *, n: int) -> pa.Table:
    """The warehouse's first `n` items that help would tell of; HomeError before a run has looked for them."""
    with Warehouse(settings.warehouse, read_only=True) as warehouse:
        found = warehouse.read("help_wanted", {"n": str(n)})
    if not len(found):
        raise HomeError(f"home {settings.home}: no run has looked for items that want help; run `trichord run` first")
    return found.filter(pc.greater(found["score"], 0))


def wanted_table(found: pa.Table) -> Table:
    """One row an item of `wanted_items`."""
    none = "" if len(found) else ": nothing is missing or unclear"
    table = Table(title=f"help wanted{none}", title_justify="left")
    for column in ("", "item", "title", "uncertainty", "gain", "demand", "score", "why"):
        table.add_column(column, justify="left" if column in ("item", "title", "why") else "right")
    for row in found.to_pylist():
        numbers = [f"{row[name]:.3f}" for name in ("uncertainty", "gain", "demand", "score")]
        table.add_row(str(row["rank"]), escape(row["item_id"]), escape(row["title"] or ""), *numbers, row["reason"])
    return table


def view_freshness(settings: Settings) -> FreshnessReport:
    """How far every view is behind the data's clock; StoreError before the first run."""
    clock = Engine(settings).now()
    views = freshness(Store(settings), clock=clock)
    if not views:
        raise StoreError(f"home {settings.home}: no feature view is registered; run `trichord run` first")
    return {"clock": clock.isoformat(), "views": [view.to_json() for view in views]}


def freshness_table(report: FreshnessReport) -> Table:
    """One row a view."""
    table = Table(title=f"freshness at {_shown(report['clock'])} UTC", title_justify="left")
    for column in ("view", "last event_timestamp", "materialized until", "lag", "online", "state"):
        table.add_column(column, justify="right" if column == "lag" else "left")
    for view in report["views"]:
        lag = "-" if view["lag_s"] is None else str(timedelta(seconds=round(view["lag_s"])))
        times = [_shown(view["last_event_timestamp"]), _shown(view["materialized_until"])]
        table.add_row(view["view"], *times, lag, "yes" if view["online"] else "no", view["state"])
    return table


def _shown(moment: str | None) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S}" if moment else "-"
