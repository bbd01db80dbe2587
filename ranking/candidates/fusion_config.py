"""Hyper-parameters of the neural fusion model."""

from dataclasses import dataclass, field

from ranking.candidates.history import Memory


@dataclass(frozen=True)
class FusionConfig:
    """Hyper-parameters of `Fusion`.

    dim: of the embeddings. hidden: units of the dense layer. negatives: unobserved pairs drawn for each observed one.
    batch: pairs a step. weight_decay: of AdamW, 0 makes it Adam.
    memory: its feedback chooses the events to learn from, and what of a history stands for an unknown user.
    """

    dim: int = 32
    hidden: int = 64
    negatives: int = 4
    epochs: int = 8
    batch: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    seed: int = 0
    memory: Memory = field(default_factory=Memory)
