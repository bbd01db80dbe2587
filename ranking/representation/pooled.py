"""Networks of transformers that end in one unit vector an item."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from feature_repo.settings import TextPooling


class MeanPooled(nn.Module):
    """Tokens int64 [b, t] and their mask -> the last layer's mean over the tokens that are there, unit [b, dim]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding has no part in the mean."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # [b, t, dim]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)  # [b, t, 1]
        return F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


class TokenPooled(nn.Module):
    """Tokens and their mask -> the last layer's first token (CLS) or its last one that is there, unit [b, dim]."""

    def __init__(self, model: nn.Module, pooling: TextPooling) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding follows the text."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        places = attention_mask.sum(1) - 1 if self.pooling is TextPooling.LAST else 0
        return F.normalize(hidden[range(len(hidden)), places], dim=1)


class JointPooled(nn.Module):
    """One side of a joint model (`get_text_features` and the like) -> unit [b, dim]."""

    def __init__(self, model: nn.Module, side: str) -> None:
        super().__init__()
        self.model = model
        self.side = side
        self.eval()

    def forward(self, **inputs: Tensor) -> Tensor:
        """A vector of the joint space."""
        return F.normalize(_features(getattr(self.model, self.side)(**inputs)), dim=1)


class FirstToken(nn.Module):
    """Pictures float32 [b, 3, h, w] -> the last layer's first token (CLS), unit [b, dim]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, pixel_values: Tensor) -> Tensor:
        """What stands for the whole picture."""
        return F.normalize(self.model(pixel_values=pixel_values).last_hidden_state[:, 0], dim=1)


class TimePooled(nn.Module):
    """A sound model's inputs -> the last layer's mean over the share of time that is heard, unit [b, dim]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, heard: Tensor, **inputs: Tensor) -> Tensor:
        """heard: float [b], above 0 and at most 1; the same throughout a batch."""
        hidden = self.model(**inputs).last_hidden_state  # [b, t, dim]
        frames = max(int(hidden.shape[1] * float(heard[0])), 1)
        return F.normalize(hidden[:, :frames].mean(1), dim=1)


def _features(output: Any) -> Tensor:  # noqa: ANN401  transformers 4 gave a tensor, 5 a record
    tensor: Tensor = output if hasattr(output, "norm") else output.pooler_output
    return tensor
