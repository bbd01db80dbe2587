"""What the recommender is held to, all measures in one run: the table of docs/quality.md, and JSON beside it.

    python benchmarks/quality.py --data FOLDER --home-root HOMES [--sets ml-100k,frappe] [--json FILE] > quality.md

FOLDER holds ml-100k, ml-latest-small, lastfm-2k-mm and frappe as published. HOMES/SET is the home of a set; one that is
there with an evaluation is read as it stands, one that is not is made by what `trichord run` does, which takes minutes.

Lifts are of means over the same users, with the middle 95 % of a paired bootstrap (2,000 draws). The single model that
the hybrid is held against is the one that was best on the validation window, as the home's tuning says: no test number
chooses anything, but for the hostile reference, which is EASE chosen on the very users that are asked. What is not
there to be measured is listed as not measured, never as a number.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from feature_repo.settings import Settings
from pipelines.run import run
from pipelines.windows import CONFIG, WINDOWS, tuned
from pipelines.workspace import Workspace
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.history import Feedback, Memory
from ranking.evaluation.significance import relative_ci95, resampled_means
from ranking.metrics import hits_of, ndcg, recall
from ranking.representation.alignment import Alignment
from ranking.representation.factor_mapping import FactorMapping
from ranking.splits import Protocol
from ranking.strategy.fit import divisions, fit_ranker, open_windows, slates_of, vocabulary_of
from ranking.strategy.hybrid import rank

Values = npt.NDArray[np.float64]

DATASETS = {
    "ml-100k": "movielens:{data}/ml-100k",
    "ml-latest-small": "movielens:{data}/ml-latest-small",
    "lastfm": "lastfm:{data}/lastfm-2k-mm",
    "planted": "synthetic",
}
FRAPPE = "frappe"
MOVIELENS = ("ml-100k", "ml-latest-small")
HYBRID, ORACLE, COVISITATION = "hybrid", "oracle", "covisitation"
SPREAD = "hybrid_spread"  # the hybrid's answers, spread over more of the catalogue
DEPTH = 200
RARE = 5  # training events at most
LOSS = 0.01  # of NDCG@10 that a wider catalogue may cost
BENCHMARKS = Path(__file__).parent

HOSTILE = tuple(
    EaseConfig(
        l2=l2,
        pair_half_life=pairs,
        min_events=1 if pairs is None else 5,
        memory=Memory(feedback=feedback, half_life_events=fading, others=others),
    )
    for l2, pairs, (feedback, others), fading in product(
        (100, 300, 1000),
        (None, 40),
        ((Feedback.POSITIVE, 1.0), (Feedback.ALL, 1.0), (Feedback.ALL, 0.2)),
        (None, 10, 50),
    )
)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    value: a share ("%"), a plain number ("") or seconds ("s"); None where nothing could be measured, `note` says why.
    must, aim: in the same unit; least: what the interval's lower end must exceed. lower: whether less is better.
    failed: whether a further condition of the goal, named in the note, is not met.
    """

    measure: str
    set: str
    value: float | None
    must: float | None = None
    aim: float | None = None
    interval: tuple[float, float] | None = None
    least: float | None = None
    unit: str = ""
    lower: bool = False
    failed: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or nothing was measured."""
        if self.value is None or self.must is None:
            return None
        reached = self.value <= self.must if self.lower else self.value >= self.must
        return (
            reached
            and not self.failed
            and (self.least is None or (self.interval is not None and self.interval[0] > self.least))
        )


class Answers:
    """What one protocol's models answered, of one home: the users with a history who have something relevant.

    users: ids in ascending order. needed: int [q], how many relevant items each has.
    """

    def __init__(self, home: Path, protocol: Protocol) -> None:
        self.home, self.protocol = home, protocol
        rows = self.ask("select user_id, count(*) from targets where protocol = ? and slice = 'all' group by user_id")
        rows.sort()
        self.users = [user for user, _ in rows]
        self.needed = np.array([n for _, n in rows], np.int64)

    def ask(self, query: str, *values: object) -> list[tuple]:
        """Rows of a query whose first value is the protocol."""
        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as db:
            return db.execute(query, [self.protocol.value, *values]).fetchall()

    @cached_property
    def models(self) -> list[str]:
        """Names of everything that was measured."""
        return [model for (model,) in self.ask("select distinct model from models where protocol = ? order by model")]

    @property
    def singles(self) -> list[str]:
        """What the hybrid is held against."""
        return [model for model in self.models if not model.startswith((HYBRID, ORACLE))]

    def hits(self, model: str) -> npt.NDArray[np.bool_]:
        """Whether the item at each rank is relevant, bool [q, DEPTH]."""
        found = np.zeros((len(self.users), DEPTH), bool)
        place = {user: row for row, user in enumerate(self.users)}
        query = (
            "select user_id, rank from rankings join targets using (protocol, user_id, item_id) "
            "where protocol = ? and model = ? and slice = 'all'"
        )
        for user, at in self.ask(query, model):
            found[place[user], at - 1] = True
        return found

    def ndcg(self, model: str, k: int = 10) -> Values:
        """One value a user."""
        return ndcg(self.hits(model), self.needed, k)

    def recall(self, model: str, k: int) -> Values:
        """One value a user."""
        return recall(self.hits(model), self.needed, k)

    @cached_property
    def best_single(self) -> str:
        """The single model that was best on the validation window."""
        scores = tuned(workspace_of(self.home), self.protocol).validation_ndcg
        return max((one for one in scores if one in self.models), key=lambda one: scores[one])


def workspace_of(home: Path, dataset: str | None = None) -> Workspace:
    return Workspace(Settings(home=home), dataset=dataset)


def lift(ours: Values, theirs: Values) -> tuple[float, tuple[float, float] | None]:
    """Relative difference of means over the same users, and its interval."""
    means = resampled_means(np.stack([ours, theirs], axis=1))
    return float(ours.mean() / theirs.mean() - 1), relative_ci95(means[:, 0], means[:, 1])


def lifted(measure: str, name: str, ours: Values, theirs: Values, note: str, **goal: float | None) -> Row:
    value, interval = lift(ours, theirs)
    said = f"{ours.mean():.4f} against {theirs.mean():.4f}, {note}, {len(ours)} users"
    return Row(measure, name, value, interval=interval, unit="%", note=said, **goal)


def not_measured(measure: str, name: str, why: str, **goal: object) -> Row:
    return Row(measure, name, None, note=f"not measured: {why}", **goal)


def over_best_single(name: str, home: Path) -> Iterable[Row]:
    """P2: NDCG@10 of the hybrid over the single model that validation chose, and over EASE chosen on the test users."""
    found = Answers(home, Protocol.P2)
    goal = (
        {"must": 0.20, "aim": 0.28, "least": 0.12} if name == "ml-100k" else {"must": 0.22, "aim": 0.35, "least": 0.14}
    )
    best, hybrid = found.best_single, found.ndcg(HYBRID)
    yield lifted("P2 NDCG@10, hybrid over the best single model", name, hybrid, found.ndcg(best), best, **goal)
    hostile, config = hostile_ease(home, found)
    said = f"EASE chosen on the test users from {len(HOSTILE)}: {config}"
    yield lifted(
        "P2 NDCG@10, hybrid over EASE chosen on the test users", name, hybrid, hostile, said, must=0.12, aim=0.2
    )


def hostile_ease(home: Path, found: Answers) -> tuple[Values, str]:
    """NDCG@10 a user of the configuration that is best on those very users: no choice of ours is made from it."""
    (division,) = divisions(workspace_of(home).interactions, found.protocol, 1)
    asked = np.diff(division.queries.indptr) > 0
    users = [one for one, kept in zip(division.train.users.take(division.queries.user), asked, strict=True) if kept]
    if users != found.users:
        raise SystemExit(
            f"{home}: its evaluation is of another division than this code makes; run `trichord run` again"
        )
    best: tuple[float, Values, str] = (-1.0, np.empty(0), "")
    fitted: dict[tuple, Ease] = {}
    for config in HOSTILE:
        key = (config.l2, config.pair_half_life, config.memory.feedback)
        if key not in fitted:
            fitted = {key: Ease(config).fit(division.train)}  # one at a time: they are large
        model = fitted[key]
        model.config = replace(model.config, memory=config.memory)  # a memory other than in its feedback acts on scores
        items, _ = full_ranking(model, division.queries, k=10)
        needed = np.diff(division.relevant.indptr)
        values = ndcg(hits_of(items, division.relevant), needed, 10)[asked]
        if values.mean() > best[0]:
            memory = config.memory
            said = f"l2 {config.l2:g}, {memory.feedback} (others {memory.others:g}), fading {memory.half_life_events}"
            best = (float(values.mean()), values, f"{said}, pairs {config.pair_half_life}")
    return best[1], best[2]


def fixed_split(name: str, home: Path) -> Iterable[Row]:
    """The dataset's own split: Recall@20 and NDCG@20 over the single model that validation chose (by NDCG@10)."""
    found = Answers(home, Protocol.FIXED)
    best, goal = found.best_single, {"must": 0.05, "aim": 0.10, "least": 0.0}
    hybrid = found.recall(HYBRID, 20), found.ndcg(HYBRID, 20)
    single = found.recall(best, 20), found.ndcg(best, 20)
    for metric, ours, theirs in zip(("Recall@20", "NDCG@20"), hybrid, single, strict=True):
        yield lifted(f"fixed split {metric}, hybrid over the best single model", name, ours, theirs, best, **goal)


