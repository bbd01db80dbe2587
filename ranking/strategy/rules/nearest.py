"""What somebody may have meant."""

from bisect import bisect
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

AROUND: Final = 100  # known texts on either side in sorted order that are compared: all would take seconds
LONGEST: Final = 80  # characters of a text that is looked for


def nearest(text: str, known: Sequence[str]) -> str | None:
    """The known text that is most like this one, None if none is much like it.

    Of more than 2 x `AROUND` known ones only those next to it in sorted order, and those that differ in case, count.
    """
    if len(text) > LONGEST:
        return None
    if len(known) > 2 * AROUND:
        ordered = sorted(known)
        place = bisect(ordered, text)
        lower = text.lower()
        known = [one for one in ordered if len(one) == len(text) and one.lower() == lower]
        known += ordered[max(place - AROUND, 0) : place + AROUND]
    found = [one for one in known if one.lower() == text.lower()] or get_close_matches(text, known, n=1)
    return found[0] if found else None


def hint(text: str, known: Sequence[str], otherwise: str = "") -> str:
    """A question that names it, or what is said else."""
    found = nearest(text, known)
    return otherwise if found is None else f"did you mean {found!r}?"
