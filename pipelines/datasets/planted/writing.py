"""Titles and descriptions: sentences about an item's themes, as many as the theme weighs."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.datasets.planted.themes import Theme, Words
from ranking.types import Floats

MAKERS: Final = (
    "Ada Lindqvist", "Mira Okafor", "Jonas Hale", "Tove Brandt", "Emil Moreau", "Noor Sato",
    "Pia Keller", "Luca Ferrara", "Ines Duarte", "Oskar Nyman", "Yara Haddad", "Hugo Vance",
    "Lena Aalto", "Arun Mehta", "Maud Pryce", "Silas Thorne", "Freya Holm", "Tomas Novak",
    "Ruth Adler", "Kofi Mensah", "Elsa Winter", "Ivo Kovac", "Dana Rosen", "Milo Castell",
    "Sana Malik", "Piet Jansen", "Vera Orlova", "Bram Visser", "Nadia Karim", "Otto Falk",
)  # fmt: skip
PLAIN_FIRST: Final = ("Small", "Plain", "Second", "Open", "Quiet", "Early", "Loose", "Common", "Other", "Untitled")
PLAIN_LAST: Final = ("Study", "Sketch", "Piece", "Pages", "Figures", "Hours", "Notes", "Variation", "Reel", "Fragment")
PLAIN: Final = (
    "Made by {maker} in a single afternoon.",
    "Part of a small series that {maker} has kept up for years.",
    "Best met without knowing much about it.",
    "One idea, looked at from several sides.",
    "It runs for {minutes} minutes and ends where it began.",
    "{maker} says only that it should be seen and heard together.",
    "A short piece by {maker}, made for small rooms and large ones.",
    "Shown first to a few friends, and then to everyone.",
    "Nothing is explained, and nothing needs to be.",
    "The second of three, though it can stand alone.",
    "It was finished in one take, with the mistakes left in.",
    "A favourite of the people who put this catalogue together.",
)
CATEGORY_NOISE: Final = 0.15  # chance that a category is that of another theme
SECOND_CATEGORY: Final = 0.3  # from this weight on a second theme gives a category


def write_title(mix: Floats, themes: Sequence[Theme], rng: np.random.Generator) -> str:
    """Two words, each of one of the item's themes; plain ones where words cannot tell the theme."""
    first, last = (_drawn_words(mix, themes, rng) for _ in range(2))
    return f"{rng.choice(first.first if first else PLAIN_FIRST)} {rng.choice(last.last if last else PLAIN_LAST)}"


def write_description(mix: Floats, themes: Sequence[Theme], maker: str, minutes: int, rng: np.random.Generator) -> str:
    """Two to four different sentences; the theme of each is drawn from the item's mix."""
    sentences: list[str] = []
    for _ in range(rng.integers(2, 5)):
        words = _drawn_words(mix, themes, rng)
        sentence = _sentence(words, rng) if words else str(rng.choice(PLAIN))
        sentence = sentence.format(maker=maker, minutes=minutes)
        if sentence not in sentences:
            sentences.append(sentence)
    return " ".join(sentences)


def pick_categories(mix: Floats, themes: Sequence[Theme], rng: np.random.Generator) -> list[str]:
    """Categories of the one or two themes that weigh most, each now and then that of any other theme."""
    order = np.argsort(-mix)[:2]
    chosen = [int(theme) for rank, theme in enumerate(order) if rank == 0 or mix[theme] >= SECOND_CATEGORY]
    noisy = [int(rng.integers(len(themes))) if rng.random() < CATEGORY_NOISE else theme for theme in chosen]
    return list(dict.fromkeys(themes[theme].category for theme in noisy))


def distinct(titles: Sequence[str]) -> list[str]:
    """Titles as they are the first time, numbered from the second time on.

    >>> distinct(["Blue Solo", "Far Orbit", "Blue Solo"])
    ['Blue Solo', 'Far Orbit', 'Blue Solo No. 2']
    """
    count: dict[str, int] = {}
    named = []
    for title in titles:
        count[title] = count.get(title, 0) + 1
        named.append(title if count[title] == 1 else f"{title} No. {count[title]}")
    return named


def _drawn_words(mix: Floats, themes: Sequence[Theme], rng: np.random.Generator) -> Words | None:
    return themes[int(np.searchsorted(np.cumsum(mix), rng.random() * mix.sum(), side="right"))].words


def _sentence(words: Words, rng: np.random.Generator) -> str:
    a, b = rng.choice(words.things, 2, replace=False).tolist()
    scene, mood = str(rng.choice(words.scenes)), str(rng.choice(words.moods))
    text = str(rng.choice(words.sentences)).format(a=a, b=b, A=a[0].upper() + a[1:], scene=scene, mood=mood)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
