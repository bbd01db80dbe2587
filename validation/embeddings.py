"""What vectors may be: of one modality, or of the aligned space."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.settings import Suites
from validation.drift import SAMPLE, Profile, drift
from validation.expectations import FINITE, Expectation, between, not_null, of_table, one_of, rows, unique
from validation.suite import Suite, ids
from validation.vector_statistics import Floats, duplicate_share, effective_rank, evenly_spaced, mean_pairwise_cosine

_DIMENSION: Final = "dimension"
_IS_FINITE: Final = "is_finite"
_NORM: Final = "norm"
_MEAN_COSINE: Final = "mean_pairwise_cosine"
_EFFECTIVE_RANK: Final = "effective_rank"
_DUPLICATES: Final = "duplicate_share"
_PSI: Final = "drift_psi"
_KS: Final = "drift_ks"

_NOT_ZERO: Final = 1e-6
ENOUGH: Final = 20  # vectors that tell a collapse

_AGAIN: Final = "delete the folder lake/embeddings in the home and run again"
_COLLAPSED: Final = "look at what was encoded, choose another encoder, or change `{}` under [suites]"
_DRIFTED: Final = "where the change is meant, run once with a higher {} under [suites]; else look at what came in"


@dataclass(frozen=True)
class Space:
    """What vectors are held against.

    dimension: of each. expected: how many entities should have one (for a modality: the items that have such content).
    coverage: least share of these that do. unit_norm: False for an encoder that does not normalise, whose vectors must
    then only not be zero. spread: False where the entities may all be alike, as users may. before: the last release's.
    """

    dimension: int
    expected: int
    coverage: float = 0.9
    unit_norm: bool = True
    spread: bool = True
    before: Profile | None = None


def suite(
    name: str,
    space: Space,
    limits: Suites,
    *,
    key: str = schema.ITEM_ID,
    vector: str = "vector",
    notes: tuple[str, ...] = (),
) -> Suite:
    """Vectors of one space, one row an entity: complete, finite, of one length and norm, not collapsed, not drifted.

    Collapse and duplicates are judged from 20 vectors on. notes: what is not checked, and why.
    """
    expectations = [*_each(key, space, limits), *(_spread(limits) if space.spread else [])]
    if space.before is not None:
        expectations.append(of_table(_PSI, None, limits.drift_psi).or_else(_DRIFTED.format(_PSI)))
        expectations.append(of_table(_KS, None, limits.drift_ks).or_else(_DRIFTED.format(_KS)))
    return Suite(name, (key, vector), expectations, lambda table: _measured(table, key, vector, space), notes)


def _each(key: str, space: Space, limits: Suites) -> list[Expectation]:
    """What holds of every vector, and how many there are."""
    tolerance = limits.norm_tolerance
    least, most = (1 - tolerance, 1 + tolerance) if space.unit_norm else (_NOT_ZERO, FINITE)
    too_few = (
        f"{space.coverage:.0%} of {space.expected} must have a vector; mend what rejected.json beside the table names, "
        "or lower `coverage` under [suites]"
    )
    return [
        rows(math.ceil(space.coverage * space.expected)).or_else(too_few),
        *(one.or_else("give each row an id") for one in ids(key)),
        unique(key).or_else("keep one row of each id"),
        not_null(_DIMENSION).or_else(f"a row has no vector; {_AGAIN}"),
        one_of(_DIMENSION, [space.dimension]).or_else(f"vectors of two encoders are mixed; {_AGAIN}"),
        one_of(_IS_FINITE, [True]).or_else(f"numbers overflow: set `least_cosine = 2` under [encoders], {_AGAIN}"),
        between(_NORM, least, most).or_else(f"a vector lost its length; {_AGAIN}"),
    ]


def _spread(limits: Suites) -> list[Expectation]:
    """What holds of vectors that tell entities apart."""
    repeated = "many items share one picture, sound or text (a placeholder?): leave it out, or raise `duplicates`"
    return [
        of_table(_MEAN_COSINE, None, limits.mean_cosine).or_else(_COLLAPSED.format("mean_cosine")),
        of_table(_EFFECTIVE_RANK, limits.effective_rank).or_else(_COLLAPSED.format("effective_rank")),
        of_table(_DUPLICATES, None, limits.duplicates).or_else(f"{repeated} under [suites]"),
    ]


def _measured(table: pa.Table, key: str, vector: str, space: Space) -> pa.Table:
    """Per row its dimension, whether it is finite, its norm (null if not of the right dimension, or not finite).

    Of the table as a whole, in its first row and null elsewhere: how the vectors spread, how far they have drifted.
    """
    lists = table[vector].combine_chunks()
    dimensions = pc.list_value_length(lists)
    right = pc.fill_null(pc.equal(dimensions, space.dimension), False)
    vectors = pc.list_flatten(lists.filter(right)).to_numpy(zero_copy_only=False).reshape(-1, space.dimension)
    norms = np.linalg.norm(vectors, axis=1)
    finite = np.isfinite(norms)

    at = np.flatnonzero(right.to_numpy(zero_copy_only=False))
    is_finite, norm = np.ones(len(table), bool), np.full(len(table), np.nan)
    is_finite[at], norm[at] = finite, np.where(finite, norms, np.nan)
    columns = {_DIMENSION: dimensions, _IS_FINITE: is_finite, _NORM: norm}
    for name, number in _of_all(vectors, norms, space).items():
        column = np.full(len(table), np.nan)
        column[:1] = number
        columns[name] = pa.array(column, from_pandas=True)
    return pa.table({key: table[key], **columns})


def _of_all(vectors: Floats, norms: Floats, space: Space) -> dict[str, float]:
    """Statistics of vectors of the right length, NaN where too few are finite; evenly spaced ones tell of many."""
    judged = dict.fromkeys((_MEAN_COSINE, _EFFECTIVE_RANK, _DUPLICATES, _PSI, _KS), math.nan)
    usable = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    some = usable[evenly_spaced(len(usable), SAMPLE)]
    sample = vectors[some]
    if space.spread and len(usable) >= ENOUGH:
        unit = sample / norms[some, None]
        judged[_MEAN_COSINE] = mean_pairwise_cosine(unit)
        judged[_EFFECTIVE_RANK] = effective_rank(unit)
        judged[_DUPLICATES] = duplicate_share(vectors)
    if space.before is not None and len(usable):
        judged[_PSI], judged[_KS] = drift(space.before, Profile.of(sample, space.before.made_by))
    return judged
