"""From a line of text to a rule, or to what is wrong with it, where, and what would be right there."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from lark import Lark
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from ranking.errors import RuleFault
from ranking.strategy.rules.nearest import hint
from ranking.strategy.rules.sentences import MAX_DEPTH, Sentences, TooDeepError
from ranking.strategy.rules.syntax import Rule, Sentence

MAX_LENGTH: Final = 2_000  # characters of a rule

_SAID: Final = {
    "SIGN": "!= < <= > >=",
    "EQUAL": "=",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "NAME": "a column",
    "TEXT": 'a text in quotes such as "tea"',
    "NUMBER": "a number",
    "UNIT": "minutes, hours, days or weeks",
    "$END": "the end of the rule",
}
_HABITS: Final = {
    "=": "write a single =",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "%": "write a plain number",
    **dict.fromkeys("“”„«»\u2018\u2019", 'use straight quotes, "so"'),
    **dict.fromkeys("\"'", 'close the quotes; inside them write \\" for a quote'),
    **dict.fromkeys("\n\r", "write one rule a line"),
}


def parse(line: str) -> Rule | RuleFault:
    """The rule of a line, or what is wrong with it; the fault counts as of the first rule of a first line."""
    if len(line) > MAX_LENGTH:
        what = f"a rule of {len(line)} characters"
        return RuleFault(0, 1, MAX_LENGTH + 1, what, f"at most {MAX_LENGTH}", "divide it into several rules")
    try:
        sentence = _parser().parse(line)
    except UnexpectedToken as error:
        return _unexpected_token(error, line)
    except UnexpectedCharacters as error:
        return _unexpected_character(error.column, line)
    except TooDeepError:
        what = f"brackets and `not` {MAX_DEPTH + 1} deep"
        return RuleFault(0, 1, 1, what, f"at most {MAX_DEPTH}", "divide it into several rules")
    assert isinstance(sentence, Sentence)
    return Rule(sentence, _without_comment(line))


def _unexpected_token(error: UnexpectedToken, line: str) -> RuleFault:
    token = error.token
    if token.type == "$END":
        at = len(_without_comment(line, strip_left=False)) + 1
        accepted = _accepted_after(line)
        what = "the rule ends too early" if at > 1 else "an empty rule"
        return RuleFault(0, 1, at, what, _listed(accepted), "go on with it")
    accepted = _accepted_after(line[: (token.column or 1) - 1])
    words = {name.lower() for name in accepted if name not in _SAID}
    near = hint(token.lower(), sorted(words))
    if near:
        remedy = near
    elif token.type == "NAME" and "TEXT" in accepted:
        remedy = f'put texts in quotes: "{token}"'
    else:
        remedy = _HABITS.get(token[0], "") if token.type == "EQUAL" else ""
    return RuleFault(0, 1, token.column or 1, f"{_short(str(token))} is not expected", _listed(accepted), remedy)


def _unexpected_character(at: int, line: str) -> RuleFault:
    found = line[at - 1]
    remedy = _HABITS.get(found, "take it out, or put it in quotes")
    return RuleFault(0, 1, at, f"{found!r} is not understood", _listed(_accepted_after(line[: at - 1])), remedy)


def _accepted_after(beginning: str) -> set[str]:
    """Names of the terminals that may follow the beginning of a rule."""
    read = _parser().parse_interactive(beginning)
    read.exhaust_lexer()
    return set(read.accepts())  # type: ignore[no-untyped-call]


def _listed(terminals: Iterable[str]) -> str:
    names = set(terminals) - {"BACKQUOTED"}
    words = sorted(f"`{name.lower()}`" for name in names if name not in _SAID)
    return ", ".join([*words, *(said for name, said in _SAID.items() if name in names)])


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


_QUOTED_OR_COMMENT: Final = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|(#.*)""")


def _without_comment(line: str, *, strip_left: bool = True) -> str:
    for found in _QUOTED_OR_COMMENT.finditer(line):
        if found[1] is not None:
            line = line[: found.start()]
            break
    return line.strip() if strip_left else line.rstrip()


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text()
    return Lark(grammar, start="rule", parser="lalr", transformer=Sentences(), propagate_positions=False)
