"""Texts as vectors: MiniLM (Wang et al. 2020), as fine-tuned for sentence similarity by sentence-transformers."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from ranking.representation.encoder import OnnxForm
from ranking.representation.text_parts import TextPartsEncoder, Tokens
from ranking.representation.weights import MINILM

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch.nn import Module

MAX_TOKENS: Final = 128  # of a part: the model was fine-tuned on 128 tokens (its model card)


class TextEncoder(TextPartsEncoder):
    """all-MiniLM-L6-v2: mean of the last layer over the tokens, L2-normalised, 384 numbers."""

    dim = 384
    padding = 0
    batch: ClassVar = 32
    onnx: ClassVar = OnnxForm(
        batch=1,  # as fast as 8, where ranges are those of all texts together and each vector hangs on the others
        calibrated=False,
        free={"input_ids": (0, 1), "attention_mask": (0, 1)},
    )

    def __init__(self, *, device: str = "cpu", adapter: Path | None = None) -> None:
        super().__init__(f"minilm-l6-v2-{MINILM.revision}-parts{MAX_TOKENS}-mean-l2", device=device, adapter=adapter)

    def parts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """Parts of 128 tokens, marks for begin and end among them."""
        encodings = self._tokenizer.encode_batch(list(texts))
        return [[one.ids, *(rest.ids for rest in one.overflowing)] for one in encodings]

    def plain(self) -> "Module":
        """MiniLM with the mean over its tokens."""
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel  # heavy: commands that encode nothing must start fast

        from ranking.representation.pooled import MeanPooled

        folder = MINILM.folder() / "model"
        model = BertModel(BertConfig.from_json_file(folder / "config.json"))
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)  # it also holds position numbers
        return MeanPooled(model)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer  # a twentieth of the start of transformers' own, which int8 does not need

        tokenizer = Tokenizer.from_file(str(MINILM.folder() / "model" / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        return tokenizer
