"""How the measured times grow: the other scripts at 10,000, 100,000 and 1,000,000 rows and at several depths.

    python benchmarks/growth.py growth.json [--sizes 10000 100000 1000000] [--depths 10 100 1000] [--runs 3]
    python docs/draw_growth.py growth.json

Runs `point_in_time.py` (entity rows at the middle depth, depths at the middle number of rows), `materialize.py` (rows
of one an entity; then the same number of rows in the file at each depth), `online_read.py` (by stored items) and
`event_log.py` (by events), one after another, each with its peers as far as these get there: stock online stores take
up to 100,000 rows. Writes what they print into one JSON file. Takes about half an hour.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
STOCK_ROWS = "100000"


def run(script: str, *arguments: object) -> dict[str, object]:
    """What a script prints."""
    command = [sys.executable, str(HERE / f"{script}.py"), *map(str, arguments)]
    print(" ".join(command[1:]), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, object] = json.loads(done.stdout[done.stdout.index("{") :])
    return document


def point_in_time(sizes: list[int], depths: list[int], runs: int) -> dict[str, object]:
    rows, depth = sizes[len(sizes) // 2], depths[len(depths) // 2]
    points = dict.fromkeys([f"{one}x{depth}" for one in sizes] + [f"{rows}x{one}" for one in depths])
    flags = [flag for point in points for flag in ("--point", point)]
    return run("point_in_time", *flags, "--rule", "written", "--runs", runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("written", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 100, 1_000])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    sizes, depths, runs = sorted(arguments.sizes), sorted(arguments.depths), arguments.runs
    document = {
        "cores": os.cpu_count(),
        "point_in_time": point_in_time(sizes, depths, runs),
        "materialize": run("materialize", "--rows", *sizes, "--runs", runs, "--peer-rows", STOCK_ROWS),
        "materialize_depth": {
            depth: run("materialize", "--rows", sizes[-1] // depth, "--history", depth, "--runs", runs)
            for depth in depths
        },
        "online_read": {n: run("online_read", "--stored", n, "--stock-stored", STOCK_ROWS) for n in sizes},
        "event_log": {n: run("event_log", "--events", n, "--runs", runs) for n in sizes},
    }
    arguments.written.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
