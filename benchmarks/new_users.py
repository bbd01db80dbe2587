"""People whom nobody knows yet, after their first 0, 1, 3, 5 and 10 events: the hybrid beside popularity and fold-in.

    python benchmarks/new_users.py --home HOME [--seeds 0 1 2] [--share .2] > new_users.json

HOME: a finished home of any data set; it is read, not written. `ranking/evaluation/new_users.py` says who is held out,
what every model may know, and how the single model to beat is chosen. Prints one JSON object.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from feature_repo.settings import load_settings
from pipelines.windows import COLD_START, tuned
from pipelines.workspace import Workspace
from ranking.artifacts import load_as
from ranking.candidates.cold_start import ColdStartConfig
from ranking.evaluation.new_users import SHARE, NewUsersReport, Source, measure_new_users
from ranking.splits import served_protocol


def measure(home: Path, *, seeds: list[int], share: float = SHARE) -> NewUsersReport:
    """The report of a finished home."""
    workspace = Workspace(load_settings(home))
    served = served_protocol(workspace.interactions)
    chosen = tuned(workspace, served)
    cold_start = load_as(workspace.home.folder("candidate_sets") / served / COLD_START, ColdStartConfig)
    source = Source(
        workspace.content,
        workspace.home.read("users"),
        workspace.store.training_frame,
        workspace.alignment,
        workspace.content_views(),
    )
    return measure_new_users(
        workspace.interactions,
        source,
        chosen,
        replace(chosen.generators(), cold_start=cold_start),
        seeds=seeds,
        share=share,
        progress=lambda done, total: print(f"seed {done + 1} of {total}", file=sys.stderr, flush=True),
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--share", type=float, default=SHARE)
    asked = options.parse_args()
    print(json.dumps(measure(asked.home, seeds=asked.seeds, share=asked.share), indent=2))


if __name__ == "__main__":
    main()