def over_covisitation(name: str, home: Path) -> Iterable[Row]:
    """P3: NDCG@10 of the hybrid over co-visitation, the single model of the last event."""
    found = Answers(home, Protocol.P3)
    ours, theirs = found.ndcg(HYBRID), found.ndcg(COVISITATION)
    goal = {"must": 0.08, "aim": 0.20} if name == "ml-100k" else {}
    yield lifted("P3 NDCG@10, hybrid over co-visitation", name, ours, theirs, COVISITATION, **goal)


def one_cutoff(name: str, home: Path) -> Iterable[Row]:
    """P1: NDCG@10 of the hybrid over the single model that validation chose."""
    found = Answers(home, Protocol.P1)
    best, goal = found.best_single, {"must": -0.01, "aim": 0.10}
    ours, theirs = found.ndcg(HYBRID), found.ndcg(best)
    yield lifted("P1 NDCG@10, hybrid over the best single model", name, ours, theirs, best, **goal)


def candidates(name: str, home: Path) -> Iterable[Row]:
    """P2: recall of the union of generators, which must not be below that of any single model."""
    found = Answers(home, Protocol.P2)
    goal = {"must": 0.775, "aim": 0.80} if name == "ml-100k" else {"must": 0.535, "aim": 0.56}
    ((value,),) = found.ask("select avg(recall) from candidates where protocol = ?")
    singles = {model: float(found.recall(model, DEPTH).mean()) for model in found.singles}
    best = max(singles, key=lambda model: singles[model])
    note = f"best single model {best} {singles[best]:.4f}"
    yield Row("P2 candidate recall@200 of the union", name, value, note=note, failed=value < singles[best], **goal)


def rare_items(name: str, home: Path) -> Iterable[Row]:
    """P2: how many of the relevant (user, item) pairs with at most `RARE` training events stand among the 200."""
    found = Answers(home, Protocol.P2)
    goal = {"must": 0.20, "aim": 0.30} if name == "ml-100k" else {"must": 0.10, "aim": 0.15}
    query = """
        with events as (select item_id, count(*) as n from splits where protocol = $1 and part = 'train' group by 1),
        rare as (
            select user_id, item_id from targets left join events using (item_id)
            where protocol = $1 and slice = 'all' and coalesce(n, 0) <= $2
        )
        select count(*), count(found.item_id) from rare left join
        (select user_id, item_id from rankings where protocol = $1 and model = $3) as found using (user_id, item_id)
    """
    ((pairs, reached),) = found.ask(query, RARE, HYBRID)
    note = f"{reached} of {pairs} pairs"
    yield Row(f"P2 recall@200 of items with at most {RARE} events", name, reached / max(pairs, 1), note=note, **goal)


def planted(name: str, home: Path) -> Iterable[Row]:
    """The hybrid's NDCG@10 over that of an oracle who knows the planted truth, and the probability's calibration."""
    for protocol in (Protocol.P1, Protocol.P2):
        found = Answers(home, protocol)
        goal = {"must": 0.75, "aim": 0.90} if protocol is Protocol.P2 else {}
        value, interval = lift(found.ndcg(HYBRID), found.ndcg(ORACLE))
        ends = None if interval is None else (interval[0] + 1, interval[1] + 1)
        yield Row(f"{protocol.upper()} NDCG@10, hybrid over the oracle", name, value + 1, interval=ends, **goal)
    goal = {"must": 0.02, "aim": 0.01, "lower": True}
    try:
        query = "select value from point_predictions where protocol = ? and model = ? and metric = 'ece'"
        ((value,),) = found.ask(query, HYBRID)
        yield Row("calibration error of the probability", name, value, **goal)
    except (duckdb.CatalogException, ValueError):
        yield not_measured("calibration error of the probability", name, "the home holds no point predictions", **goal)


def duration(name: str, home: Path) -> Iterable[Row]:
    """Seconds of all that is fitted and ranked for P2 with chosen configurations, encoders cached: three windows."""
    workspace = workspace_of(home)
    log, content, users = workspace.interactions, workspace.content, workspace.home.read("users")
    views, configs = workspace.content_views(), tuned(workspace, Protocol.P2).generators()
    started, worked = time.perf_counter(), time.process_time()
    divided = divisions(log, Protocol.P2, WINDOWS)
    alignment = Alignment.fit(content, divided[-1].train, config=workspace.alignment, views=views)
    mapping = FactorMapping.fit(content, divided[-1].train)
    about = {"content": content, "alignment": alignment, "mapping": mapping, "configs": configs, "config": CONFIG}
    windows = [one.joined(workspace.store.training_frame) for one in open_windows(divided, **about)]
    past = windows[1:]
    vocabulary = vocabulary_of(past)
    asked, *slates = slates_of(windows, content, users, vocabulary)
    ranker = fit_ranker(slates, [window.division for window in past], CONFIG.ranker)
    rank(asked, divided[0].queries, ranker, k=DEPTH)
    taken, worked = time.perf_counter() - started, time.process_time() - worked
    must, aim = (120, 45) if name == "ml-100k" else (300, 120)
    note = f"{worked:.0f} s of the processor; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    yield Row("fit and rank everything", name, taken, must=must, aim=aim, unit="s", lower=True, note=note)


def new_users(name: str, home: Path) -> Iterable[Row]:
    """NDCG@10 of users whom no model has learned from, after so many events, over popularity and fold-in models.

    `new_users.py` prints, below `after`, for each N what the best model by validation (`chosen`) and the best in
    hindsight (`hindsight`) have, and how much better the hybrid is (`relative`, `ci95`).
    """
    measure = "new users, NDCG@10 after {} events, over the better of popularity and fold-in"
    told = other_benchmark("new_users.py", "--home", str(home))
    for n, aim in {"0": 0.04, "1": 0.01, "3": 0.04, "5": 0.06, "10": 0.08}.items():
        goal = {"must": -0.02, "aim": aim, "unit": "%"}
        if told is None:
            yield not_measured(measure.format(n), name, "benchmarks/new_users.py is not there", **goal)
            continue
        chosen, hindsight = (told["after"][n][kind] for kind in ("chosen", "hindsight"))
        note = f"{chosen['model']}; in hindsight {hindsight['model']} {shown(hindsight['relative'], '%')}"
        ends = None if chosen["ci95"] is None else tuple(chosen["ci95"])
        yield Row(measure.format(n), name, chosen["relative"], interval=ends, note=note, **goal)


def coverage(name: str, home: Path) -> Iterable[Row]:
    """P2: how much more of the catalogue the first ten show once answers are spread, as far as validation allows."""
    measure, goal = "P2 coverage@10 at no more than 1 % of NDCG@10 lost", {"must": 1.5, "aim": 2.5}
    found = Answers(home, Protocol.P2)
    if SPREAD not in found.models:
        yield not_measured(measure, name, f"the home has no {SPREAD}", **goal)
        return
    query = "select count(distinct item_id) from rankings where protocol = ? and model = ? and rank <= 10"
    ((few,),), ((many,),) = found.ask(query, HYBRID), found.ask(query, SPREAD)
    lost, interval = lift(found.ndcg(SPREAD), found.ndcg(HYBRID))
    ends = "" if interval is None else f" [{interval[0]:+.1%}, {interval[1]:+.1%}]"
    note = f"{few} and {many} items; NDCG@10 {lost:+.1%}{ends}"
    yield Row(measure, name, many / few, note=note, failed=lost < -LOSS, **goal)


