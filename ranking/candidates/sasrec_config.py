"""Hyper-parameters of SASRec."""

from dataclasses import dataclass, field

from ranking.candidates.history import Memory


@dataclass(frozen=True)
class SasrecConfig:
    """Hyper-parameters of `Sasrec`.

    length: events of a history that are read, the last ones. batch: sequences a step.
    memory: its feedback chooses the events to learn from and to read; nothing fades, the network knows the order.
    """

    dim: int = 64
    blocks: int = 2
    heads: int = 2
    length: int = 50
    dropout: float = 0.3
    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3
    seed: int = 0
    memory: Memory = field(default_factory=Memory)
