"""Arrays on disk: mapped, whole, and no file of another form is taken for one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file

from ranking.artifacts import load_arrays, save_arrays
from ranking.errors import ArtifactError

KINDS = st.sampled_from(["?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])
ARRAY = KINDS.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_side=0)))


@given(st.dictionaries(st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1), ARRAY, min_size=1))
def test_arrays_are_what_was_saved_and_what_the_library_reads(tmp_path_factory, saved):
    path = tmp_path_factory.mktemp("arrays") / "state.safetensors"
    save_arrays(path, saved)
    found, other = load_arrays(path), load_file(path)
    assert found.keys() == saved.keys()
    for name, array in saved.items():
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(found[name], other[name])
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].flags.aligned
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_arrays_are_mapped_and_what_is_written_into_them_stays_here(tmp_path):
    path = tmp_path / "state.safetensors"
    save_arrays(path, {"a": np.zeros(1000, np.float32)})
    mine, yours = load_arrays(path)["a"], load_arrays(path)["a"]
    assert not mine.flags.owndata
    mine[:] = 1
    assert not yours.any()
    assert not load_arrays(path)["a"].any()
    save_arrays(path, {"a": np.full(10, 7, np.float32)})
    assert not yours.any()  # of a file that was replaced it keeps the old one
    path.unlink()
    assert not yours.any()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        b"\xff" * 40,
        (2).to_bytes(8, "little") + b"[]",
        (1 << 62).to_bytes(8, "little") + b"{}",
        *(
            len(text).to_bytes(8, "little") + text + bytes(8)
            for text in (
                json.dumps({"a": told}).encode()
                for told in (
                    {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
                    {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
                    {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]},
                    {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
                    {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
                    {"dtype": "F32", "shape": [2]},
                    {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
                    7,
                )
            )
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"state.safetensors: not a readable"):
        load_arrays(path)
