"""What comes in and goes out over HTTP and in the shell's JSON. Unknown keys are refused, none is ignored."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from ranking.strategy.explorer import Explorer
from ranking.strategy.rules.parsing import MAX_LENGTH

MAX_K: Final = 100
MAX_SESSION: Final = 200
MAX_RANKED: Final = 500
MAX_TEXT: Final = 2_000
MAX_FILE: Final = 5_000_000  # bytes of a query's picture or sound
MAX_BASE64: Final = MAX_FILE * 4 // 3 + 4
MAX_RULES: Final = 50
MAX_RULES_TEXT: Final = 100_000
NOW_EXAMPLE: Final = "2026-03-14T19:30:00Z"

Id = Annotated[str, Field(min_length=1, max_length=256)]
RuleTexts = Annotated[tuple[Annotated[str, Field(max_length=MAX_LENGTH)], ...], Field(max_length=MAX_RULES)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=3)]


class Context(BaseModel):
    """Surroundings of a request. at: the moment whose hour and weekday count; what is known is always all up to now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: AwareDatetime | None = None
    device: Id | None = None
    place: Id | None = None


class GroupWeights(BaseModel):
    """How much each group of generators counts beside the ranker: 1 as it is, 0 to 3."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    popularity: Weight = 1.0
    content: Weight = 1.0
    collaborative: Weight = 1.0
    context: Weight = 1.0


class QueryContent(BaseModel):
    """Something to look for: a text, a picture, a sound, or several of them as those of one item.

    image, audio: a file's bytes in base64. Pictures are JPEG, PNG, WEBP, GIF or BMP, sounds FLAC, WAV, OGG or MP3.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = None
    image: Annotated[str, Field(min_length=1, max_length=MAX_BASE64)] | None = None
    audio: Annotated[str, Field(min_length=1, max_length=MAX_BASE64)] | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.text is None and self.image is None and self.audio is None:
            raise ValueError("nothing to look for; give a text, an image or an audio")
        return self


class Asker(BaseModel):
    """Who asks: a user, an anonymous session of items (the latest last), both, or nobody known; and how it is ordered.

    diversity: more different items, in the user's own mix of categories. spread: more of the catalogue over all users.
    exploration: more chance, of the `explorer`'s kind. All are 0 to 1, and 0 changes nothing.
    query: what is looked for. query_weight: how much that counts against the asker's taste, 0 to 1. release: answer by
    this one, to compare it with the current one; 503 while it is being loaded.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Id | None = None
    session: Annotated[tuple[Id, ...], Field(max_length=MAX_SESSION)] = ()
    context: Context = Context()
    explain: bool = False
    diversity: Share = 0.0
    spread: Share = 0.0
    exploration: Share = 0.0
    explorer: Explorer = Explorer.EPSILON
    weights: GroupWeights = GroupWeights()
    query: QueryContent | None = None
    query_weight: Share = 0.5
    release: Id | None = None


class Request(Asker):
    """A request for recommendations. k: at most so many. rules: one rule a text."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"user_id": "u00017", "k": 10, "context": {"at": NOW_EXAMPLE, "device": "mobile"}, "explain": True},
                {"session": ["i00042", "i00007"], "k": 5},
                {"user_id": "u00017", "rules": ["cap categories at 2"], "diversity": 0.3, "exploration": 0.05},
                {"user_id": "u00017", "query": {"text": "a slow piece for piano"}, "query_weight": 0.7},
            ]
        },
    )

    k: Annotated[int, Field(ge=1, le=MAX_K)] = 10
    rules: RuleTexts = ()


class RankRequest(Asker):
    """A request to put these items in order, all of them, those that the user knows among them."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"user_id": "u00017", "items": ["i00042", "i00007", "i00311"], "context": {"device": "mobile"}},
                {"session": ["i00042"], "items": ["i00007", "i00311"], "explain": True},
            ]
        },
    )

    items: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MAX_RANKED)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = [one for one, count in Counter(self.items).items() if count > 1]
        if twice:
            raise ValueError(f"items: {twice[0]!r} is given {self.items.count(twice[0])} times; give each item once")
        return self


@dataclass(slots=True)  # frozen ones take three times as long to be made
class Source:  # not of pydantic: an answer has a hundred of them, and the whole of it is checked anyway
    """A generator that found the item: at which place, with which score of its own."""

    generator: str
    rank: int
    score: float


class Recommended(BaseModel):
    """One item of an answer. rules: those that touched it, and from which place to which.

    propensity: how likely it was to stand here, given the places before; 1 for an order without chance.
    """

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
    """Recommendations, best first. fallbacks: what the answer had to do without; empty for a whole one.

    rules: what became of rules that no single item tells of.
    """

    request_id: str
    release: str
    user_id: str | None
    fallbacks: list[str]
    items: list[Recommended]
    rules: list[str]
    timings_ms: Timings


class RulesToCheck(BaseModel):
    """Rules, one a text, or a text of one rule a line, as of a rules file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"rules": ["cap categories at 2"]}, {"text": "# less of it\ncap maker at 1\n"}]
        },
    )

    rules: RuleTexts = ()
    text: Annotated[str, Field(max_length=MAX_RULES_TEXT)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.text is not None and self.rules:
            raise ValueError("rules and text are both given; give one of them")
        return self


class FoundInRules(BaseModel):
    """A linter's finding. rule: its number, from 0. line, column: from 1."""

    rule: int
    line: int
    column: int
    severity: Literal["error", "warning"]
    what: str
    accepted: str
    remedy: str


class CheckedRules(BaseModel):
    """ok: nothing is wrong but for warnings. count: rules in all."""

    release: str
    ok: bool
    count: int
    faults: list[FoundInRules]


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


class Unmatched(BaseModel):
    """An event that names an answer which did not hold its item: its place in the batch, from 0, and what is amiss."""

    index: int
    reason: str


class Receipt(BaseModel):
    """What became of a batch. `accepted` ones are on disk and count from now on; `duplicates` were there before.

    unmatched: those of them that name an answer without their item; they count nevertheless.
    fallbacks: holds `features` when the feature store could not be told; it catches up with the next materialization.
    """

    accepted: int
    duplicates: int
    rejected: list[Refused]
    unmatched: list[Unmatched] = []
    fallbacks: list[str]


class Live(BaseModel):
    """The process runs."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The release that answers. refused: why a newer one does not, empty where there is no such."""

    release: str
    refused: str
