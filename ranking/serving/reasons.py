"""Why an item stands where it stands, in plain words.

Cheap: which generator put it highest. Exact: what each feature adds to its score against other items of the slate
(TreeSHAP, `Blend.contributions`), said in words where a feature has a meaning that people know.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from feature_repo import schema
from ranking.candidates.union import Source
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
    words = {**FOUND_BY, QUERY: "close in content to what you look for"}
    return [words.get(source.generator, f"found by {source.generator}") for source in sources[:1]]


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
    added = voice.contributions(features, rows)
    values = features.select(voice.names)
    mean = np.nansum(values, axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mine = values[rows]
    more, less = (_texts(voice.names, which) for which in ("more", "less"))
    texts = np.where(mine > mean, more, np.where(mine < mean, less, ""))
    told = (added > 0) & (texts != "")
    speaker = _Speaker(hybrid, catalogue, query)
    reasons = []
    for row, item in enumerate(slates.candidates.item[0][rows].tolist()):
        lifts: Counter[str] = Counter()
        for text, lift in zip(texts[row, told[row]].tolist(), added[row, told[row]].tolist(), strict=True):
            lifts[text] += lift
        reasons.append(list(dict.fromkeys(speaker.say(text, item) for text, _ in lifts.most_common(TOLD))))
    return reasons


@cache
def _texts(names: tuple[str, ...], which: Literal["more", "less"]) -> npt.NDArray[np.object_]:
    """Of each feature, what is said of an item that has more, or less, of it than others; empty for nothing."""
    words = [WORDS.get(name.removesuffix(IN_SLATE), Words()) for name in names]
    return np.array([getattr(one, which) or "" for one in words], object)


class _Speaker:
    """Fills in titles, categories and surroundings."""

    def __init__(self, hybrid: Hybrid, catalogue: Catalogue, query: Queries) -> None:
        self._catalogue = catalogue
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

    def say(self, text: str, item: int) -> str:
        """A reason's text for one item."""
        if "{neighbour}" in text:
            speaks = said_of(self._generators, self._liked, item)
            return text.format(neighbour=self._title(speaks)) if len(speaks) else FOUND_BY["ease"]
        if "{similar}" in text:
            return text.format(similar=self._title(self._fused[self._liked] @ self._fused[item]))
        categories = self._catalogue.table[schema.CATEGORIES][item].as_py()[:TOLD]
        return text.format(categories=", ".join(categories), **self._here)

    def _title(self, speaks: Floats) -> str:
        """The liked item that speaks most, the latest of equal ones."""
        return self._catalogue.title(int(self._liked[len(speaks) - 1 - int(np.argmax(speaks[::-1]))]))