def frappe(data: Path, root: Path) -> Iterable[Row]:
    """The published test file of Frappe: the rankers with and without surroundings."""
    kept = root / "frappe.json"
    if not kept.exists():
        told = other_benchmark("frappe.py", "--data", str(data / FRAPPE))
        if told is not None:
            root.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(told))
    measures = {
        "auc": ("AUC", {"must": 0.984, "aim": 0.986}),
        "logloss": ("logloss", {"must": 0.155, "aim": 0.131, "lower": True}),
        "ece": ("calibration error", {"must": 0.02, "aim": 0.01, "lower": True}),
    }
    told = json.loads(kept.read_text()) if kept.exists() else None
    for metric, (title, goal) in measures.items():
        if told is None:
            yield not_measured(f"{title}, with context", FRAPPE, "benchmarks/frappe.py is not there", **goal)
            continue
        with_, without = (told[f"blend, {word} context"]["mean"][metric] for word in ("with", "without"))
        yield Row(f"{title}, with context", FRAPPE, with_, note=f"without context {without:.4f}", **goal)
    if told is not None:
        helps = told["context_helps"]["blend"]
        ends = tuple(helps["auc_interval"])
        yield Row("AUC gained by context", FRAPPE, helps["auc"], interval=ends, must=0.0, least=0.0)


def other_benchmark(name: str, *arguments: str) -> dict | None:
    """What another benchmark of this folder prints, None where there is no such one; its failure ends this one."""
    if not (BENCHMARKS / name).exists():
        return None
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


MEASURES: dict[str, Sequence[Callable[[str, Path], Iterable[Row]]]] = {
    **dict.fromkeys(
        MOVIELENS,
        (over_best_single, one_cutoff, over_covisitation, candidates, rare_items, coverage, new_users, duration),
    ),
    "lastfm": (fixed_split,),
    "planted": (planted,),
}
MEASURES["ml-latest-small"] = tuple(one for one in MEASURES["ml-100k"] if one not in (coverage, new_users))


def measured(name: str, data: Path, root: Path) -> list[Row]:
    if name == FRAPPE:
        return list(frappe(data, root))
    home = root / name
    if not (home / "warehouse.duckdb").exists():
        print(f"{name}: no home yet, running the whole pipeline", file=sys.stderr)
        run(workspace_of(home, DATASETS[name].format(data=data)))
    rows: list[Row] = []
    for measure in MEASURES[name]:
        started = time.perf_counter()
        rows += measure(name, home)
        print(f"{name}: {measure.__name__}, {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return rows


def shown(value: float | None, unit: str) -> str:
    """A number as the table has it.

    >>> shown(0.264, "%"), shown(0.775, ""), shown(44.6, "s"), shown(None, "")
    ('+26.4 %', '0.775', '45 s', '')
    """
    if value is None:
        return ""
    return {"%": f"{value * 100:+.1f} %", "s": f"{value:.0f} s"}.get(unit, f"{value:.3f}")


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line a measure and set."""
    lines = ["| measure | set | measured | must | aim | reached | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        value = "-" if row.value is None else shown(row.value, row.unit)
        if row.interval is not None:
            value += f" [{', '.join(shown(end, row.unit).removesuffix(' %') for end in row.interval)}]"
        must = shown(row.must, row.unit)
        if row.least is not None:
            must += f", interval above {shown(row.least, row.unit)}"
        reached = {True: "yes", False: "**no**", None: ""}[row.met]
        lines.append(
            f"| {row.measure} | {row.set} | {value} | {must} | {shown(row.aim, row.unit)} | {reached} | {row.note} |"
        )
    return "\n".join(lines)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=os.environ.get("TRICHORD_DATA"), help="else TRICHORD_DATA")
    options.add_argument("--home-root", type=Path, required=True)
    options.add_argument("--sets", default=",".join([*DATASETS, FRAPPE]))
    options.add_argument("--json", type=Path, help="where every row is written in full")
    asked = options.parse_args()
    sets = asked.sets.split(",")
    unknown = [name for name in sets if name not in (*DATASETS, FRAPPE)]
    if unknown or asked.data is None:
        options.error(f"unknown sets {unknown}" if unknown else "--data FOLDER, or TRICHORD_DATA, is needed")
    rows: list[Row] = []
    for name in sets:
        rows += measured(name, Path(asked.data), asked.home_root)
        if asked.json:  # after every set: a later one may fail
            asked.json.write_text(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
