"""What `/get-online-features` takes and gives: Feast's own shapes."""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator


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
