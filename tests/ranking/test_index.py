"""Nearest vectors against brute force: exact and approximate, filtered, saved, damaged, swapped under a reader."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.settings import Search
from pipelines.home import swap
from ranking.candidates.generator import top_k
from ranking.errors import ArtifactError, RecallError
from ranking.representation.index import DEPTH, INFO, LISTS, SMALL, VectorIndex
from ranking.types import UNKNOWN

ITEMS, DIM = 12_000, 16
APPROXIMATE = Search(exact_up_to=0)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def planted(seed, n):
    """Clusters of 5 dimensions, as content has."""
    world = np.random.default_rng(0)
    centres, mixing = world.normal(size=(60, 5)), world.normal(size=(5, DIM))
    draw = np.random.default_rng(seed)
    inner = centres[draw.integers(60, size=n)] + 0.5 * draw.normal(size=(n, 5))
    return unit(inner @ mixing + 0.05 * draw.normal(size=(n, DIM)))


VECTORS = planted(1, ITEMS)
VECTORS[::10] = 0  # without content
QUERIES = planted(2, 40)
EXACT = VectorIndex.exact(VECTORS)
FORMS = {"float32": APPROXIMATE, "int8": Search(exact_up_to=0, int8=True)}


@pytest.fixture(scope="module", params=FORMS)
def index(request):
    return VectorIndex.build(VECTORS, FORMS[request.param])


def brute_force(vectors, query, k, allowed):
    """Sorted by hand: descending score, then ascending code."""
    scores = vectors @ query
    codes = [code for code in range(len(vectors)) if vectors[code].any() and allowed[code]]
    best = sorted(codes, key=lambda code: (-scores[code], code))[:k]
    return best + [UNKNOWN] * (k - len(best))


whole = st.integers(-2, 2)


@given(data=st.data(), n=st.integers(1, 30), dim=st.integers(1, 4), k=st.integers(1, 35))
@settings(max_examples=60)
def test_exact_search_is_brute_force_with_ties_by_code(data, n, dim, k):
    rows = st.lists(whole, min_size=dim, max_size=dim)  # small whole numbers: many ties, sums without rounding
    vectors = np.array(data.draw(st.lists(rows, min_size=n, max_size=n)), np.float32)
    queries = np.array(data.draw(st.lists(rows, min_size=1, max_size=3)), np.float32)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    codes, scores = VectorIndex.exact(vectors).search(queries, k, allowed=allowed)
    for row, query in enumerate(queries):
        assert codes[row].tolist() == brute_force(vectors, query, k, allowed)
        found = codes[row] != UNKNOWN
        assert (scores[row][found] == vectors[codes[row][found]] @ query).all()
        assert np.isneginf(scores[row][~found]).all()


def test_a_small_catalogue_is_searched_as_generators_rank_it():
    scores = np.where(VECTORS.any(axis=1), QUERIES @ VECTORS.T, -np.inf).astype(np.float32)
    codes, best = top_k(scores, 20)
    found, cosines = VectorIndex.build(VECTORS, Search()).search(QUERIES, 20)
    np.testing.assert_array_equal(found, codes)
    np.testing.assert_allclose(cosines, best, rtol=1e-5)


def test_the_recall_that_is_stated_is_that_against_brute_force(index):
    assert not index.info.exact and index.info.items == VECTORS.any(axis=1).sum()
    found, _ = index.search(QUERIES, DEPTH)
    exact, _ = EXACT.search(QUERIES, DEPTH)
    share = np.mean([len({*one.tolist()} & {*other.tolist()}) / DEPTH for one, other in zip(found, exact, strict=True)])
    assert share == pytest.approx(index.info.recall, abs=0.02)
    assert index.info.recall >= 0.99


def test_an_approximate_index_may_miss_items_but_scores_and_orders_them_exactly(index):
    codes, scores = index.search(QUERIES, 30)
    for row, query in enumerate(QUERIES):
        np.testing.assert_allclose(scores[row], VECTORS[codes[row]] @ query, rtol=1e-5)
        assert (np.diff(scores[row]) <= 0).all()
        assert len({*codes[row].tolist()}) == 30
        assert VECTORS[codes[row]].any(axis=1).all()


@pytest.mark.parametrize("share", [0.6, 0.4, 0.05])
def test_only_allowed_items_are_found_and_of_them_the_nearest(index, share):
    allowed = np.random.default_rng(3).random(ITEMS) < share
    found, scores = index.search(QUERIES, 20, allowed=allowed)
    exact, wanted = EXACT.search(QUERIES, 20, allowed=allowed)
    assert allowed[found].all()
    assert (scores >= wanted[:, -1:] - 1e-6).mean() >= 0.98
    if (allowed & VECTORS.any(axis=1)).sum() <= SMALL:
        np.testing.assert_array_equal(found, exact)


def test_a_filter_that_leaves_nothing_near_is_answered_from_afar(index):
    far = (VECTORS @ QUERIES[0]) < 0.2
    assert (far & VECTORS.any(axis=1)).sum() > SMALL
    found, _ = index.search(QUERIES[:1], 300, allowed=far)
    assert (found != UNKNOWN).all() and far[found].all()


def test_a_filter_that_allows_nothing_finds_nothing(index):
    found, scores = index.search(QUERIES[:2], 5, allowed=np.zeros(ITEMS, bool))
    assert (found == UNKNOWN).all() and np.isneginf(scores).all()


def test_an_index_that_misses_too_much_is_refused():
    noise = unit(np.random.default_rng(0).normal(size=(6_000, 64)))  # no clusters: a neighbour may lie in any list
    with pytest.raises(RecallError, match=r"index.exact_up_to to 6000"):
        VectorIndex.build(noise, APPROXIMATE)
    assert VectorIndex.build(noise, Search(exact_up_to=0, least_recall=0.1)).info.recall < 0.99


def test_a_vector_that_is_no_number_is_never_found():
    broken = VECTORS.copy()
    broken[1] = np.nan
    one = VectorIndex.build(broken, Search(), queries=QUERIES)
    assert one.info.recall == 1.0
    assert 1 not in one.search(QUERIES, ITEMS)[0]


@pytest.mark.parametrize("rows", [0, 1])
def test_next_to_nothing_is_indexed(rows):
    vectors = np.zeros((3, DIM), np.float32)
    vectors[:rows] = QUERIES[:rows]
    one = VectorIndex.build(vectors, Search(exact_up_to=0))
    found, _ = one.search(QUERIES[:1], 2)
    assert found.tolist() == [[0 if rows else UNKNOWN, UNKNOWN]]


def test_what_is_loaded_finds_what_was_saved(index, tmp_path):
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path, VECTORS)
    for one, other in zip(index.search(QUERIES, 25), loaded.search(QUERIES, 25), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.info.recall == index.info.recall


def test_an_exact_index_keeps_no_second_copy_of_the_vectors(tmp_path):
    EXACT.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [INFO]
    np.testing.assert_array_equal(VectorIndex.load(tmp_path, VECTORS).search(QUERIES, 9), EXACT.search(QUERIES, 9))


@pytest.mark.parametrize("damage", ["cut off", "a bit turned", "gone", "no info", "other vectors", "other shape"])
def test_a_damaged_index_is_told_and_never_searched(damage, tmp_path):
    VectorIndex.build(VECTORS, APPROXIMATE).save(tmp_path)
    lists, vectors = tmp_path / LISTS, VECTORS
    content = bytearray(lists.read_bytes())
    match damage:
        case "cut off":
            lists.write_bytes(content[: len(content) // 2])
        case "a bit turned":
            content[len(content) // 2] ^= 1
            lists.write_bytes(content)
        case "gone":
            lists.unlink()
        case "no info":
            (tmp_path / INFO).write_text("{}")
        case "other vectors":
            vectors = np.roll(VECTORS, 1, axis=0)
        case "other shape":
            vectors = VECTORS[1:]
    with pytest.raises(ArtifactError, match="build the release again"):
        VectorIndex.load(tmp_path, vectors)


READER = """
import sys
from pathlib import Path
import numpy as np
from ranking.representation.index import VectorIndex
folder = Path(sys.argv[1])
def opened():
    return VectorIndex.load(folder / "index", np.load(folder / "vectors.npy"))
query = np.load(sys.argv[2])
index = opened()
for line in sys.stdin:
    index = opened() if line.strip() == "open" else index
    print(*index.search(query, 5)[0][0].tolist(), flush=True)
"""


def test_a_reader_keeps_its_index_while_another_is_put_in_its_place(tmp_path):
    def make(name, vectors):
        (tmp_path / name / "index").mkdir(parents=True)
        np.save(tmp_path / name / "vectors.npy", vectors)
        VectorIndex.build(vectors, APPROXIMATE).save(tmp_path / name / "index")
        return " ".join(map(str, VectorIndex.exact(vectors).search(QUERIES[:1], 5)[0][0].tolist()))

    np.save(tmp_path / "query.npy", QUERIES[:1])
    before = make("current", VECTORS)
    command = [sys.executable, "-c", READER, str(tmp_path / "current"), str(tmp_path / "query.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:

        def ask(line):
            print(line, file=reader.stdin, flush=True)
            return reader.stdout.readline().strip()

        assert ask("search") == before
        after = make("new", planted(4, ITEMS))
        swap(tmp_path / "new", tmp_path / "current")
        assert after != before
        assert ask("search") == before  # its file is gone from the folder, not from its memory
        assert ask("open") == after
        reader.stdin.close()
