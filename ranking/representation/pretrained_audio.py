"""Sounds by any audio model of transformers: Wav2Vec2, AST, Whisper's encoder, or the sound side of CLAP."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.audio import SECONDS, read_sound
from ranking.representation.encoder import Encoder
from ranking.representation.inputs import unit_rows
from ranking.representation.pretrained import features, find_checkpoint, load_pretrained
from ranking.types import Floats

if TYPE_CHECKING:
    from torch import Tensor

WINDOW_S: Final = 10

Signal = npt.NDArray[np.float32]


class PretrainedAudioEncoder(Encoder[Signal]):
    """Unit vectors: the mean over windows of ten seconds of the first thirty.

    Of a window: a joint model's sound features, else the mean of the last layer over time (of Whisper, which pads every
    window to thirty seconds, over the part that is sound).
    """

    modality = Modality.AUDIO

    def __init__(self, name: str) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "audio_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        pooling = "joint" if hasattr(config, "audio_config") else "mean"
        self.id = f"{self.checkpoint.id}-{SECONDS}s-windows{WINDOW_S}s-{pooling}-l2"

    def decode(self, content: bytes) -> Signal:
        """The first thirty seconds in mono at the model's rate."""
        return read_sound(content, self._extractor.sampling_rate)

    def encode(self, batch: Sequence[Signal]) -> Floats:
        """Unit vectors float32 [n, dim]."""
        import torch

        vectors = np.zeros((len(batch), self.dim), np.float32)
        with torch.inference_mode():
            for row, signal in enumerate(batch):
                vectors[row] = torch.stack([self._window(one) for one in self._windows(signal)]).mean(0).numpy()
        return unit_rows(vectors)

    def _windows(self, signal: Signal) -> list[Signal]:
        """Whole windows, and the only one if it is shorter; it is made a second long at least, with silence."""
        rate = int(self._extractor.sampling_rate)
        size = WINDOW_S * rate
        if len(signal) < size:
            return [np.pad(signal, (0, max(rate - len(signal), 0)))]
        return [signal[start : start + size] for start in range(0, len(signal) - size + 1, size)]

    def _window(self, signal: Signal) -> "Tensor":
        """The unit vector [dim] of one window."""
        from torch.nn import functional

        rate = self._extractor.sampling_rate
        inputs = self._extractor(signal, sampling_rate=rate, return_tensors="pt")
        inputs = {name: one for name, one in inputs.items() if name in {"input_features", "input_values", "is_longer"}}
        if hasattr(self._model, "get_audio_features"):
            return functional.normalize(features(self._model.get_audio_features(**inputs))[0], dim=0)
        if self._model.config.is_encoder_decoder:
            hidden = self._model.get_encoder()(**inputs).last_hidden_state[0]  # [t, dim]
            heard = len(hidden) * len(signal) // self._extractor.n_samples
            return functional.normalize(hidden[: max(heard, 1)].mean(0), dim=0)
        return functional.normalize(self._model(**inputs).last_hidden_state[0].mean(0), dim=0)

    @cached_property
    def _extractor(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoFeatureExtractor

        return load_pretrained(AutoFeatureExtractor, self.checkpoint)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoModel

        return load_pretrained(AutoModel, self.checkpoint).eval()
