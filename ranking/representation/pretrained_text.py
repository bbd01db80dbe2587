"""Texts by any BERT- or GPT-class model, or by the text side of a joint one such as CLIP."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from feature_repo.settings import TextPooling
from ranking.representation.pretrained import find_checkpoint, load_pretrained
from ranking.representation.sources import content_hash
from ranking.representation.text_parts import TextPartsEncoder, Tokens

if TYPE_CHECKING:
    from torch.nn import Module

MAX_TOKENS: Final = 512  # of a part; the model's own limit where that is lower


class PretrainedTextEncoder(TextPartsEncoder):
    """Unit vectors, pooled as asked, or in the joint space. A text longer than the model takes falls into parts.

    prefix: put before every text, as instruction-tuned models want it.
    """

    batch: ClassVar = 16

    def __init__(
        self,
        name: str,
        *,
        pooling: TextPooling = TextPooling.MEAN,
        prefix: str = "",
        device: str = "cpu",
        adapter: Path | None = None,
    ) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        self.pooling, self.prefix = pooling, prefix
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "text_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        self._positions = int(getattr(own, "max_position_embeddings", MAX_TOKENS))
        plain_id = f"{self.checkpoint.id}-{'joint' if hasattr(config, 'text_config') else pooling}-parts{MAX_TOKENS}-l2"
        if prefix:
            plain_id += f"-prefix{content_hash(prefix.encode())[:8]}"
        super().__init__(plain_id, device=device, adapter=adapter)
        self._tokenizing = threading.Lock()  # the tokenizer is changed by every call

    @property
    def padding(self) -> int:
        """As the model's own tokenizer pads."""
        return int(self._tokenizer.pad_token_id)

    def parts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """Parts of as many tokens as the model takes, at most 512."""
        limit = min(self._tokenizer.model_max_length, self._positions, MAX_TOKENS)
        with self._tokenizing:
            tokens = self._tokenizer(
                [self.prefix + text for text in texts],
                truncation=True,
                max_length=limit,
                return_overflowing_tokens=True,
            )
        found: list[list[Tokens]] = [[] for _ in texts]
        for row, ids in zip(tokens["overflow_to_sample_mapping"], tokens["input_ids"], strict=True):
            found[row].append(list(ids))
        return found

    def plain(self) -> "Module":
        """The model with its pooling."""
        from transformers import AutoModel

        from ranking.representation.pooled import JointPooled, MeanPooled, TokenPooled

        model = load_pretrained(AutoModel, self.checkpoint)
        if hasattr(model, "get_text_features"):
            return JointPooled(model, "get_text_features")
        return MeanPooled(model) if self.pooling is TextPooling.MEAN else TokenPooled(model, self.pooling)

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoTokenizer

        tokenizer = load_pretrained(AutoTokenizer, self.checkpoint, padding_side="right", truncation_side="right")
        if tokenizer.pad_token is None:  # GPT pads with what ends a text
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer
