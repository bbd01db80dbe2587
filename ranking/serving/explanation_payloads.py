"""What an explanation says."""

from pydantic import AwareDatetime, BaseModel

from ranking.serving.payloads import Recommended


class Contribution(BaseModel):
    """What one feature adds to a score. value: null where the item has none."""

    feature: str
    value: float | None
    contribution: float


class RankerScore(BaseModel):
    """The ranker's own score of an item, feature by feature.

    score: before experts of short histories, weights, boosts, spreading and a query are mixed in. reference: the mean
    score of some candidates spread over the slate. contributions: by TreeSHAP and its like for the linear model, what
    adds or takes most first; they sum to score - reference. Features that add nothing are left out.
    """

    score: float
    reference: float
    contributions: list[Contribution]


class EvidenceItem(BaseModel):
    """An event of the user that speaks for the item.

    by: `behaviour`, score: what a collaborative model gives the item for this event alone; or `content`, score: cosine
    in the aligned space.
    """

    item_id: str
    title: str | None
    at: AwareDatetime
    by: str
    score: float


class Counterfactual(BaseModel):
    """An event without which the item would not be in the answer, as making the answer again without it has shown."""

    item_id: str
    title: str | None
    at: AwareDatetime
    text: str


class ExplainedItem(Recommended):
    """An item of the answer with everything that is known of why it is there.

    ranker: null where a single model orders, or the item was no candidate. counterfactual: null where no event that was
    tried is one.
    """

    ranker: RankerScore | None
    evidence: list[EvidenceItem]
    counterfactual: Counterfactual | None


class Explanation(BaseModel):
    """An earlier answer, made again as of its moment.

    exact: it came out the same, in items, order and scores. If not (events came late, features or rules have changed
    since), its items are explained by what is known now. ordered_by: `hybrid`, or the single model that ordered.
    tried: events that were left out, one at a time, to find counterfactuals.
    """

    request_id: str
    release: str
    user_id: str | None
    answered_at: AwareDatetime
    exact: bool
    ordered_by: str
    tried: int
    items: list[ExplainedItem]
