"""A transformer's hidden states as one unit vector a text."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with


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
