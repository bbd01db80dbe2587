"""New items ranked by content alone: alignment and predicted audience against ridge, content kNN and popularity.

    python benchmarks/cold_items.py --home HOME [--seeds 3] > movielens.json
    python benchmarks/cold_items.py --lastfm FOLDER [--seeds 3] > lastfm.json

HOME: a finished home of ml-latest-small with plots and posters. FOLDER: HetRec Last.fm-2K with given text and audio
features (mmrec_npy and processed_data/lfm2k.inter).

A division holds out a fifth of the items: three disjoint fifths at random and, where items have dates, the newest
fifth. No model sees an event of these. What is learned from are each user's earliest 80 % of the positives (of Last.fm
the given training part) on the other items; what is to be found are all positives on held-out items. Candidates are
the held-out items that have every modality. NDCG@10, mean over users.

Every closed form is tuned in the same run, on items hidden from the division's training part: the ridge over shrinkage
and width of the factors, the kernel ridge by its own rule (`choose`), which never sees a held-out item either.

Intervals are 95 %, from a delete-half jackknife over *items* (60 halves): what varies most is which items happen to be
new. A difference over several divisions is their mean. Rows that end in `lost`: half of the candidates lose one of
their modalities, drawn at random, the same ones for every model; the ridge is then one fitted and tuned for what is
left. Prints one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.schema import Modality
from pipelines.datasets.lastfm import read_lastfm
from ranking.candidates.cold_start import standardised
from ranking.metrics import ndcg
from ranking.representation.alignment import Alignment
from ranking.representation.behaviour import item_factors, positives
from ranking.representation.content import UNKNOWN_TIME, ItemContent, item_content
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.inputs import CATEGORIES, Inputs, unit_rows
from ranking.types import PARTS, Bools, Floats, IdIndex, Interactions

SHARE, DIVISIONS, DEPTH, HALVES = 0.2, 3, 10, 60
SHRINKAGES = (1.0, 3.0, 10.0, 30.0, 100.0)
WIDTHS = (64, 128, 256)
INTERCEPT = 0.3
Scores = dict[str, Floats]


@dataclass(frozen=True)
class Set:
    """A data set. trainable: which of the log's rows, all positive, come early enough to learn from."""

    name: str
    content: ItemContent
    log: Interactions
    trainable: Bools
    complete: Bools  # items that may be candidates
    heads: tuple[tuple[str, ...], ...]  # sets of modalities to be compared, the first is text alone


@dataclass(frozen=True)
class Division:
    """Held-out items as candidates [c], and the users who like some of them and something known."""

    train: Interactions
    candidates: npt.NDArray[np.int64]
    history: sparse.csr_matrix  # [u, n_items]
    relevant: Bools  # [u, c]

    @classmethod
    def of(cls, data: Set, held_out: Bools) -> "Division":
        """What is left to learn from, and what is to be found."""
        train = data.log.where(data.trainable & ~held_out[data.log.item])
        candidates = np.flatnonzero(held_out & data.complete)
        liked = positives(data.log)[:, candidates].toarray() > 0
        known = positives(train)
        users = np.flatnonzero(liked.any(axis=1) & (np.diff(known.indptr) > 0))
        return cls(train, candidates, known[users], liked[users])


def movielens(home: Path) -> Set:
    lake = home / "lake"
    items = pq.read_table(lake / "items" / "table.parquet")
    tables = {one: pq.read_table(lake / f"{one}_embeddings" / "table.parquet") for one in ("text", "image")}
    content = item_content(items, {Modality(name): table for name, table in tables.items()})
    plots = dict(zip(items[schema.ITEM_ID].to_pylist(), items[schema.DESCRIPTION].to_pylist(), strict=True))
    complete = np.array([bool(plots[one]) for one in content.items.ids]) & content.present[Modality.IMAGE]
    events = pq.read_table(lake / "events" / "table.parquet")
    log = Interactions.from_events(events, users=IdIndex.of(events[schema.USER_ID].to_pylist()), items=content.items)
    log = log.where(log.positive)
    heads = (("text",), ("text", "image"), ("text", "image", CATEGORIES))
    return Set("ml-latest-small", content, log, earliest(log), complete, heads)


def lastfm(folder: Path) -> Set:
    dataset = read_lastfm(folder, now=datetime.now(UTC))
    content = item_content(dataset.items, dataset.vectors)
    events = label_events(dataset.events, dataset.kinds).append_column(schema.PART, dataset.events[schema.PART])
    users = IdIndex.of(dataset.users[schema.USER_ID].to_pylist())
    log = Interactions.from_events(events, users=users, items=content.items)
    complete = np.logical_and.reduce([*content.present.values()])
    trainable = log.part == PARTS.index(schema.SplitPart.TRAIN)
    return Set(dataset.name, content, log, trainable, complete, (("text",), ("audio",), ("text", "audio")))


def earliest(log: Interactions, share: float = 0.8) -> Bools:
    """Each user's earliest share of the log."""
    counts = np.bincount(log.user, minlength=len(log.users))
    by_user = np.argsort(log.user, kind="stable")
    place = np.empty(len(log), np.int64)
    place[by_user] = np.arange(len(log)) - (np.cumsum(counts) - counts)[log.user[by_user]]
    return np.asarray(place < np.ceil(counts * share)[log.user])


def held_out_items(data: Set) -> dict[str, list[Bools]]:
    n = len(data.content.items)
    parts = np.array_split(np.random.default_rng(0).permutation(n), round(1 / SHARE))[:DIVISIONS]
    found = {"random": [np.isin(np.arange(n), part) for part in parts]}
    created_at = data.content.created_at
    if (created_at != UNKNOWN_TIME).any():
        newest = np.argsort(created_at, kind="stable")[-round(n * SHARE) :]
        found["newest"] = [np.isin(np.arange(n), newest)]
    return found


def reduced(content: ItemContent, heads: Iterable[str]) -> ItemContent:
    """Content of some heads alone."""
    kept = {one: vectors for one, vectors in content.vectors.items() if one in heads}
    less = replace(content, vectors=kept, present={one: content.present[one] for one in kept})
    if CATEGORIES not in heads:
        n = len(content.items)
        none = sparse.csr_matrix((n, 0), dtype=bool)
        less = replace(less, categories=none, category_names=(), created_at=np.full(n, UNKNOWN_TIME))
    return less


class Ridge:
    """Linear, from all inputs side by side to item factors: the baseline."""

    def __init__(self, content: ItemContent, train: Interactions) -> None:
        self.liked = positives(train)
        self.warm = np.asarray(self.liked.sum(axis=0)).ravel() > 0
        self.inputs = Inputs.fit(content, self.warm)
        self.settings = self._tuned(content)

    def _columns(self, content: ItemContent) -> Floats:
        constant = np.full((len(content.items), 1), INTERCEPT, np.float32)
        return np.hstack([*(one.values for one in self.inputs.of(content).values()), constant])

    def _tuned(self, content: ItemContent) -> tuple[float, int]:
        """Shrinkage and width that are best on two halves of the known items, each hidden once."""
        rows = np.flatnonzero(self.warm)
        hidden = np.random.default_rng(1).permutation(len(rows)) % 2 == 1
        columns = self._columns(content)
        total = {(shrinkage, width): 0.0 for shrinkage in SHRINKAGES for width in WIDTHS}
        for mask in (hidden, ~hidden):
            known, asked = self.liked[:, rows[~mask]], self.liked[:, rows[mask]].toarray() > 0
            users = asked.any(axis=1) & (np.diff(known.indptr) > 0)
            for width in WIDTHS:
                factors = item_factors(known, width)
                for shrinkage in SHRINKAGES:
                    predicted = columns[rows[mask]] @ fit_ridge(columns[rows[~mask]], factors, shrinkage)
                    total[shrinkage, width] += measured((known @ factors)[users] @ predicted.T, asked[users])
        return max(total, key=lambda one: total[one])

    def scores(self, division: Division, content: ItemContent) -> Floats:
        """Inner products of tastes and predicted factors."""
        shrinkage, width = self.settings
        factors, columns = item_factors(self.liked, width), self._columns(content)
        predicted = columns[division.candidates] @ fit_ridge(columns[self.warm], factors[self.warm], shrinkage)
        return (division.history @ factors) @ predicted.T

    def popularity(self, division: Division, content: ItemContent) -> Floats:
        """How many like an item (logarithm), predicted by the same ridge: the same for every user."""
        likes = np.log1p(np.asarray(self.liked.sum(axis=0)).ravel()).astype(np.float32)
        columns = self._columns(content)
        predicted = columns[division.candidates] @ fit_ridge(columns[self.warm], likes[self.warm], self.settings[0])
        return np.tile(predicted, (len(division.relevant), 1))

    def nearest(self, division: Division, content: ItemContent) -> Floats:
        """Centred content kNN: cosines of each head summed."""
        return sum(
            unit_rows(division.history @ one.values) @ one.values[division.candidates].T
            for one in self.inputs.of(content).values()
        )


