"""What can be chosen of the alignment, and what was measured for each choice."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field

Positive: TypeAlias = Annotated[int, Field(ge=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Rate: TypeAlias = Annotated[float, Field(gt=0)]
Weight: TypeAlias = Annotated[float, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class PairLoss(StrEnum):
    """Losses between the two vectors of one thing; functions of `losses`."""

    INFO_NCE = "info_nce"
    SIGMOID = "sigmoid"
    TRIPLET = "triplet"
    ALIGNMENT_UNIFORMITY = "alignment_uniformity"


class Loss(StrEnum):
    """Losses between a user's history and items: all items, or those of the batch (the names of `PairLoss`)."""

    SOFTMAX = "softmax"
    BPR = "bpr"
    INFO_NCE = "info_nce"
    SIGMOID = "sigmoid"
    TRIPLET = "triplet"
    ALIGNMENT_UNIFORMITY = "alignment_uniformity"


class Optimizer(StrEnum):
    """torch's; SGD with momentum .9."""

    ADAM = "adam"
    ADAMW = "adamw"
    SGD = "sgd"


@dataclass(frozen=True)
class AlignmentConfig:
    """Constants of the recipe.

    Measured as NDCG@10 among new films: of MovieLens-1M, on two validation folds (two numbers: one each), or of
    ml-latest-small, the mean of two random divisions ("ml").
    """

    dim: Positive = 128  # 256: no difference with linear heads (.244/.223 against .245/.223)
    hidden: Count = 256  # of the MLP beside the linear map: .265/.244; 0, linear alone, .245/.223
    behaviour: bool = False  # item factors of the training part as a modality of their own; see `alignment`
    loss: Loss = Loss.SOFTMAX  # between users and items; the others in docs/alignment.md
    user_items: Weight = 1.0  # its weight; 0 aligns modalities alone, and learns from items that nobody likes, too
    steps: Count = 240  # 120: .244; with more it overfits (960 steps, linear, recall@20 .279 against .294)
    batch: Positive = 256  # 1024: .222/.211 against .245/.223 with linear heads
    items: Positive = (
        1024  # of the softmax and the histories a step, at random; ml .180, with 2048 .184, twice the time
    )
    modality_dropout: Share = 0.3  # each side, so that an item lacking a modality is no stranger; ml .180, .5: .176
    temperature: Rate = 0.1  # start; ends at .10 to .11; fixed .2: .238/.212 against .245/.223
    temperature_range: tuple[Rate, Rate] = (0.01, 0.5)
    optimizer: Optimizer = Optimizer.ADAMW
    learning_rate: Rate = 2e-3  # 5e-4: .191, 5e-3: .196, this .199; the gates learn ten times as fast
    weight_decay: Weight = 0.1  # .01 to 1: no effect
    warm_up: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of the one-cycle schedule
    clip_norm: Rate = 5.0
    contrast_loss: PairLoss = PairLoss.INFO_NCE  # between an item's modalities
    contrast: Weight = 0.1  # its weight; ml .182, 0: .183
    contrast_every: Positive = 3  # steps, to save time, with so many times the weight
    contrast_dropout: Share = 0.7  # of its inputs; InfoNCE alone, recall@10 of poster and plot .09, without it .04
    co_consumed: Annotated[float, Field(gt=0, le=1)] = (
        0.3  # cosine of two items' audiences from which they are no negatives
    )
    self_supervised: Count = 0  # steps before the others, on all items, of the contrast alone
    views: Count = 0  # augmented encodings of each content to draw from
    pseudo_pairs: bool = False  # items that nobody likes borrow likes of neighbours; see docs/active-help.md
