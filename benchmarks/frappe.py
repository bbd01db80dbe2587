"""Will this person use this app now? The rankers on Frappe's published test file, with and without surroundings.

    python benchmarks/frappe.py --data FOLDER [--seeds 3] [--workers 2] > frappe.json

FOLDER: `nfm/frappe.{validation,test}.libfm` as published with NFM (He and Chua 2017; the table of BARS calls this split
frappe_x1), `nfm_train_positives_reconstructed.parquet` (the published training file's positives, from the original
table: files of that size are not kept there) and `meta.csv`, or the archive that holds it, for the category of apps.

Negatives of the training part are drawn anew by seed, two a positive, as those of the published files are found to be:
the app alone is replaced, evenly over all 4,082, never by one that the user has (here: in the training part) anywhere.
So a pair of user and app that was seen is never a negative, and 87 % of the test positives are such pairs: `seen` is
the AUC of knowing this, and popularity, and nothing else; `auc_new` that of all rows whose pair was not seen.

Columns are counts, shares and lifts of the training positives (`encode`), for training rows of the positives in other
folds than their own (a negative is in its positive's fold), so that no row is described by itself. No column describes
surroundings without the app: of these, the way negatives are drawn alone would make a signal. Validation rows choose
the number of trees, when networks stop, the blend's weight and the calibration; the test rows are read at the end.

`context_helps`: with less without surroundings, paired bootstrap over users, mean prediction of all seeds.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse
from scipy.special import expit

from ranking.candidates.ease import Dual
from ranking.evaluation.significance import ci95
from ranking.point_metrics import auc, calibration_error, logloss, logloss_of_rows
from ranking.profiles import Profiles
from ranking.rankers.calibration import Calibration
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.neural import Neural
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.trees import Trees, TreesConfig
from ranking.types import Bools, Floats

Rows = npt.NDArray[np.int64]

FIELDS = ("user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city")
FIRST = np.array([0, 957, 5039, 5046, 5053, 5055, 5058, 5060, 5069, 5149])  # id of each field's first value
SIZES = np.array([957, 4082, 7, 7, 2, 3, 2, 9, 80, 233])
CONTEXT = FIELDS[2:]
USER, ITEM = 0, 1
FOLDS = 8
PER_POSITIVE = 2
EASE_L2 = 30.0
PRIOR = 2.0  # a lift or share counts as if so many rows of no opinion had come before

TREES = TreesConfig(
    objectives=("binary",), trees=300, leaves=31, min_rows_in_leaf=50, negatives=1.0, feature_fraction=0.5, l2=5.0
)
ROUNDS = (50, 100, 150, 200, 250, 300)
NEURAL = NeuralConfig(
    in_slates=False,
    listwise=0.0,
    negatives=1.0,
    hidden=(128, 64),
    dropout=0.2,
    l2=1e-5,
    embedding_l2=1e-2,
    batch_rows=2048,
    epochs=10,
)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the network in the blend
DRAWS = 1000


def read_libfm(path: Path) -> tuple[Rows, Bools]:
    """Codes of each field, int64 [n, 10], and whether the app was used."""
    lines = [line.split() for line in path.read_text().splitlines()]
    ids = np.array([[int(one.split(":")[0]) for one in line[1:]] for line in lines])
    return ids - FIRST, np.array([line[0] == "1" for line in lines])


def categories(folder: Path) -> Rows:
    """Code of each app's category by the code of the app, of the table and the ids that were given to it."""
    if (folder / "meta.csv").is_file():
        text = (folder / "meta.csv").read_text(encoding="utf-8")
    else:
        with ZipFile(folder / "Mobile_Frappe.zip") as archive:
            text = archive.read("Mobile_Frappe/frappe/meta.csv").decode()
    lines = [line.split("\t") for line in text.split("\n")[1:] if line]
    named = {line[0]: line[2] for line in lines}
    known = sorted(set(named.values()))
    found = np.zeros(SIZES[ITEM], np.int64)
    for line in (folder / "nfm_feature_map_reconstructed.csv").read_text().splitlines()[1:]:
        field, raw, code = line.split(",")[0], ",".join(line.split(",")[1:-1]), int(line.split(",")[-1])
        if field == "item":
            found[code - FIRST[ITEM]] = known.index(named[raw])
    return found


