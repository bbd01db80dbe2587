"""Why an item stands where it stands, in plain words.

Cheap: which generator put it highest. Exact: what each feature adds to its score against other items of the slate
(TreeSHAP, `Blend.contributions`), said in words where a feature has a meaning that people know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from feature_repo import schema
from ranking.candidates.candidates import Source
from ranking.rankers.closeness import PARTS
from ranking.rankers.slates import IN_SLATE, Slates
from ranking.serving.catalogue import Catalogue
from ranking.serving.evidence import LOOKED_AT, said_of
from ranking.serving.sought import QUERY
from ranking.strategy.hybrid import Hybrid
from ranking.types import Codes, Floats, Queries

TOLD: Final = 3  # reasons an item

FOUND_BY: Final = {
    "ease": "chosen by people with a history like yours",
    "ease_positive": "liked by people who like what you like",
    "ials": "chosen by people with a taste like yours",
    "ials_scaled": "chosen by people with a taste like yours",
    "covisitation": "often chosen after what you chose lately",
    "item_knn": "often chosen together with what you chose",
    "fitting": "of a kind chosen at such moments",
    "user_knn": "chosen by people who chose what you chose",
    "bpr": "liked by people with a taste like yours",
    "sequel": "often chosen next by people with a history like yours",
    "popular_windowed": "popular lately",
    "ease_semantic": "chosen by people with a history like yours, and of such content",
    "ease_sparse": "chosen by people with a history like yours",
    "popular_here": "popular lately in such surroundings",
    "popular": "liked by many",
    "sasrec": "often next after what you chose lately",
    "aligned": "close in content to what you like",
    "aligned_recent": "close in content to what you liked lately",
    "aligned_session": "close in content to what you chose last",
    "scarce": "known to few, and chosen near what you chose",
    "cold_start": "hardly known yet, and of a kind that you may like",
}

_PROVENANCE: Final = {**FOUND_BY, QUERY: "close in content to what you look for"}
_COLLABORATIVE: Final = "liked by people who liked {neighbour}"
_WINDOWS: Final = {
    "_1d": "in the last day",
    "_7d": "in the last week",
    "_28d": "in the last four weeks",
    "_365d": "in the last year",
    "": "of all time",
}


@dataclass(frozen=True)
class Words:
    """What is said when a feature lifts an item: `more` if its value is above the slate's mean, `less` if below."""

    more: str | None = None
    less: str | None = None


def _words() -> dict[str, Words]:
    popular = {
        f"item_{what}{window}": Words(f"popular {when}")
        for what in ("interactions", "positives")
        for window, when in _WINDOWS.items()
    }
    collaborative = ("ease", "ease_positive", "ials", "ials_scaled", "covisitation", "item_knn")
    told_by_generator = dict.fromkeys(collaborative, _COLLABORATIVE) | {
        "aligned": FOUND_BY["aligned"],
        "sequel": FOUND_BY["sequel"],
        "fitting": FOUND_BY["fitting"],
        "popular_windowed": FOUND_BY["popular_windowed"],
        "popular": FOUND_BY["popular"],
        "cold_start": FOUND_BY["cold_start"],
    }
    generators = {f"{name}_score": Words(text) for name, text in told_by_generator.items()}
    close = {
        f"{name}_{part}": Words(_COLLABORATIVE)
        for name in ("ease", "ease_positive", "covisitation", "item_knn")
        for part in PARTS
    }
    places = {f"{name}_rank": Words(less=text) for name, text in told_by_generator.items()}
    return {
        **popular,
        **generators,
        **close,
        **places,
        "fused": Words(_COLLABORATIVE),
        "item_response_rate_28d": Words("often chosen when it is shown"),
        "item_mean_value": Words("rated higher than most"),
        "item_positive_share": Words("liked by most who chose it"),
        "item_idle_s": Words(less="chosen by others only recently"),
        "item_age_s": Words("older than most, and lasting", "newer than most"),
        "liking_item": Words("liked by most who chose it"),
        "liking_fit": Words("likely to please you more than others"),
        "kind_liking": Words("of a kind that you like: {categories}"),
        "kind_share": Words("of a kind that you choose more than others do: {categories}"),
        "kind_lately": Words("of a kind that you chose lately: {categories}"),
        "group_all": Words("chosen by people like you"),
        "category_affinity": Words("of a kind that you like: {categories}"),
        "last_category_overlap": Words("of the kind of your latest choice: {categories}"),
        "daypart_lift": Words("often chosen {daypart}"),
        "weekend_lift": Words("often chosen {week}"),
        "device_lift": Words("often chosen on {device}"),
        "place_lift": Words("often chosen at {place}"),
        "hour_fit": Words("of a kind chosen {daypart}"),
        "weekend_fit": Words("of a kind chosen {week}"),
        "device_fit": Words("of a kind chosen on {device}"),
        "place_fit": Words("of a kind chosen at {place}"),
        "context_fit": Words("of a kind chosen at such moments"),
        "fashion_fit": Words("of a kind that many choose these days"),
        "content_similarity_at_such_times": Words("close in content to what you choose {daypart}"),
        "pace": Words("chosen by many in the time that it is to be had"),
        "content_appeal": Words("of a kind that many like"),
        "content_similarity": Words(FOUND_BY["aligned"]),
        "content_similarity_to_recent": Words("similar to {similar} that you liked"),
        "text_similarity": Words("reads like what you like"),
        "image_similarity": Words("looks like what you like"),
        "audio_similarity": Words("sounds like what you like"),
    }


WORDS: Final = _words()


def by_provenance(sources: Sequence[Source]) -> list[str]:
    """The reason of the generator that put the item highest."""
    return [_PROVENANCE.get(source.generator, f"found by {source.generator}") for source in sources[:1]]


def by_contribution(
    hybrid: Hybrid, catalogue: Catalogue, query: Queries, slates: Slates, rows: npt.NDArray[np.int64]
) -> list[list[str]]:
    """Up to `TOLD` reasons for the items at some places of one query's slate, what adds most first.

    A feature without a meaning of its own (an axis of the space, a property of the user) is not told, and nothing of
    an order that is a single model's.
    """
    voice, features = hybrid.voice(query), slates.features
    if voice is None:
        return [[] for _ in rows]
    words = _told(voice.names)
    added = voice.contributions(features, rows)[:, words.columns]
    values = features.select(words.names)
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    mine = values[rows]
    told = np.where(mine > mean, words.more, np.where(mine < mean, words.less, 0))
    lifts = _lifts(added, told, len(words.texts))
    speaker = _Speaker(hybrid, catalogue, query, slates.candidates.item[0][rows])
    reasons = []
    for place, best in enumerate(np.argsort(-lifts, axis=1, kind="stable")[:, :TOLD].tolist()):
        said = [speaker.say(words.texts[text], place) for text in best if lifts[place, text] > 0]
        reasons.append(list(dict.fromkeys(said)))
    return reasons


def _lifts(added: npt.NDArray[np.float64], told: npt.NDArray[np.int64], texts: int) -> npt.NDArray[np.float64]:
    """What the features of each text together add to each row, float64 [rows, texts]; 0 for the first, which is empty.

    told: int64 [rows, m], the text of each feature. What takes from a score is left out.
    """
    place = np.arange(len(added))[:, None] * texts + told
    found = np.bincount(place.ravel(), np.maximum(added, 0).ravel(), minlength=len(added) * texts)
    lifts = np.asarray(found, np.float64).reshape(len(added), texts)
    lifts[:, 0] = 0
    return lifts


@dataclass(frozen=True)
class _Told:
    """What is said of some features. names: the m of which anything is; columns: int64 [m], their places among all.

    more, less: int64 [m], the place in `texts`, of which the first is empty, of what is said of an item that has more,
    or less, than others.
    """

    names: tuple[str, ...]
    columns: npt.NDArray[np.int64]
    texts: tuple[str, ...]
    more: npt.NDArray[np.int64]
    less: npt.NDArray[np.int64]


@cache
def _told(names: tuple[str, ...]) -> _Told:
    words = [WORDS.get(name.removesuffix(IN_SLATE), Words()) for name in names]
    columns = [column for column, one in enumerate(words) if one != Words()]
    said = [(words[column].more or "", words[column].less or "") for column in columns]
    texts = tuple(dict.fromkeys(("", *(text for pair in said for text in pair))))
    more, less = np.array([[texts.index(text) for text in pair] for pair in said], np.int64).reshape(-1, 2).T
    return _Told(tuple(names[column] for column in columns), np.array(columns, np.int64), texts, more, less)


class _Speaker:
    """Fills in titles, categories and surroundings, for some items."""

    def __init__(self, hybrid: Hybrid, catalogue: Catalogue, query: Queries, items: Codes) -> None:
        self._catalogue = catalogue
        self._items = items
        self._liked: Codes = query.item[query.positive][-LOOKED_AT:]
        moment = datetime.fromtimestamp(int(query.at[0]) // 1_000_000, UTC)
        self._here = {
            "daypart": ("at night", "in the morning", "in the afternoon", "in the evening")[moment.hour // 6],
            "week": "at weekends" if moment.isoweekday() >= 6 else "on weekdays",
            "device": query.device[0],
            "place": query.place[0],
        }
        self._fused: Floats = hybrid.knowledge.space.fused
        self._generators = hybrid.generators

    def say(self, text: str, place: int) -> str:
        """A reason's text for the item at that place among the items."""
        item = int(self._items[place])
        if "{neighbour}" in text:
            said = self._said[:, place]
            return text.format(neighbour=self._title(said)) if len(said) else FOUND_BY["ease"]
        if "{similar}" in text:
            return text.format(similar=self._title(self._fused[self._liked] @ self._fused[item]))
        if "{categories}" in text:
            categories = self._catalogue.table[schema.CATEGORIES][item].as_py()[:TOLD]
            return text.format(categories=", ".join(categories))
        return text.format(**self._here)

    @cached_property
    def _said(self) -> Floats:
        """What each liked item says of every item."""
        return said_of(self._generators, self._liked, self._items)

    def _title(self, speaks: Floats) -> str:
        """The liked item that speaks most, the latest of equal ones."""
        return self._catalogue.title(int(self._liked[len(speaks) - 1 - int(np.argmax(speaks[::-1]))]))
