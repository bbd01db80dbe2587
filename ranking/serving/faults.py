"""What is wrong with an input, field by field, in words that name the value and what is accepted."""

import json
from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from ranking.errors import RuleFault

SHOWN: Final = 80  # characters of a refused value that are repeated

_WHERE: Final = frozenset({"body", "query", "path"})  # FastAPI's first part of a field's path


class Fault(BaseModel):
    """One thing that is wrong. field: dotted path. text: what, which value, what is accepted.

    line, column: from 1, in a field that is a text of its own grammar.
    """

    field: str
    text: str
    line: int | None = None
    column: int | None = None


def in_words(errors: Iterable[ErrorDetails]) -> list[Fault]:
    """Pydantic's findings as faults."""
    return [_fault(error) for error in errors]


def in_rules(faults: Iterable[RuleFault]) -> list[Fault]:
    """A linter's findings as faults."""
    return [
        Fault(field=f"rules[{one.rule}]", text=_printable(one.text), line=one.line, column=one.column) for one in faults
    ]


def _fault(error: ErrorDetails) -> Fault:
    path = error["loc"][1:] if error["loc"][:1] and error["loc"][0] in _WHERE else error["loc"]
    field = _printable(".".join(str(part) for part in path)) or "body"
    if error["type"] == "missing":
        text = f"{field}: missing; give one"
    elif error["type"] == "extra_forbidden":
        text = f"{field}: not supported by this release; leave it out"
    elif error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        text = f"{field} {_shown(error['input'])}: no JSON object; send one, its keys in quotes"
    elif error["type"] == "json_invalid":
        text = f"body: no JSON ({error.get('ctx', {}).get('error', 'cut off')}); send one JSON document"
    else:
        text = f"{field} {_shown(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}"
    return Fault(field=field, text=_printable(text))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _printable(text: str) -> str:
    """Text that can be sent: JSON may hold halves of characters, which UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode()