def negatives(positives: Rows, seed: int) -> Rows:
    """Each positive `PER_POSITIVE` times with another app, one that the user has nowhere among them."""
    draw = np.random.default_rng(seed)
    used = np.zeros(SIZES[:2], bool)
    used[positives[:, USER], positives[:, ITEM]] = True
    rows = np.repeat(positives, PER_POSITIVE, axis=0)
    wrong = np.arange(len(rows))
    while len(wrong):
        rows[wrong, ITEM] = draw.integers(SIZES[ITEM], size=len(wrong))
        wrong = wrong[used[rows[wrong, USER], rows[wrong, ITEM]]]
    return rows


class Counts:
    """How often combinations of fields stand among the positives."""

    def __init__(self, positives: Rows, asked: Rows) -> None:
        self.positives = positives
        self.asked = asked

    def of(self, *columns: Rows) -> npt.NDArray[np.float64]:
        """Rows of the positives with the same values as each asked row. columns: both, one under the other."""
        key = np.zeros(len(columns[0]), np.int64)
        for column in columns:
            key = key * (int(column.max(initial=0)) + 1) + column
        values, n = np.unique(key[: len(self.positives)], return_counts=True)
        wanted = key[len(self.positives) :]
        place = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
        return np.where(values[place] == wanted, n[place], 0).astype(np.float64)


def encode(positives: Rows, asked: Rows, category: Rows) -> dict[str, npt.NDArray[np.float64]]:
    """What the positives tell of each asked row, float64 [n]; a name with a field of `CONTEXT` in it tells of that."""
    counts, both = Counts(positives, asked), np.concatenate([positives, asked])
    user, item, kind = both[:, USER], both[:, ITEM], category[both[:, ITEM]]
    of_user, of_item, of_pair = counts.of(user), counts.of(item), counts.of(user, item)
    of_kind, of_user_kind = counts.of(kind), counts.of(user, kind)
    pairs = np.unique(positives[:, :2], axis=0)
    users_of, items_of = (np.bincount(pairs[:, at], minlength=SIZES[at])[asked[:, at]] for at in (ITEM, USER))
    columns = {
        "n_user": np.log1p(of_user),
        "n_item": np.log1p(of_item),
        "n_pair": np.log1p(of_pair),
        "pair_share": of_pair / (of_user + 1),
        "n_users_of_item": np.log1p(users_of),
        "n_items_of_user": np.log1p(items_of),
        "n_item_per_user": of_item / (users_of + 1),
        "n_category": np.log1p(of_kind),
        "category_share": (of_user_kind + PRIOR * of_kind / len(positives)) / (of_user + PRIOR),
        "ease": ease(pairs, asked),
    }
    for at, name in enumerate(CONTEXT, len(FIELDS) - len(CONTEXT)):
        here = both[:, at]
        share = (counts.of(here) + 1) / len(positives)
        of_item_here, of_pair_here = counts.of(item, here), counts.of(user, item, here)
        columns |= {
            f"item_{name}_lift": np.log((of_item_here + PRIOR * share) / ((of_item + PRIOR) * share)),
            f"item_{name}_n": np.log1p(of_item_here),
            f"category_{name}_lift": np.log((counts.of(kind, here) + PRIOR * share) / ((of_kind + PRIOR) * share)),
            f"pair_{name}_n": np.log1p(of_pair_here),
        }
    return columns


def ease(pairs: Rows, asked: Rows) -> npt.NDArray[np.float64]:
    """How well the app goes with the user's other ones."""
    known = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, USER], pairs[:, ITEM])), shape=tuple(SIZES[:2]))
    scores = Dual.solve(known, EASE_L2).score(Profiles.of_matrix(known.astype(np.float32)))
    return scores[asked[:, USER], asked[:, ITEM]].astype(np.float64)


def matrix(columns: dict[str, npt.NDArray[np.float64]], rows: Rows) -> FeatureMatrix:
    """Encoded columns and, for the network, the codes themselves."""
    codes = {f"id_{name}": rows[:, at] for at, name in enumerate(FIELDS)}
    every = {name: np.asarray(values, np.float32) for name, values in {**columns, **codes}.items()}
    return FeatureMatrix.of(every, dict.fromkeys(every, Part.BEHAVIOUR))


