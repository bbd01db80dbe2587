"""How items fit users, against the same told in plain Python."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import transforms
from feature_repo.columns import Column, columns_of, nulls, table_of
from feature_repo.matching import mean_weights
from feature_repo.names import Names, Numbers, hashes

NAMES = st.sampled_from(["", "a", "b", "ab", "ü", "a name of more than eight bytes", "a name of more than eight byteß"])
LISTS = st.none() | st.lists(NAMES, max_size=5)


@st.composite
def weighed(draw: st.DrawFn, value: st.SearchStrategy[float]) -> tuple[list[str] | None, list[float] | None]:
    """Names and a number for each, or neither."""
    names = draw(LISTS)
    return names, None if names is None else [draw(value) for _ in names]


@st.composite
def rows(draw: st.DrawFn) -> dict[str, object]:
    weights, counts = st.floats(0, 1, width=32), st.integers(0, 99)
    row: dict[str, object] = {"as_of": draw(st.integers(0, 2**50)), "requested_at": draw(st.integers(0, 2**50))}
    row["affinity_categories"], row["affinity_weights"] = draw(weighed(weights))
    row["item_devices"], row["item_device_counts"] = draw(weighed(counts))
    row["item_places"], row["item_place_counts"] = draw(weighed(counts))
    row |= {name: draw(LISTS) for name in ("categories", "last_categories")}
    row |= {name: draw(st.none() | NAMES) for name in ("device", "place")}
    row |= {
        f"item_{part}": draw(st.none() | counts) for part in ("night", "morning", "afternoon", "evening", "weekend")
    }
    return row


def mean_weight(row: dict, held: str, weights: str | None) -> float | None:
    if not row["categories"] or row[held] is None:
        return None
    given = row[weights] if weights else [1.0] * len(row[held])
    weight = dict(reversed([*zip(row[held], given, strict=True)]))  # of two of a name the first
    return float(np.float32(sum(weight.get(name, 0.0) for name in row["categories"]) / len(row["categories"])))


def named_lift(row: dict, asked: str, names: str, counts: str) -> float | None:
    if row[asked] is None:
        return None
    there = row[names] or []
    chosen = sum(count for name, count in zip(there, row[counts] or [], strict=True) if name == row[asked])
    even = 1 / max(len(there) + (row[asked] not in there), 2)
    return float(np.float32((chosen / even + 10) / (sum(row[counts] or []) + 10)))


@settings(max_examples=200)
@given(given_=st.lists(rows(), max_size=6), start=st.integers(0, 2))
def test_matches_are_those_of_plain_python(given_: list[dict], start: int) -> None:
    table = pa.Table.from_pylist(given_, transforms.MATCH).slice(start)
    found = table_of(transforms.user_item_match(columns_of(table))).to_pylist()
    for row, made in zip(given_[start:], found, strict=True):
        assert made["category_affinity"] == mean_weight(row, "affinity_categories", "affinity_weights")
        assert made["last_category_overlap"] == mean_weight(row, "last_categories", None)
        assert made["device_lift"] == named_lift(row, "device", "item_devices", "item_device_counts")
        assert made["place_lift"] == named_lift(row, "place", "item_places", "item_place_counts")


@given(given_=st.lists(rows(), min_size=1, max_size=6))
def test_rows_that_share_a_user_and_a_request_are_matched_as_if_each_had_its_own(given_: list[dict]) -> None:
    shared = [name for name in transforms.MATCH.names if not name.startswith("item_") and name != "categories"]
    each = columns_of(
        pa.Table.from_pylist([row | {name: given_[0].get(name) for name in shared} for row in given_], transforms.MATCH)
    )
    first = np.zeros(len(given_), np.int64)
    once = each | {name: Column(each[name].values.slice(0, 1), first) for name in shared}
    assert table_of(transforms.user_item_match(once)).equals(table_of(transforms.user_item_match(each)))


def test_a_null_list_has_no_names_whatever_lies_behind_it() -> None:
    behind = pa.ListArray.from_arrays(pa.array([0, 1, 2]), pa.array(["x", "x"]), mask=pa.array([True, False]))
    row = {"as_of": 0, "requested_at": 0, "last_categories": ["x"], "device": "x", "item_device_counts": [5]}
    each = columns_of(pa.Table.from_pylist([row, row], transforms.MATCH))
    found = transforms.user_item_match(each | {"categories": Column(behind), "item_devices": Column(behind)})
    assert found["last_category_overlap"].values.to_pylist() == [None, 1.0]
    assert found["device_lift"].values.to_pylist()[0] == 1.0


def test_a_name_without_a_number_counts_nothing() -> None:
    row = {"as_of": 0, "requested_at": 0, "device": "x", "item_devices": ["y", "x"], "item_device_counts": [10]}
    row |= {"categories": ["x"], "affinity_categories": ["y", "x"], "affinity_weights": [0.5]}
    [made] = table_of(transforms.user_item_match(columns_of(pa.Table.from_pylist([row], transforms.MATCH)))).to_pylist()
    assert (made["device_lift"], made["category_affinity"]) == (0.5, 0.0)


def test_names_of_one_hash_are_told_apart() -> None:
    names = Names.of_lists(pa.array([["ab", "cd", "ab"]]))
    same = names._replace(hashes=np.zeros_like(names.hashes))
    cd, one = same._replace(first=np.array([1, 2], np.int32)), Numbers(np.array([0, 1], np.int32), np.ones(1))
    found, _ = mean_weights(same, cd, np.zeros(1, np.int64), one)
    assert found.tolist() == [np.float32(1 / 3)]
    assert len(set(hashes(names.ends, names.data).tolist())) == 2


@given(values=st.lists(st.none() | st.integers(0, 9), max_size=20), start=st.integers(0, 12))
def test_nulls_and_numbers_of_a_slice_are_its_own(values: list[int | None], start: int) -> None:
    column = Column(pa.array(values, pa.int64()).slice(start))
    assert nulls(column.values).tolist() == [one is None for one in values[start:]]
    assert column.numbers().tolist() == [one or 0 for one in values[start:]]
