"""Texts as vectors: MiniLM (Wang et al. 2020), as fine-tuned for sentence similarity by sentence-transformers."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.encoder import Encoder
from ranking.representation.weights import MINILM
from ranking.types import Floats

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_TOKENS: Final = 128  # what lies beyond is cut off; the model was fine-tuned on 128 tokens (its model card)
BATCH: Final = 32


class TextEncoder(Encoder[str]):
    """all-MiniLM-L6-v2: mean of the last layer over the tokens, L2-normalised, 384 numbers."""

    modality: ClassVar = Modality.TEXT
    id: ClassVar = f"minilm-l6-v2-{MINILM.revision}-{MAX_TOKENS}tokens-mean-l2"
    dim: ClassVar = 384

    def __init__(self) -> None:
        self._tokenizing = threading.Lock()  # the tokenizer is changed by every call

    def decode(self, content: bytes) -> str:
        """UTF-8 text, not blank."""
        text = content.decode("utf-8", errors="replace").strip()
        if not text:
            raise UnreadableContentError("blank_text", "the text is blank; give the item a title or a description")
        return text

    def encode(self, batch: Sequence[str]) -> Floats:
        """Unit vectors float32 [n, 384]; texts of like length run together, so that little is padded."""
        import torch  # heavy: commands that encode nothing must start fast

        tokenizer, model = self._loaded
        vectors = np.empty((len(batch), self.dim), np.float32)
        by_length = np.argsort([len(text) for text in batch], kind="stable")
        with torch.inference_mode():
            for start in range(0, len(batch), BATCH):
                rows = by_length[start : start + BATCH]
                with self._tokenizing:
                    tokens = tokenizer(
                        [batch[row] for row in rows],
                        padding=True,
                        truncation=True,
                        max_length=MAX_TOKENS,
                        return_tensors="pt",
                    )
                mask = tokens["attention_mask"].unsqueeze(-1)  # [b, tokens, 1]
                hidden = model(**tokens).last_hidden_state  # [b, tokens, 384]
                mean = (hidden * mask).sum(1) / mask.sum(1)
                vectors[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors

    @cached_property
    def _loaded(self) -> "tuple[PreTrainedTokenizerBase, PreTrainedModel]":
        from safetensors.torch import load_file
        from transformers import AutoTokenizer, BertConfig, BertModel  # heavy, see encode

        folder = MINILM.folder() / "model"
        model = BertModel(BertConfig.from_json_file(folder / "config.json"))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)  # it also holds position numbers
        model.train(False)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True), model