def fit_ridge(columns: Floats, targets: Floats, shrinkage: float) -> Floats:
    gram = columns.T @ columns + np.float32(shrinkage) * np.eye(columns.shape[1], dtype=np.float32)
    return np.linalg.solve(gram, columns.T @ targets)


def measured(scores: Floats, relevant: Bools) -> float:
    """Mean NDCG."""
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return float(ndcg(np.take_along_axis(relevant, ranked, axis=1), relevant.sum(axis=1), DEPTH).mean())


def z(scores: Floats) -> Floats:
    return standardised(scores, np.ones(scores.shape, bool))


def by_alignment(
    found: Alignment, division: Division, content: ItemContent, history: ItemContent, heads: Iterable[str]
) -> Floats:
    """Cosine of taste and item, plus the items' bias, by some heads. history: content of the past's items."""
    without = frozenset(found.inputs.means) - frozenset(heads)
    vectors, bias = found.item_vectors(content, without=without), found.item_bias(content, without=without)
    taste = unit_rows(division.history @ found.item_vectors(history, without=without))
    places = division.candidates
    return taste @ vectors[places].T + bias[places] * found.config.temperature


def by_mapping(found: FactorMapping, division: Division, content: ItemContent, history: ItemContent) -> Floats:
    known = found.history_vectors(found.item_vectors(history))
    return (division.history @ known) @ found.item_vectors(content)[division.candidates].T


