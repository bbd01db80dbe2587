"""Settings of a server that answers requests: how long that may take, and how a release is tried."""

from pydantic import BaseModel, ConfigDict, Field


class Budget(BaseModel):
    """How long an answer, and a call of the online store, may take: `[budget]`, or variables like `TRICHORD_BUDGET_MS`.

    Calls of a store that is a server are always limited; calls of one that is a file only where `ms` is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ms: float | None = Field(
        default=None, gt=0, description="of an answer: what would come later is left out; unset: nothing is"
    )
    store_ms: float = Field(default=500, gt=0, description="of a call of the online store, whatever is left of `ms`")
    store_threads: int = Field(default=8, ge=1, description="reads at once, hung ones among them")
    store_retry_s: float = Field(default=1, gt=0, description="how often a store that does not answer is tried again")


class Golden(BaseModel):
    """Requests that a release must answer well before it serves: `[golden]`, or variables like `TRICHORD_GOLDEN_MS`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: bool = Field(default=True, description="false serves every release that can be loaded")
    users: int = Field(default=5, ge=0, description="known users asked for, where the home has no golden.jsonl")
    ms: float = Field(default=2000, gt=0, description="of one answer, the quickest of three")


class Shadow(BaseModel):
    """A release that answers live requests too, unseen: `[shadow]`, or variables like `TRICHORD_SHADOW_RELEASE`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    release: str | None = Field(default=None, description="id of that release; unset: none")
    share: float = Field(default=0.1, ge=0, le=1, description="of the requests")
    waiting: int = Field(default=32, ge=1, description="requests waiting for it; more are dropped and counted")
