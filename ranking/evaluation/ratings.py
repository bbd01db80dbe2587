"""Point predictions of ratings: what held-out events say, as told beforehand, by models that add to each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from ranking.evaluation.report_types import RatingPoint
from ranking.evaluation.significance import Interval, ci95, resampled_means
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import mae, rmse
from ranking.rankers.ratings import Rated, Ratings, RatingsConfig, Reals
from ranking.splits import Split
from ranking.types import Codes, Floats

MEAN: Final = "rating_mean"
BIASES: Final = "rating_biases"
FACTORS: Final = "rating_factors"  # biases and learned factors
HYBRID: Final = "rating_hybrid"  # biases, a taste in content and learned factors

PRIORS: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
CONTENT_L2: Final = (2.0, 5.0, 10.0, 20.0)
FACTORISED: Final = ((5, 5.0), (5, 10.0), (5, 20.0), (10, 10.0), (10, 20.0))  # number of factors, l2

TRIED: Final = (PRIORS, CONTENT_L2, FACTORISED)


def measure_ratings(warehouse: Warehouse, divided: Sequence[Split], *, content: Floats | None = None) -> None:
    """Store what the predictions of window 0's held-out ratings are worth; nothing where `foretold` has none."""
    told = foretold(divided, content=content)
    asked = Rated.of(divided[0].test)
    for name, predicted in told.items():
        found = {
            "rows": float(len(asked)),
            "users": float(len(np.unique(asked.user))),
            "rmse": rmse(predicted, asked.value),
            "mae": mae(predicted, asked.value),
        }
        if name in (FACTORS, HYBRID):
            found["difference"] = found["rmse"] - rmse(told[BIASES], asked.value)
            bounds = difference_ci95(predicted - asked.value, told[BIASES] - asked.value, asked.user)
            found |= dict(zip(("difference_low", "difference_high"), bounds, strict=True))
        warehouse.write_points(divided[0], name, found)


def foretold(divided: Sequence[Split], *, content: Floats | None = None) -> dict[str, Reals]:
    """What each model says of window 0's held-out ratings, [n] in their order: chosen on window 1, fitted on the rest.

    Nothing with fewer windows, without ratings in one of their parts, or where all that are learned from are the same.
    content: [n_items, d], learned from nothing later than window 1's training part.
    """
    if len(divided) < 2:
        return {}
    (train, asked), (before, after) = ((Rated.of(one.train), Rated.of(one.test)) for one in divided[:2])
    if min(len(asked), len(after)) == 0 or any(len(np.unique(one.value)) < 2 for one in (train, before)):
        return {}
    told = {
        name: Ratings.fit(train, config, content=content).predict(asked.user, asked.item)
        for name, config in chosen(before, after, content=content).items()
    }
    return {MEAN: np.full(len(asked), train.value.mean()), **told}


def chosen(train: Rated, later: Rated, *, content: Floats | None = None) -> dict[str, RatingsConfig]:
    """The configuration of each model that learns, by its RMSE on `later`: priors, then content, then factors.

    What does not lower it is left out.
    """

    def best(configs: Iterable[RatingsConfig]) -> RatingsConfig:
        errors = {
            one: rmse(Ratings.fit(train, one, content=content).predict(later.user, later.item), later.value)
            for one in configs
        }
        return min(errors, key=lambda one: errors[one])

    def factorised(config: RatingsConfig) -> RatingsConfig:
        return best([config, *(replace(config, factors=count, l2=l2) for count, l2 in FACTORISED)])

    plain = best(RatingsConfig(item_prior=item, user_prior=user) for item in PRIORS for user in PRIORS)
    seen = plain if content is None else best([plain, *(replace(plain, content_l2=l2) for l2 in CONTENT_L2)])
    return {BIASES: plain, FACTORS: factorised(plain), HYBRID: factorised(seen)}


def difference_ci95(ours: Reals, theirs: Reals, user: Codes) -> Interval:
    """Interval of the difference of two RMSE, ours - theirs, by redrawn users with all of their ratings.

    ours, theirs: errors [n]. user: int32 [n].
    """
    _, row = np.unique(user, return_inverse=True)
    sums = [np.bincount(row, values) for values in (ours**2, theirs**2, np.ones(len(row)))]
    means = resampled_means(np.stack(sums, axis=1))
    our, their = np.sqrt(means[:, 0] / means[:, 2]), np.sqrt(means[:, 1] / means[:, 2])
    return ci95(our - their)


def rating_report(warehouse: Warehouse) -> dict[str, dict[str, RatingPoint]]:
    """What was measured: protocol -> model, that with the largest RMSE first -> numbers."""
    report: dict[str, dict[str, RatingPoint]] = {}
    for row in warehouse.read("ratings").to_pylist():
        report.setdefault(row["protocol"], {})[row["model"]] = _point(row)
    return report


def _point(row: Mapping[str, float | None]) -> RatingPoint:
    low, high = row["difference_low"], row["difference_high"]
    return RatingPoint(
        rows=int(row["rows"] or 0),
        users=int(row["users"] or 0),
        rmse=row["rmse"] or 0.0,
        mae=row["mae"] or 0.0,
        difference=row["difference"],
        difference_ci95=None if low is None or high is None else [low, high],
    )
