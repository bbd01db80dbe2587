"""Texts by any BERT- or GPT-class model, or by the text side of a joint one such as CLIP."""

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from feature_repo.schema import Modality
from feature_repo.settings import TextPooling
from ranking.representation.encoder import Arrays, Rows, TunableEncoder
from ranking.representation.inputs import unit_rows
from ranking.representation.pretrained import find_checkpoint, load_pretrained
from ranking.representation.sources import content_hash
from ranking.representation.text import read_text
from ranking.representation.tuned import suffix_of, with_adapter
from ranking.types import Floats

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MAX_TOKENS: Final = 512  # of a part; the model's own limit where that is lower
MAX_PARTS: Final = 32  # of a text, the first ones: 16,000 tokens, a long chapter
BATCH: Final = 8


class PretrainedTextEncoder(TunableEncoder[str]):
    """Unit vectors. A text longer than the model takes falls into parts, whose mean, weighted by tokens, is taken.

    prefix: put before every text, as instruction-tuned models want it. adapter: folder of what it was tuned by.
    """

    modality = Modality.TEXT

    def __init__(
        self, name: str, *, pooling: TextPooling = TextPooling.MEAN, prefix: str = "", adapter: Path | None = None
    ) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        self.pooling, self.prefix = pooling, prefix
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "text_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        self._positions = int(getattr(own, "max_position_embeddings", MAX_TOKENS))
        self.id = f"{self.checkpoint.id}-{'joint' if hasattr(config, 'text_config') else pooling}-parts{MAX_TOKENS}-l2"
        if prefix:
            self.id += f"-prefix{content_hash(prefix.encode())[:8]}"
        self.plain_id, self.adapter = self.id, adapter
        self.id += suffix_of(adapter)
        self._tokenizing = threading.Lock()  # the tokenizer is changed by every call

    def decode(self, content: bytes) -> str:
        """UTF-8 text, not blank."""
        return read_text(content)

    def encode(self, batch: Sequence[str]) -> Floats:
        """Unit vectors float32 [n, dim]."""
        import torch

        vectors = np.zeros((len(batch), self.dim), np.float32)
        with torch.inference_mode():
            for row, text in enumerate(batch):
                tokens = self._parts(self.prefix + text)
                for start in range(0, len(tokens["input_ids"]), BATCH):
                    part = {name: one[start : start + BATCH] for name, one in tokens.items()}
                    weights = part["attention_mask"].sum(1, keepdim=True)
                    vectors[row] += (self._network(**part) * weights).sum(0).numpy()
        return unit_rows(vectors)

    def _parts(self, text: str) -> "dict[str, Tensor]":
        with self._tokenizing:
            tokens = self._tokenizer(
                text,
                padding=True,
                truncation=True,
                max_length=self._limit,
                return_overflowing_tokens=True,
                return_tensors="pt",
            )
        return {name: tokens[name][:MAX_PARTS] for name in ("input_ids", "attention_mask")}

    def batches(self, batch: Sequence[str], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Tokens of the first part of each text, at most `size` texts of like length together, as tuning reads them."""
        by_length = np.argsort([len(text) for text in batch], kind="stable")
        for start in range(0, len(batch), size):
            rows = by_length[start : start + size]
            with self._tokenizing:
                tokens = self._tokenizer(
                    [self.prefix + batch[row] for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=self._limit,
                    return_tensors="np",
                )
            yield rows, {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def load(self) -> "Module":
        """The model with its pooling, and with its adapter where it has one."""
        from transformers import AutoModel

        from ranking.representation.pooled import PooledText

        network = PooledText(load_pretrained(AutoModel, self.checkpoint), self.pooling)
        return with_adapter(network, self.adapter, self.plain_id)

    @property
    def _limit(self) -> int:
        return min(int(self._tokenizer.model_max_length), self._positions, MAX_TOKENS)

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoTokenizer

        tokenizer = load_pretrained(AutoTokenizer, self.checkpoint, padding_side="right", truncation_side="right")
        if tokenizer.pad_token is None:  # GPT pads with what ends a text
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _network(self) -> "Module":
        return self.load()
