"""Long texts in parts: each part is encoded as a text of its own, and the text is the mean of its parts."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.encoder import Arrays, NetworkEncoder, Rows, Run
from ranking.representation.inputs import unit_rows
from ranking.types import Floats

MAX_PARTS: Final = 32  # of a text; of more, as many are taken, evenly spread from its beginning to its end

Tokens: TypeAlias = list[int]  # of one part, with the marks that the model wants


class TextPartsEncoder(NetworkEncoder[str]):
    """Unit vectors: the mean of those of a text's parts, weighted by their tokens."""

    modality = Modality.TEXT
    held = 128  # the more texts are sorted by length, the less is padded

    @property
    @abstractmethod
    def padding(self) -> int:
        """The token that shorter parts of a batch end with."""

    @abstractmethod
    def parts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """The tokens of each text, in as many parts as it takes; at least one a text."""

    def decode(self, content: bytes) -> str:
        """UTF-8 text, what is not UTF-8 replaced; raises `UnreadableContentError` for a blank one."""
        text = content.decode("utf-8", errors="replace").strip()
        if not text:
            raise UnreadableContentError("blank_text", "the text is blank; give the item a title or a description")
        return text

    def batches(self, batch: Sequence[str], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Tokens int64 [b, t] and which of them are there; parts of like length together, so that little is padded."""
        parts = [(row, tokens) for row, all_of in enumerate(self.parts(batch)) for tokens in _spread(all_of)]
        parts.sort(key=lambda part: len(part[1]))
        for start in range(0, len(parts), size):
            together = parts[start : start + size]
            longest = len(together[-1][1])
            ids = np.array([tokens + [self.padding] * (longest - len(tokens)) for _, tokens in together], np.int64)
            there = np.arange(longest) < np.array([[len(tokens)] for _, tokens in together])
            rows = np.array([row for row, _ in together], np.int64)
            yield rows, {"input_ids": ids, "attention_mask": there.astype(np.int64)}

    def encode_by(self, run: Run, batch: Sequence[str], size: int) -> Floats:
        """The mean over each text's parts, weighted by tokens, of length 1."""
        return unit_rows(self.sums_by(run, batch, size))

    def weights(self, arrays: Arrays) -> Floats:
        """The tokens of each part."""
        return np.asarray(arrays["attention_mask"].sum(1, keepdims=True), np.float32)


def _spread(parts: list[Tokens]) -> list[Tokens]:
    if len(parts) <= MAX_PARTS:
        return parts
    return [parts[place] for place in np.linspace(0, len(parts) - 1, MAX_PARTS).astype(int)]