def with_losses(content: ItemContent, heads: tuple[str, ...], division: Division) -> tuple[ItemContent, dict]:
    """Half of the candidates lose one head; and which candidates (places) lack which head."""
    draw = np.random.default_rng(7)
    losers = draw.permutation(len(division.candidates))[: len(division.candidates) // 2]
    parts = dict(zip(heads, np.array_split(losers, len(heads)), strict=True))
    present = {one: there.copy() for one, there in content.present.items()}
    created_at, categories = content.created_at.copy(), content.categories.tolil()
    for head, places in parts.items():
        codes = division.candidates[places]
        if head == CATEGORIES:
            created_at[codes] = UNKNOWN_TIME
            categories[codes] = 0
        else:
            present[Modality(head)][codes] = False
    changed = replace(content, present=present, created_at=created_at, categories=categories.tocsr())
    return changed, parts


def evaluate(data: Set, division: Division, seeds: int) -> tuple[Scores, dict]:
    """Scores of every row of the table, and what was chosen and how long it took.

    One alignment of everything serves every set of modalities: it has learned with some of them missing.
    """
    rows: Scores = {"random": np.random.default_rng(3).random(division.relevant.shape).astype(np.float32)}
    everything = data.heads[-1]
    whole = reduced(data.content, everything)
    start = time.perf_counter()
    aligned = [Alignment.fit(whole, division.train, seed=seed) for seed in range(seeds)]
    notes: dict = {"alignment_s_a_seed": round((time.perf_counter() - start) / seeds, 1)}
    for heads in data.heads:
        name, content = "+".join(heads), reduced(data.content, heads)
        ridge = Ridge(content, division.train)
        rows[f"popularity {name}"] = ridge.popularity(division, content)
        rows[f"kNN {name}"] = ridge.nearest(division, content)
        rows[f"ridge {name}"] = ridge.scores(division, content)
        start = time.perf_counter()
        mapping = FactorMapping.fit(content, division.train)
        rows[f"predicted {name}"] = by_mapping(mapping, division, content, content)
        notes[name] = {
            "ridge": ridge.settings,
            "mapping": [mapping.choice.heads, mapping.choice.strength],
            "factor_mapping_s": round(time.perf_counter() - start, 1),
        }
        add_alignment(rows, name, [by_alignment(one, division, whole, whole, heads) for one in aligned])
    lost, parts = with_losses(whole, everything, division)
    patched = rows[f"ridge {name}"].copy()
    for head, places in parts.items():
        left = reduced(data.content, [one for one in everything if one != head])
        patched[:, places] = Ridge(left, division.train).scores(division, left)[:, places]
    rows[f"ridge {name}, lost"] = patched
    rows[f"predicted {name}, lost"] = by_mapping(mapping, division, lost, whole)
    add_alignment(rows, f"{name}, lost", [by_alignment(one, division, lost, whole, everything) for one in aligned])
    return rows, notes


def add_alignment(rows: Scores, name: str, seeds: list[Floats]) -> None:
    """The alignment by one and by all seeds, alone and beside the closed forms; `product` is what new items get."""
    rows[f"alignment x1 {name}"] = seeds[0]
    rows[f"alignment x1 + ridge {name}"] = z(seeds[0]) + z(rows[f"ridge {name}"])
    rows[f"product {name}"] = z(seeds[0]) + z(rows[f"predicted {name}"])
    if len(seeds) > 1:
        rows[f"alignment x{len(seeds)} {name}"] = sum(seeds)
        rows[f"alignment x{len(seeds)} + ridge {name}"] = z(sum(seeds)) + z(rows[f"ridge {name}"])
        rows[f"alignment x{len(seeds)} + predicted {name}"] = z(sum(seeds)) + z(rows[f"predicted {name}"])


def halved(rows: Scores, relevant: Bools) -> dict[str, npt.NDArray[np.float64]]:
    """NDCG of each row among random halves of the candidates, [HALVES] each."""
    draw = np.random.default_rng(11)
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(HALVES):
        kept = draw.permutation(relevant.shape[1])[: relevant.shape[1] // 2]
        some = relevant[:, kept]
        users = some.any(axis=1)
        for name, scores in rows.items():
            found[name].append(measured(scores[users][:, kept], some[users]))
    return {name: np.array(values) for name, values in found.items()}


def difference(full: list[dict], halves: list[dict], better: str, worse: str) -> dict:
    """Mean over divisions of NDCG(better) - NDCG(worse), its interval, and as a share of the worse one."""
    gaps = np.array([one[better] - one[worse] for one in full])
    spread = np.sqrt(sum((one[better] - one[worse]).var(ddof=1) for one in halves)) / len(halves)
    base = float(np.mean([one[worse] for one in full]))
    low, high = gaps.mean() - 1.96 * spread, gaps.mean() + 1.96 * spread
    return {
        "better": better,
        "worse": worse,
        "difference": round(float(gaps.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "relative": round(float(gaps.mean()) / base, 3),
    }


def compared(data: Set, seeds: int) -> list[tuple[str, str]]:
    text, full = "+".join(data.heads[0]), "+".join(data.heads[-1])
    pairs = [(f"product {full}", f"{worse} {full}") for worse in ("ridge", "kNN", "predicted", "alignment x1")]
    pairs += [(f"product {full}", f"ridge {text}"), (f"predicted {full}", f"ridge {full}")]
    pairs += [(f"alignment x{seeds} + ridge {full}", f"ridge {full}")]
    pairs += [(f"predicted {full}, lost", f"predicted {full}"), (f"predicted {full}, lost", f"ridge {full}, lost")]
    pairs += [(f"product {'+'.join(heads)}", f"product {text}") for heads in data.heads[1:]]
    pairs += [(f"predicted {'+'.join(heads)}", f"predicted {text}") for heads in data.heads[1:]]
    pairs += [(f"product {full}, lost", f"product {full}"), (f"product {full}, lost", f"ridge {full}, lost")]
    if seeds > 1:
        pairs += [(f"alignment x{seeds} + predicted {full}", f"product {full}")]
    return pairs


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--home", type=Path)
    source.add_argument("--lastfm", type=Path)
    options.add_argument("--seeds", type=int, default=3)
    asked = options.parse_args()
    data = movielens(asked.home) if asked.home else lastfm(asked.lastfm)
    report: dict = {"set": data.name, "measure": f"NDCG@{DEPTH}", "seeds": asked.seeds}
    for kind, divided in held_out_items(data).items():
        full, halves, sizes, notes = [], [], [], []
        for number, held_out in enumerate(divided):
            division = Division.of(data, held_out)
            sizes.append({"users": len(division.relevant), "candidates": len(division.candidates)})
            rows, chosen = evaluate(data, division, asked.seeds)
            print(kind, number, json.dumps(chosen), file=sys.stderr, flush=True)
            notes.append(chosen)
            full.append({name: measured(scores, division.relevant) for name, scores in rows.items()})
            halves.append(halved(rows, division.relevant))
        report[kind] = {
            "divisions": sizes,
            "ndcg": {name: round(float(np.mean([one[name] for one in full])), 4) for name in full[0]},
            "each": {name: [round(one[name], 4) for one in full] for name in full[0]},
            "differences": [difference(full, halves, *pair) for pair in compared(data, asked.seeds)],
            "chosen": notes,
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
