"""Columns of which many rows share a value."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.columns import distinct

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "", None]), max_size=6), max_size=4)


@given(TEXTS)
def test_distinct_values_and_places_are_the_column(chunks: list[list[str | None]]) -> None:
    column = pa.chunked_array(chunks, pa.string())
    found = distinct(column)
    assert found.plain().to_pylist() == column.to_pylist()
    assert found.values.to_pylist() == sorted(dict.fromkeys(column.to_pylist()), key=lambda value: value is None)
