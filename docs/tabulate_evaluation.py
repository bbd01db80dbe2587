"""Print the README's table of an evaluation: `trichord evaluate --json | python docs/tabulate_evaluation.py`."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

ORDER: Final = (
    "oracle",
    "hybrid",
    "ease",
    "ials",
    "ials_scaled",
    "bpr",
    "slim",
    "rp3beta",
    "item_knn",
    "bm25",
    "user_knn",
    "covisitation",
    "fusion",
    "popular_windowed",
    "popular",
    "content",
)
PARTS: Final = ("text", "image", "audio", "behaviour", "context")

Protocols = dict[str, dict[str, Any]]  # as in the JSON of `trichord evaluate`


def main() -> None:
    """Read the JSON from standard input, print Markdown."""
    print("\n".join(table(json.load(sys.stdin)["protocols"])))


def table(protocols: Protocols) -> Iterator[str]:
    """Lines of the table: models, the hybrid over the best baseline, and the hybrid without each of its parts."""
    every = list(protocols.values())
    yield _row("model", [f"{name.upper()} ({one['users']} users)" for name, one in protocols.items()])
    yield "|---" * (1 + len(every)) + "|"
    for model in ORDER:
        if all(model in one["models"] for one in every):
            named = f"**{model}**" if model == "hybrid" else model
            yield _row(named, [_score(one["models"][model]) for one in every])
    best = [one["hybrid_vs_best_baseline"] for one in every]
    yield _row("hybrid over the best of them", [f"{_relative(one)} over {one['baseline']}" for one in best])
    if all("hybrid_vs_validated_baseline" in one for one in every):
        chosen = [one["hybrid_vs_validated_baseline"] for one in every]
        yield _row("hybrid over validation's choice", [f"{_relative(one)} over {one['baseline']}" for one in chosen])
    for part in PARTS:
        if all(part in one["ablation"] for one in every):
            yield _row(f"without {part}", [_relative(one["ablation"][part]) for one in every])


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _score(model: dict[str, Any]) -> str:
    low, high = model["ci95"]["ndcg@10"]
    return f"{model['ndcg@10']:.4f} [{low:.3f}, {high:.3f}]"


def _relative(one: dict[str, Any]) -> str:
    low, high = one["ci95"]
    return f"{one['relative']:+.1%} [{low:+.1%}, {high:+.1%}]"


if __name__ == "__main__":
    main()