def training_rows(positives: Rows, category: Rows, seed: int) -> tuple[FeatureMatrix, Bools]:
    """Positives and negatives, each encoded by the positives of other folds."""
    rows = np.concatenate([positives, negatives(positives, seed)])
    fold = np.random.default_rng(seed).integers(FOLDS, size=len(positives))
    of_row = np.concatenate([fold, np.repeat(fold, PER_POSITIVE)])
    parts = [encode(positives[fold != one], rows[of_row == one], category) for one in range(FOLDS)]
    columns = {name: np.zeros(len(rows)) for name in parts[0]}
    for one, part in enumerate(parts):
        for name, values in part.items():
            columns[name][of_row == one] = values
    return matrix(columns, rows), np.arange(len(rows)) < len(positives)


def chosen(features: FeatureMatrix, *, context: bool, codes: bool) -> FeatureMatrix:
    """Columns with or without surroundings, and with or without the codes that only the network reads."""
    names = [
        name
        for name in features.names
        if (codes or not name.startswith("id_")) and (context or not any(one in name for one in CONTEXT))
    ]
    return FeatureMatrix(tuple(names), features.select(names), dict.fromkeys(names, Part.BEHAVIOUR))


class Model:
    """Trees, a network and their blend, fitted and calibrated; `test` is asked for the very last."""

    def __init__(self, train: FeatureMatrix, labels: Bools, *, context: bool, seed: int) -> None:
        self.context = context
        self.train, self.labels = train, labels
        self.seed = seed

    def fit(self, validation: FeatureMatrix, observed: Bools) -> dict[str, object]:
        """Learn, and choose by validation; what was chosen."""
        started = time.process_time()
        told = chosen(self.train, context=self.context, codes=False)
        config = replace(TREES, seeds=(self.seed,))
        self.trees = Trees.fit(told, self.labels, np.array([len(told)]), config=config)
        trees_s = time.process_time() - started
        self.rounds = min(ROUNDS, key=lambda one: logloss(expit(self.of_trees(validation, one)), observed))
        told = chosen(self.train, context=self.context, codes=True)
        judge = chosen(validation, context=self.context, codes=True)
        codes = tuple(name for name in told.names if name.startswith("id_"))
        config = replace(NEURAL, categories=codes, seeds=(self.seed,))
        one_each = np.ones(len(told), np.int64)
        held_out = (judge, observed, one_each[: len(judge)])
        self.neural = Neural.fit(told, self.labels, one_each, config=config, held_out=held_out)
        voices = self.of_trees(validation, self.rounds), self.of_neural(validation)
        self.weight = min(WEIGHTS, key=lambda one: logloss(expit((1 - one) * voices[0] + one * voices[1]), observed))
        margins = self.margins(validation)
        self.calibrations = {name: Calibration.fit(margins[name], observed) for name in margins}
        return {
            "trees": self.rounds,
            "network_weight": self.weight,
            "epochs": len(self.neural.history[0]) - 1,
            "trees_cpu_s": round(trees_s, 1),
            "cpu_s": round(time.process_time() - started, 1),
        }

    def of_trees(self, rows: FeatureMatrix, rounds: int) -> npt.NDArray[np.float64]:
        """Margins of so many trees."""
        (booster,) = self.trees.boosters
        values = rows.select(self.trees.names)
        return np.asarray(booster.predict(values, raw_score=True, num_iteration=rounds, num_threads=1))

    def of_neural(self, rows: FeatureMatrix) -> Floats:
        """Logits."""
        return self.neural.score(rows, np.ones(len(rows), np.int64))

    def margins(self, rows: FeatureMatrix) -> dict[str, npt.NDArray[np.float64]]:
        """Uncalibrated, by model."""
        trees, neural = self.of_trees(rows, self.rounds), self.of_neural(rows)
        return {"trees": trees, "neural": neural, "blend": (1 - self.weight) * trees + self.weight * neural}

    def predict(self, rows: FeatureMatrix) -> dict[str, npt.NDArray[np.float64]]:
        """Calibrated probabilities by model."""
        return {name: self.calibrations[name].probability(margin) for name, margin in self.margins(rows).items()}


