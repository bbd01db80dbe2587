"""How an encoder is tuned; what the constants were measured by stands in docs/tuning.md."""

from dataclasses import dataclass

from ranking.representation.tuned import AdapterKind


@dataclass(frozen=True)
class TuningConfig:
    """Constants of a tuning."""

    kind: AdapterKind = AdapterKind.LORA
    rank: int = 8  # Hu et al. 2021, table 6: more is no better
    strength: int = 2  # factor of what is added
    share: float = 0.5  # of the layers, the upper ones: nothing need flow back through the lower ones
    dropout: float = 0.1
    learning_rate: float = 2e-4
    head_rate: float = 2e-4
    contrast: float = 0.1  # weight of InfoNCE between modalities beside the user-item softmax, as the alignment has it
    probe_steps: int = 300  # of the heads alone
    steps: int = 200
    batch: int = 64  # items encoded anew a step
    evaluate_every: int = 20  # steps; a killed run loses as many
    patience: int = 4  # evaluations without a new best, then it stops
    held_out: int = 500  # items for early stopping, at most a quarter of those with another modality
    seed: int = 0
