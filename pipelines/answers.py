"""What the shell asks and shows: requests from arguments, answers as tables."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from rich.table import Table

from feature_repo.lookup import Value
from ranking.errors import BadRequestError
from ranking.serving.payloads import Request, Response


def parse_pairs(texts: Sequence[str], *, what: str, accepted: str) -> dict[str, str]:
    """KEY=VALUE arguments; BadRequestError for anything else."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, sign, value) in zip(texts, pairs, strict=True):
        if not (key and sign and value):
            raise BadRequestError(f"{what} {text!r}: accepted is {accepted}")
    return {key: value for key, _, value in pairs}


def parse_request(user: str, *, k: int, context: Sequence[str], explain: bool) -> Request:
    """A request as the HTTP API takes it; BadRequestError names the first value that it refuses."""
    pairs = parse_pairs(context, what="context", accepted="at=ISO-TIME, device=NAME or place=NAME")
    try:
        return Request.model_validate({"user_id": user, "k": k, "context": pairs, "explain": explain})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequestError(f"{where} {first['input']!r}: {first['msg']}") from error


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
        table.add_row(
            str(item.rank), item.item_id, item.title or "", f"{item.score:.3f}", found, "; ".join(item.reasons)
        )
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
