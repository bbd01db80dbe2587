from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.content import UNKNOWN_TIME, ItemContent, item_content
from ranking.representation.embedding_store import embedding_table
from ranking.representation.inputs import CATEGORIES, MAX_WIDTH, TIME_BINS, Inputs
from ranking.types import Floats, IdIndex

ITEMS = pa.Table.from_pylist(
    [
        {"item_id": "c", "categories": ["x", "y", "x"], "created_at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)},
        {"item_id": "a", "categories": ["y"], "created_at": None},
        {"item_id": "b", "categories": [], "created_at": datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)},
    ],
    schema.ITEMS,
)


def text_of(ids: list[str], vectors: list[list[float]]) -> dict[Modality, pa.Table]:
    floats = np.array(vectors, np.float32) if vectors else np.zeros((0, 2), np.float32)
    return {Modality.TEXT: embedding_table(ids, ids, floats, modality=Modality.TEXT, encoder_id="e")}


def test_content_stands_in_the_order_of_ids() -> None:
    content = item_content(ITEMS, text_of(["b", "c", "gone"], [[1, 2], [3, 4], [5, 6]]))
    assert content.items.ids == ("a", "b", "c")
    assert content.vectors[Modality.TEXT].tolist() == [[0, 0], [1, 2], [3, 4]]
    assert content.present[Modality.TEXT].tolist() == [False, True, True]
    assert content.created_at.tolist() == [UNKNOWN_TIME, 2_000_000, 1_000_000]
    assert content.category_names == ("x", "y")
    assert content.categories.toarray().tolist() == [[False, True], [False, False], [True, True]]


def test_chunked_tables_give_the_same_content() -> None:
    whole = item_content(ITEMS, text_of(["c", "a"], [[1, 2], [3, 4]]))
    chunked = item_content(
        pa.concat_tables([ITEMS.slice(row, 1) for row in range(3)]),
        {
            Modality.TEXT: pa.concat_tables(
                [text_of(["c"], [[1, 2]])[Modality.TEXT], text_of(["a"], [[3, 4]])[Modality.TEXT]]
            )
        },
    )
    np.testing.assert_array_equal(whole.vectors[Modality.TEXT], chunked.vectors[Modality.TEXT])
    np.testing.assert_array_equal(whole.categories.toarray(), chunked.categories.toarray())


def test_a_catalogue_without_embeddings_has_absent_modalities() -> None:
    content = item_content(ITEMS, text_of([], []))
    assert not content.present[Modality.TEXT].any()
    assert Modality.IMAGE not in content.vectors


def world(vectors: Floats, created_at: list[int | None] | None = None) -> ItemContent:
    ids = [f"{row:03}" for row in range(len(vectors))]
    times = created_at or [None] * len(ids)
    rows = [{"item_id": one, "categories": [], "created_at": at} for one, at in zip(ids, times, strict=True)]
    return item_content(pa.Table.from_pylist(rows, schema.ITEMS), text_of(ids, vectors.tolist()))


def test_inputs_are_centred_on_warm_items_and_of_unit_length() -> None:
    vectors = np.random.default_rng(0).normal(3, 1, (50, 8)).astype(np.float32)
    warm = np.arange(50) < 30
    (masked,) = Inputs.fit(world(vectors), warm).of(world(vectors)).values()
    centred = vectors - vectors[warm].mean(0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(masked.values, expected, atol=1e-5)


def test_wide_inputs_keep_their_angles_when_few_directions_matter() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(60, 20)) @ rng.normal(size=(20, MAX_WIDTH + 100))).astype(np.float32)
    content = world(vectors)
    inputs = Inputs.fit(content, np.ones(60, bool))
    (masked,) = inputs.of(content).values()
    assert masked.values.shape == (60, MAX_WIDTH) == (60, inputs.width("text"))
    centred = vectors - vectors.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(masked.values @ masked.values.T, centred @ centred.T, atol=1e-4)


def test_age_alone_makes_a_categories_input_and_unknown_age_none() -> None:
    content = world(np.ones((5, 2), np.float32), [0, 10, 20, 1_000, None])
    inputs = Inputs.fit(content, np.array([True, True, True, False, True]))
    ages = inputs.of(content)[CATEGORIES]
    assert ages.values.shape == (5, TIME_BINS)
    assert ages.present.tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(ages.values[3], ages.values[2])  # later than all warm items: as the last of them


def test_inputs_of_a_catalogue_with_other_categories_keep_their_columns() -> None:
    def with_categories(lists: list[list[str]]) -> ItemContent:
        rows = [{"item_id": f"{row}", "categories": names} for row, names in enumerate(lists)]
        return item_content(pa.Table.from_pylist(rows, schema.ITEMS), {})

    inputs = Inputs.fit(with_categories([["b"], ["c"], ["b", "c"]]), np.ones(3, bool))
    before = inputs.of(with_categories([["c"]]))[CATEGORIES]
    after = inputs.of(with_categories([["a", "c", "z"], ["z"]]))[CATEGORIES]
    np.testing.assert_allclose(after.values[0], before.values[0])
    assert after.present.tolist() == [True, False]


def test_id_index_order_is_that_of_the_content() -> None:
    assert item_content(ITEMS, {}).items == IdIndex.of(["a", "b", "c"])
