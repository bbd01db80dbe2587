"""Texts as vectors: MiniLM (Wang et al. 2020), as fine-tuned for sentence similarity by sentence-transformers."""

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.encoder import Arrays, NetworkEncoder, OnnxForm, Rows
from ranking.representation.tuned import suffix_of, with_adapter
from ranking.representation.weights import MINILM

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS: Final = 128  # what lies beyond is cut off; the model was fine-tuned on 128 tokens (its model card)


class TextEncoder(NetworkEncoder[str]):
    """all-MiniLM-L6-v2: mean of the last layer over the tokens, L2-normalised, 384 numbers.

    adapter: folder of what it was tuned by.
    """

    modality = Modality.TEXT
    id = f"minilm-l6-v2-{MINILM.revision}-{MAX_TOKENS}tokens-mean-l2"
    dim = 384
    batch: ClassVar = 32
    onnx: ClassVar = OnnxForm(
        batch=1,  # as fast as 8, where ranges are those of all texts together and each vector hangs on the others
        calibrated=False,
        free={"input_ids": (0, 1), "attention_mask": (0, 1)},
    )

    def __init__(self, *, adapter: Path | None = None) -> None:
        self.plain_id, self.adapter = type(self).id, adapter
        self.id = self.plain_id + suffix_of(adapter)
        self._tokenizing = threading.Lock()  # the tokenizer is changed by every call

    def decode(self, content: bytes) -> str:
        """UTF-8 text, not blank."""
        return read_text(content)

    def batches(self, batch: Sequence[str], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Tokens int64 [b, t] and which of them are there; texts of like length together, so that little is padded."""
        by_length = np.argsort([len(text) for text in batch], kind="stable")
        for start in range(0, len(batch), size):
            rows = by_length[start : start + size]
            with self._tokenizing:
                tokens = self._tokenizer(
                    [batch[row] for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=MAX_TOKENS,
                    return_tensors="np",
                )
            yield rows, {name: tokens[name] for name in self.onnx.free}

    def load(self) -> "Module":
        """MiniLM with the mean over its tokens, and with its adapter where it has one."""
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel  # heavy: commands that encode nothing must start fast

        from ranking.representation.pooled import MeanPooled

        folder = MINILM.folder() / "model"
        model = BertModel(BertConfig.from_json_file(folder / "config.json"))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)  # it also holds position numbers
        return with_adapter(MeanPooled(model), self.adapter, self.plain_id)

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        from transformers import AutoTokenizer  # heavy, as above

        return AutoTokenizer.from_pretrained(MINILM.folder() / "model", local_files_only=True)


def read_text(content: bytes) -> str:
    """UTF-8 text, what is not UTF-8 replaced; raises `UnreadableContentError` for a blank one."""
    text = content.decode("utf-8", errors="replace").strip()
    if not text:
        raise UnreadableContentError("blank_text", "the text is blank; give the item a title or a description")
    return text
