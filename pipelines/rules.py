"""Rules in the shell: the lint of a file, and a page with and without them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.markup import escape
from rich.table import Table

from feature_repo.settings import Settings
from pipelines.answers import request_of
from ranking.errors import BadRequestError
from ranking.serving.answer import answer
from ranking.serving.catalogue import load_items
from ranking.serving.engine import Engine
from ranking.serving.pages import checked
from ranking.serving.payloads import CheckedRules, Response
from ranking.serving.releases import Releases
from ranking.strategy.rules.compiler import Compiler


def check_file(settings: Settings, file: Path | None) -> tuple[Path, CheckedRules]:
    """The file that was read, the home's own if none is named, and what is wrong with its rules.

    Raises:
        BadRequestError: it cannot be read.
        ArtifactError: there is no release whose items rules could name.
    """
    path = file or settings.rules
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequestError(
            f"{path}: no rules are read ({error}); accepted is a UTF-8 text of one rule a line"
        ) from None
    release = Releases.of(settings).current()
    return path, checked(Compiler(load_items(release).table).lint_lines(text), release.id)


def finding_lines(path: Path, found: CheckedRules) -> Iterator[str]:
    """One line a finding, as compilers write them, and one for the whole."""
    for one in found.faults:
        told = "; ".join(part for part in (one.what, one.accepted and f"accepted: {one.accepted}", one.remedy) if part)
        yield f"{path}:{one.line}:{one.column}: {one.severity}: {told}"
    errors = sum(one.severity == "error" for one in found.faults)
    yield f"{path}: {found.count} rules, {errors} errors, {len(found.faults) - errors} warnings"


@dataclass(frozen=True)
class Trial:
    """One user's answers. ruled: under the home's rules and further ones. plain: under none."""

    ruled: Response
    plain: Response

    @classmethod
    def of(cls, settings: Settings, user: str, *, rules: Sequence[str], k: int) -> Self:
        """Raises RuleError for a rule that is wrong; nothing is logged."""
        engine = Engine(settings)
        engine.load()
        loaded, now = engine.loaded, engine.now()
        ruled = answer(loaded, request_of({"user_id": user, "k": k, "rules": rules}), now=now)
        plain = answer(loaded, request_of({"user_id": user, "k": k}), now=now, house=False)
        return cls(ruled.response, plain.response)

    def to_json(self) -> str:
        """Both answers."""
        return json.dumps({"with": self.ruled.model_dump(mode="json"), "without": self.plain.model_dump(mode="json")})


def trial_table(trial: Trial) -> Table:
    """Both pages, side by side."""
    fallbacks = f"; {', '.join(trial.ruled.fallbacks)}" if trial.ruled.fallbacks else ""
    table = Table(title=f"for {escape(str(trial.ruled.user_id))}{fallbacks}", title_justify="left")
    for column in ("", "without rules", "with rules", "what they did"):
        table.add_column(column, justify="left" if column else "right")
    shown, before = trial.ruled.items, trial.plain.items
    for place in range(max(len(shown), len(before))):
        plain = before[place] if place < len(before) else None
        ruled = shown[place] if place < len(shown) else None
        table.add_row(
            str(place + 1),
            *("" if one is None else escape(f"{one.item_id} {one.title or ''}") for one in (plain, ruled)),
            "" if ruled is None else escape("; ".join(ruled.rules)),
        )
    return table
