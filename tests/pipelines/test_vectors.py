"""Vectors that a dataset brings: what is read, what is turned away, and what becomes of them in a home."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from feature_repo.settings import Settings
from pipelines.assets.data import items
from pipelines.assets.embeddings import text_embeddings
from pipelines.assets.release import encoders_of as encoder_ids
from pipelines.checks import _embeddings, _items
from pipelines.datasets.checks import sieves
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.sieve import SOURCE
from pipelines.datasets.tables import read_tables
from pipelines.datasets.vectors import check_vectors, vector_table
from pipelines.encoder_tuning import tune_encoder
from pipelines.errors import DatasetError, HomeError
from pipelines.workspace import Workspace
from ranking.errors import BadRequestError
from ranking.representation.embedding_store import embedding_table, vectors_of
from ranking.representation.precomputed import is_precomputed, precomputed_table
from ranking.representation.query_encoders import encoders_of
from ranking.representation.tuning_config import TuningConfig
from validation.run import validate

NOW = datetime(2025, 6, 1, tzinfo=UTC)
IDS = [f"i{n:02}" for n in range(30)]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder of thirty items without a title, whose text vectors are given."""

    def write(file: str = "vectors/text.parquet", **more: object) -> Path:
        folder = tmp_path / "shop"
        (folder / "vectors").mkdir(parents=True, exist_ok=True)
        (folder / "items.csv").write_text("item_id,price\n" + "".join(f"{one},1\n" for one in IDS))
        (folder / "events.csv").write_text("user_id,item_id,kind,occurred_at\nu,i00,click,2025-01-01T00:00:00Z\n")
        (folder / "dataset.toml").write_text(f'name = "shop"\n[kinds.click]\n[vectors]\ntext = {file!r}\n')
        return folder

    return write


def read(folder: Path) -> Dataset:
    return read_tables(folder, now=NOW)


def some(n: int = len(IDS), dim: int = 6) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)


def write_parquet(path: Path, ids: list[object], vectors: object) -> None:
    pq.write_table(pa.table({"item_id": ids, "vector": vectors}), path)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 6)],
    ids=str,
)
def test_a_parquet_table_gives_vectors_in_the_items_order(write: Callable[..., Path], kind: pa.DataType) -> None:
    folder, vectors = write(), some()
    write_parquet(folder / "vectors" / "text.parquet", IDS[::-1], pa.array(vectors[::-1].tolist(), kind))
    dataset = read(folder)
    given = dataset.vectors[Modality.TEXT]
    assert given["item_id"].to_pylist() == IDS
    np.testing.assert_array_equal(vectors_of(given), vectors)
    assert not dataset.rejected.counts  # an item with a vector has content, whatever else it lacks


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_an_array_has_its_ids_beside_it(write: Callable[..., Path], dtype: str) -> None:
    folder = write("vectors/text.npy")
    vectors = (some() * 20).astype(dtype)
    np.save(folder / "vectors" / "text.npy", vectors)
    (folder / "vectors" / "text.ids").write_text("\n".join(IDS) + "\n")
    np.testing.assert_array_equal(vectors_of(read(folder).vectors[Modality.TEXT]), vectors.astype(np.float32))


def test_bad_rows_are_turned_away_and_counted(write: Callable[..., Path]) -> None:
    folder, vectors = write(), some().tolist()
    vectors[1][2] = float("nan")
    vectors[2][0] = float("inf")
    vectors[3] = [0.0] * 6
    vectors[4] = [1.0] * 5
    vectors[5] = None
    vectors[6] = []
    vectors[7][0] = None
    vectors[8][0] = 1e300  # beyond float32
    ids: list[str | None] = [*IDS, "i00", "nobody", " "]
    lists = pa.array([*vectors, [1.0] * 6, [1.0] * 6, [1.0] * 6], pa.list_(pa.float64()))
    write_parquet(folder / "vectors" / "text.parquet", ids, lists)
    dataset = read(folder)
    assert dataset.vectors[Modality.TEXT]["item_id"].to_pylist() == [IDS[0], *IDS[9:]]
    assert {reason: n for (table, reason), n in dataset.rejected.counts.items() if table == "text_vectors"} == {
        "missing_item_id": 1,
        "unknown_item": 1,
        "duplicate_item_id": 1,
        "missing_vector": 1,
        "bad_dimension": 2,
        "not_finite": 4,
        "zero_vector": 1,
    }
    assert dataset.rejected.counts["items", "no_content"] == 8
    [line] = [line for line in dataset.rejected.summary() if "zero_vector" in line]
    assert "i03" in line and "text.parquet row 4" in line