def fitted(
    seed: int, *, positives: Rows, category: Rows, validation: tuple[FeatureMatrix, Bools]
) -> dict[bool, tuple[Model, dict[str, object]]]:
    """Models with and without surroundings, and what was chosen."""
    train, labels = training_rows(positives, category, seed)
    found: dict[bool, tuple[Model, dict[str, object]]] = {}
    for context in (True, False):
        model = Model(train, labels, context=context, seed=seed)
        found[context] = model, model.fit(*validation)
        del model.train, model.labels
        print(f"seed {seed}, context {context}: {found[context][1]}", file=sys.stderr, flush=True)
    return found


def measured(chances: npt.NDArray[np.float64], observed: Bools, new: Bools) -> dict[str, float]:
    found = {
        "auc": auc(chances, observed),
        "logloss": logloss(chances, observed),
        "ece": calibration_error(chances, observed),
        "auc_new": auc(chances[new], observed[new]),
    }
    return {name: round(value, 5) for name, value in found.items()}


def context_helps(
    ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64], observed: Bools, user: Rows
) -> dict[str, object]:
    """Differences of AUC and logloss, with less without; intervals by drawing users with replacement."""
    draw, rows_of = np.random.default_rng(0), [np.flatnonzero(user == one) for one in np.unique(user)]
    losses = logloss_of_rows(ours, observed) - logloss_of_rows(theirs, observed)
    found = []
    for _ in range(DRAWS):
        rows = np.concatenate([rows_of[one] for one in draw.integers(len(rows_of), size=len(rows_of))])
        found.append((auc(ours[rows], observed[rows]) - auc(theirs[rows], observed[rows]), losses[rows].mean()))
    at_auc, at_loss = np.array(found).T
    return {
        "auc": round(auc(ours, observed) - auc(theirs, observed), 5),
        "auc_interval": [round(end, 5) for end in ci95(at_auc)],
        "logloss": round(float(losses.mean()), 5),
        "logloss_interval": [round(end, 5) for end in ci95(at_loss)],
        "users": len(rows_of),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    table = pq.read_table(asked.data / "nfm_train_positives_reconstructed.parquet")
    positives = np.stack([table[name].to_numpy() for name in FIELDS], axis=1).astype(np.int64) - FIRST
    category = categories(asked.data)
    validation_rows, validated = read_libfm(asked.data / "nfm" / "frappe.validation.libfm")
    validation = matrix(encode(positives, validation_rows, category), validation_rows), validated
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        of_seed = partial(fitted, positives=positives, category=category, validation=validation)
        seeds = list(pool.map(of_seed, range(asked.seeds)))
    models = {context: [one[context][0] for one in seeds] for context in (True, False)}
    choices = {"with" if context else "without": [one[context][1] for one in seeds] for context in models}

    test_rows, observed = read_libfm(asked.data / "nfm" / "frappe.test.libfm")
    test = matrix(encode(positives, test_rows, category), test_rows)
    new = test.select(["n_pair"])[:, 0] == 0
    simple = np.where(new, 0, 100) + test.select(["n_item"])[:, 0]
    report: dict[str, object] = {
        "rows": {"train": 3 * len(positives), "validation": len(validated), "test": len(observed)},
        "positives_seen": round(float((~new[observed]).mean()), 4),
        "seen": {"auc": round(auc(simple, observed), 5), "auc_new": round(auc(simple[new], observed[new]), 5)},
        "choices": choices,
    }
    means = {}
    for context, some in models.items():
        predicted = [model.predict(test) for model in some]
        for name in predicted[0]:
            every = [measured(one[name], observed, new) for one in predicted]
            means[name, context] = np.mean([one[name] for one in predicted], axis=0)
            report[f"{name}, {'with' if context else 'without'} context"] = {
                "mean": {key: round(float(np.mean([one[key] for one in every])), 5) for key in every[0]},
                "deviation": {key: round(float(np.std([one[key] for one in every])), 5) for key in every[0]},
                "all_seeds": measured(means[name, context], observed, new),
            }
    report["context_helps"] = {
        name: context_helps(means[name, True], means[name, False], observed, test_rows[:, USER])
        for name in ("trees", "neural", "blend")
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
