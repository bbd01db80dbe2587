"""How far vectors move when all is well, and how far when it is not: PSI and KS as the suites measure them.

    python benchmarks/drift.py --home HOME

HOME: a finished home. Aligned items: the alignment is learned again without 1 % of the events, from the earliest 80 %,
and with another seed, each held against the one of all events. Embeddings of each modality, held against themselves: a
random half of them; a fifth replaced by one vector (a placeholder); the numbers of every vector in another order; noise
of .3 of a number's root mean square. Each is the mean over 16 directions. Prints one JSON object.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.alignment import Alignment
from ranking.representation.content import ItemContent, item_content
from ranking.representation.embedding_store import vectors_of
from ranking.types import Floats, IdIndex, Interactions
from validation.drift import Profile, drift


def moved(before: Floats, now: Floats) -> dict[str, float]:
    stability, distance = drift(Profile.of(before, "one"), Profile.of(now, "one"))
    return {"psi": round(stability, 4), "ks": round(distance, 4)}


def relearned(content: ItemContent, log: Interactions) -> dict[str, dict[str, float]]:
    """The alignment again, on slightly other events or with another seed."""

    def items(train: Interactions, seed: int = 0) -> Floats:
        vectors = Alignment.fit(content, train, seed=seed).item_vectors(content)
        return vectors[vectors.any(axis=1)]

    before, n = items(log), len(log)
    kept = np.random.default_rng(0).random(n) < 0.99
    return {
        "without_1_percent": moved(before, items(log.where(kept))),
        "earliest_80_percent": moved(before, items(log.where(np.arange(n) < 0.8 * n))),
        "another_seed": moved(before, items(log, seed=1)),
    }


def damaged(vectors: Floats) -> dict[str, dict[str, float]]:
    """Embeddings with one fault each."""
    draw = np.random.default_rng(0)
    order = draw.permutation(len(vectors))
    placeholder = vectors.copy()
    placeholder[order[: len(vectors) // 5]] = vectors[0]
    spread = 0.3 * np.sqrt((vectors**2).mean())
    noisy = (vectors + spread * draw.normal(size=vectors.shape)).astype(np.float32)
    return {
        "random_half": moved(vectors, vectors[order[: len(vectors) // 2]]),
        "a_fifth_one_placeholder": moved(vectors, placeholder),
        "numbers_in_another_order": moved(vectors, vectors[:, draw.permutation(vectors.shape[1])]),
        "noise": moved(vectors, noisy),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    lake = options.parse_args().home / "lake"
    tables = {one: pq.read_table(lake / f"{one}_embeddings" / "table.parquet") for one in Modality}
    tables = {one: table for one, table in tables.items() if len(table)}
    content = item_content(pq.read_table(lake / "items" / "table.parquet"), tables)
    events = pq.read_table(lake / "events" / "table.parquet")
    users = IdIndex.of(events[schema.USER_ID].to_pylist())
    log = Interactions.from_events(events, users=users, items=content.items)
    found = {str(one): damaged(vectors_of(table)) for one, table in tables.items()}
    print(json.dumps({"aligned": relearned(content, log), **found}, indent=2))


if __name__ == "__main__":
    main()