def test_a_pickled_array_is_refused_and_never_run(write: Callable[..., Path], tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    folder = write("vectors/text.npy")
    (folder / "vectors" / "text.ids").write_text("\n".join(IDS))
    for harmful in (np.array([[Bomb()]], object), pickle.dumps(Bomb())):
        path = folder / "vectors" / "text.npy"
        if isinstance(harmful, bytes):
            path.write_bytes(harmful)
        else:
            np.save(path, harmful, allow_pickle=True)
        with pytest.raises(DatasetError, match=r"text\.npy: not readable as an array"):
            read(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(30, np.float32), r"float32 \[30\]; accepted: numbers \[items, numbers\]"),
        (np.full((30, 2), "x"), r"accepted: numbers"),
        (np.zeros((30, 2), complex), r"complex128"),
        (np.ones((7, 2), np.float32), r"7 vectors and 30 ids"),
    ],
)
def test_an_array_of_another_shape_is_refused(write: Callable[..., Path], array: np.ndarray, said: str) -> None:
    folder = write("vectors/text.npy")
    np.save(folder / "vectors" / "text.npy", array)
    (folder / "vectors" / "text.ids").write_text("\n".join(IDS))
    with pytest.raises(DatasetError, match=said) as error:
        read(folder)
    assert "\n" not in str(error.value)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(write: Callable[..., Path]) -> None:
    folder = write("vectors/text.npy")
    path = folder / "vectors" / "text.npy"
    (folder / "vectors" / "text.ids").write_text("\n".join(IDS))
    np.save(path, some())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match="not readable as an array"):
        read(folder)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("vectors/none.parquet", "media_missing"),
        ("../text.parquet", "media_outside"),
        ("/etc/passwd", "media_absolute"),
        ("https://example.org/text.npy", "media_uri"),
        ("vectors", "media_not_a_file"),
        ("items.csv", r"unknown form of vectors; accepted: a \.parquet file"),
    ],
)
def test_a_path_that_cannot_be_used_is_refused(write: Callable[..., Path], file: str, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        read(write(file))


def test_a_table_without_the_columns_or_without_a_good_row_is_refused(write: Callable[..., Path]) -> None:
    folder = write()
    path = folder / "vectors" / "text.parquet"
    pq.write_table(pa.table({"item_id": IDS}), path)
    with pytest.raises(DatasetError, match="no column vector"):
        read(folder)
    write_parquet(path, IDS, ["x"] * 30)
    with pytest.raises(DatasetError, match="column vector is string"):
        read(folder)
    write_parquet(path, ["z"], [[1.0]])
    with pytest.raises(DatasetError, match=r"no usable row in text_vectors.*unknown_item"):
        read(folder)


def test_a_modality_that_is_none_is_refused(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "dataset.toml").write_text('name = "shop"\n[kinds.click]\n[vectors]\nsmell = "x.npy"\n')
    with pytest.raises(DatasetError, match=r"vectors\.smell"):
        read(folder)


rows = st.tuples(
    st.sampled_from(["a", "b", "c", "z", None]),
    st.one_of(st.none(), st.lists(st.sampled_from([0.0, 1.0, float("nan"), float("inf")]), max_size=3)),
)


@given(st.lists(rows, max_size=12))
def test_what_is_kept_is_finite_known_of_one_dimension_and_once_and_the_rest_is_counted(given_rows: list) -> None:
    rejected = Rejected()
    ids, lists = zip(*given_rows, strict=True) if given_rows else ((), ())
    table = pa.table(
        {
            schema.ITEM_ID: pa.array(ids, pa.string()),
            "vector": pa.array(lists, pa.large_list(pa.float32())),
            SOURCE: pa.array([f"row {n}" for n in range(len(ids))], pa.string()),
        }
    )
    good = check_vectors(table, pa.chunked_array([["c", "a", "b"]]), sieves(rejected)["text_vectors"])
    vectors = vectors_of(good)
    assert np.isfinite(vectors).all() and vectors.any(axis=1).all()
    order = ["cab".index(one) for one in good["item_id"].to_pylist()]
    assert order == sorted(set(order))
    assert len(good) + len(rejected) == len(table)


def test_ids_and_vectors_must_be_as_many() -> None:
    with pytest.raises(DatasetError, match="3 vectors and 2 ids"):
        vector_table(["a", "b"], some(3), source="x.npy")


def test_the_encoder_of_given_vectors_is_named_by_all_of_them() -> None:
    def made(ids: list[str], vectors: np.ndarray) -> str:
        plain = embedding_table(ids, ids, vectors, modality=Modality.TEXT, encoder_id="x")
        return precomputed_table(plain, Modality.TEXT)["encoder_id"][0].as_py()

    first = made(IDS, some())
    assert is_precomputed(first) and not is_precomputed("minilm") and not is_precomputed(None)
    assert first == made(IDS, some())
    others = [made(IDS[::-1], some()), made(IDS, some() + 1), made(IDS[:9], some(9))]
    assert len({first, *others}) == 4


def test_given_vectors_take_the_place_of_an_encoder(write: Callable[..., Path], tmp_path: Path) -> None:
    folder, vectors = write(), some()
    write_parquet(folder / "vectors" / "text.parquet", IDS, vectors.tolist())
    workspace = Workspace(Settings(home=tmp_path / "home"), dataset=str(folder))
    workspace.home.prepare()
    items(workspace=workspace)
    text_embeddings(workspace=workspace)
    table = workspace.home.read("text_embeddings")
    np.testing.assert_array_equal(vectors_of(table), vectors)
    assert not (workspace.settings.lake / "embeddings").exists()  # nothing was encoded
    stamp = workspace.home.stamp("text_embeddings")
    assert stamp is not None and stamp.facts == {"given": 30, "missing": 0}
    for suite in (_items(workspace), _embeddings(Modality.TEXT, workspace)):
        report = validate(*suite)
        assert report.passed, report.failed()
    for other in ("image", "audio"):
        empty = embedding_table([], [], some(0), modality=Modality(other), encoder_id="none")
        workspace.build(f"{other}_embeddings", lambda place, empty=empty: workspace.home.write(place, empty) or {})
    ids = encoder_ids(workspace)
    assert is_precomputed(ids[Modality.TEXT]) and list(ids) == [Modality.TEXT]
    with pytest.raises(BadRequestError, match="came with its dataset"):
        encoders_of(workspace.settings, ids)(Modality.TEXT)
    with pytest.raises(HomeError, match="brings its own text vectors"):
        tune_encoder(workspace, "text", TuningConfig())
