import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.stores.texts import Texts

TEXTS = st.lists(st.binary(max_size=30), max_size=8)


def hash_of(text: bytes) -> int:
    found = len(text)
    for start in range(0, len(text), 8):
        found = (found ^ int.from_bytes(text[start : start + 8], "little")) * 0x9E3779B97F4A7C15 % 2**64
        found ^= found >> 32
    return found


@given(texts=TEXTS, start=st.integers(0, 3))
def test_hashes_and_words_are_those_of_each_text_by_itself(texts: list[bytes], start: int) -> None:
    found = Texts.of(pa.array(texts, pa.binary()).slice(start))
    texts = texts[start:]
    assert found.lengths.tolist() == [len(one) for one in texts]
    assert found.longest == max(map(len, texts), default=0)
    assert found.hashes.tolist() == [hash_of(one) for one in texts]
    for place in range(5):
        words = [int.from_bytes(one[place * 8 : place * 8 + 8], "little") for one in texts]
        assert found.words(place).tolist() == words
    every_other = np.arange(0, len(texts), 2)
    assert found.take(every_other).hashes.tolist() == [hash_of(one) for one in texts[::2]]


def test_hashes_stay_those_that_snapshots_were_written_with() -> None:
    known = {
        b"": 0,
        b"a": 0x54CDA58FEF23226F,
        b"item 7": 0xA88FC9F37E4198E8,
        b"eight by": 0xDE313C15EA3F4DE4,
        b"item-with-a-long-name-1": 0xFFA2959B838E07D9,
    }
    assert Texts.of(pa.array([*known], pa.binary())).hashes.tolist() == [*known.values()]
