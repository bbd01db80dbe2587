"""What comes in and goes out over HTTP and in the shell's JSON. Unknown keys are refused, none is ignored."""

from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

MAX_K: Final = 100
MAX_SESSION: Final = 200
NOW_EXAMPLE: Final = "2026-03-14T19:30:00Z"

Id = Annotated[str, Field(min_length=1, max_length=256)]


class Context(BaseModel):
    """Surroundings of a request. at: the moment whose hour and weekday count; what is known is always all up to now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: AwareDatetime | None = None
    device: Id | None = None
    place: Id | None = None


class Request(BaseModel):
    """Who asks for recommendations: a user, an anonymous session of items (the latest last), both, or nobody known.

    release: answer by this one, to compare it with the current one; 503 while it is being loaded.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"user_id": "u00017", "k": 10, "context": {"at": NOW_EXAMPLE, "device": "mobile"}, "explain": True},
                {"session": ["i00042", "i00007"], "k": 5},
            ]
        },
    )

    user_id: Id | None = None
    session: Annotated[tuple[Id, ...], Field(max_length=MAX_SESSION)] = ()
    k: Annotated[int, Field(ge=1, le=MAX_K)] = 10
    context: Context = Context()
    explain: bool = False
    release: Id | None = None


class Source(BaseModel):
    """A generator that found the item: at which place, with which score of its own."""

    generator: str
    rank: int
    score: float


class Recommended(BaseModel):
    """One item of an answer. propensity: how likely it was to stand here; 1 for an order without chance."""

    item_id: str
    rank: int
    score: float
    propensity: float
    title: str | None
    image: str | None
    sources: list[Source]
    reasons: list[str]
    rules: list[str]


class Timings(BaseModel):
    """Milliseconds a stage."""

    features: float
    candidates: float
    rank: float
    strategy: float
    total: float


class Response(BaseModel):
    """Recommendations, best first. fallbacks: what the answer had to do without; empty for a whole one."""

    request_id: str
    release: str
    user_id: str | None
    fallbacks: list[str]
    items: list[Recommended]
    timings_ms: Timings


class SimilarItem(BaseModel):
    """One item of an answer. score: cosine with what was asked for."""

    item_id: str
    rank: int
    score: float
    title: str | None
    image: str | None


class Similar(BaseModel):
    """Items that lie near something, nearest first.

    by: in which space, `all` or one modality alone. asked: the modality of what was looked for, where it is another one
    and both were compared in a space of their own.
    """

    release: str
    by: str
    asked: str | None = None
    items: list[SimilarItem]


class PostedEvent(BaseModel):
    """Something that happened. Give an event_id, and sending the event again counts once."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"event_id": "e-7f3a", "user_id": "u00017", "item_id": "i00042", "kind": "click"}]
        },
    )

    event_id: Id | None = None
    user_id: Id
    item_id: Id
    kind: Id
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    occurred_at: AwareDatetime | None = None
    session_id: Id | None = None
    device: Id | None = None
    place: Id | None = None
    request_id: Id | None = None
    position: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None


class Refused(BaseModel):
    """An event that was not taken: its place in the batch, from 0, and why."""

    index: int
    reason: str


class Receipt(BaseModel):
    """What became of a batch. `accepted` ones are on disk and count from now on; `duplicates` were there before.

    fallbacks: holds `features` when the feature store could not be told; it catches up with the next materialization.
    """

    accepted: int
    duplicates: int
    rejected: list[Refused]
    fallbacks: list[str]


class OnlineFeaturesRequest(BaseModel):
    """Feast's own request: a service or features (`view:feature`), and equally many ids of each entity's key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"features": ["user_activity:user_interactions_7d"], "entities": {"user_id": ["u00017"]}},
                {"feature_service": "retrieval_v1", "entities": {"user_id": ["u00017"]}},
            ]
        },
    )

    entities: Annotated[dict[str, list[str | int]], Field(min_length=1)]
    feature_service: str | None = None
    features: list[str] = []
    full_feature_names: bool = False
    include_feature_view_version_metadata: Literal[False] = False  # Feast's own client sends it

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.feature_service is not None and self.features:
            raise ValueError("feature_service and features are both given; give one of them")
        return self


class FeatureNames(BaseModel):
    """Names in the order of the results."""

    feature_names: list[str]


class FeatureValues(BaseModel):
    """One column (an entity key or a feature), a place for each row asked for.

    values: NaN and infinities as texts, bytes in base64. statuses: `NOT_FOUND` of an entity that is not stored,
    `OUTSIDE_MAX_AGE` of a row older than its view's ttl, whose value is null. event_timestamps: 1970 where there is
    none.
    """

    values: list[JsonValue]
    statuses: list[Literal["PRESENT", "NOT_FOUND", "OUTSIDE_MAX_AGE"]]
    event_timestamps: list[AwareDatetime]


class OnlineFeatures(BaseModel):
    """Feast's own answer."""

    results: list[FeatureValues]
    metadata: FeatureNames


class Ready(BaseModel):
    """The release that answers. refused: why a newer one does not, empty where there is no such."""

    release: str
    refused: str
