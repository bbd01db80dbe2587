"""Which form of an answer an `Accept` header asks for (RFC 9110, section 12.5.1)."""

import re
from typing import Final

_PART: Final = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


def prefers(accept: str, media_type: str, *, over: str) -> bool:
    """Whether a header names a media type, and with no less weight than another one.

    Wildcards ask for neither; a part with other parameters, or one that cannot be read, is passed over.

    >>> prefers("text/csv, text/html;q=0.5", "text/csv", over="text/html")
    True
    >>> prefers("text/csv;q=0.4, text/html;q=0.5", "text/csv", over="text/html")
    False
    >>> prefers("*/*", "text/csv", over="text/html")
    False
    """
    found = [_PART.fullmatch(part) for part in accept.lower().split(",")]
    weights = {one[1]: float(one[2] or 1) for one in found if one}
    return weights.get(media_type, 0) > 0 and weights[media_type] >= weights.get(over, 0)
