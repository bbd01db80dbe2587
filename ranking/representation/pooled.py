"""A transformer's hidden states as one unit vector a text or picture."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from feature_repo.settings import TextPooling
from ranking.representation.pretrained import features


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


class PooledText(nn.Module):
    """As `MeanPooled` with any pooling; of a joint model the text's vector in the joint space."""

    def __init__(self, model: Any, pooling: TextPooling) -> None:  # noqa: ANN401  as transformers types it
        super().__init__()
        self.model, self.pooling = model, pooling
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Padding stands on the right and has no part in the vector."""
        if hasattr(self.model, "get_text_features"):
            joint = features(self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask))
            return F.normalize(joint, dim=1)
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # [b, t, dim]
        match self.pooling:
            case TextPooling.MEAN:
                kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
                pooled = (hidden * kept).sum(1) / kept.sum(1)
            case TextPooling.CLS:
                pooled = hidden[:, 0]
            case TextPooling.LAST:
                pooled = hidden[range(len(hidden)), attention_mask.sum(1) - 1]
        return F.normalize(pooled, dim=1)


class PooledPicture(nn.Module):
    """Pixels float32 [b, 3, h, w] -> unit [b, dim]: a joint model's picture features, else the first token (CLS)."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401  as transformers types it
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, pixel_values: Tensor) -> Tensor:
        """As the class says."""
        if hasattr(self.model, "get_image_features"):
            pooled = features(self.model.get_image_features(pixel_values=pixel_values))
        else:
            pooled = self.model(pixel_values=pixel_values).last_hidden_state[:, 0]
        return F.normalize(pooled, dim=1)
