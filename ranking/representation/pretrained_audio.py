"""Sounds by any audio model of transformers: Wav2Vec2, AST, Whisper's encoder, or the sound side of CLAP."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.encoder import Arrays, NetworkEncoder, Rows, Run
from ranking.representation.inputs import unit_rows
from ranking.representation.pretrained import find_checkpoint, load_pretrained
from ranking.representation.sound import EXCERPT_S, HEARD, Sound, read_sound, windows
from ranking.types import Floats

if TYPE_CHECKING:
    from torch.nn import Module


class PretrainedAudioEncoder(NetworkEncoder[Sound]):
    """Unit vectors: the mean over windows of ten seconds of what is heard of a sound.

    Of a window: a joint model's sound features, else the mean of the last layer over time (of Whisper, which pads every
    window to thirty seconds, over the part that is sound).
    """

    modality = Modality.AUDIO
    batch: ClassVar = 4
    held = 16  # up to 2 MB each

    def __init__(self, name: str, *, device: str = "cpu") -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "audio_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        self._joint = hasattr(config, "audio_config")
        super().__init__(f"{self.checkpoint.id}-{HEARD}-{'joint' if self._joint else 'mean'}-l2", device=device)

    def decode(self, content: bytes) -> Sound:
        """At most thirty seconds in mono at the model's rate."""
        return read_sound(content, self._extractor.sampling_rate)

    def batches(self, batch: Sequence[Sound], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """The model's own inputs for windows of the same length, and the share of the input that is sound."""
        rate = int(self._extractor.sampling_rate)
        parts = [(row, part) for row, sound in enumerate(batch) for part in windows(sound, rate, EXCERPT_S * rate)]
        parts.sort(key=lambda part: len(part[1]))
        start = 0
        while start < len(parts):
            length = len(parts[start][1])
            together = [part for part in parts[start : start + size] if len(part[1]) == length]
            yield np.array([row for row, _ in together], np.int64), self._inputs([part for _, part in together])
            start += len(together)

    def encode_by(self, run: Run, batch: Sequence[Sound], size: int) -> Floats:
        """The mean over each sound's windows, of length 1."""
        return unit_rows(self.sums_by(run, batch, size))

    def plain(self) -> "Module":
        """The model, of Whisper its encoder, with its pooling."""
        from transformers import AutoModel

        from ranking.representation.pooled import JointPooled, TimePooled

        model = load_pretrained(AutoModel, self.checkpoint)
        if self._joint:
            return JointPooled(model, "get_audio_features")
        return TimePooled(model.get_encoder() if model.config.is_encoder_decoder else model)

    def _inputs(self, together: list[Sound]) -> dict[str, npt.NDArray[np.generic]]:
        made = self._extractor(together, sampling_rate=self._extractor.sampling_rate, return_tensors="np")
        inputs = {
            name: np.asarray(made[name]) for name in ("input_features", "input_values", "is_longer") if name in made
        }
        if not self._joint:
            # Whisper alone pads the input to a fixed length in time that its output keeps
            padded_to = getattr(self._extractor, "n_samples", None) or len(together[0])
            inputs["heard"] = np.full(len(together), min(len(together[0]) / padded_to, 1.0), np.float32)
        return inputs

    @cached_property
    def _extractor(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoFeatureExtractor

        return load_pretrained(AutoFeatureExtractor, self.checkpoint)
