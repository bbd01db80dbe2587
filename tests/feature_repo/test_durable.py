"""Files that are replaced whole."""

from pathlib import Path

import pytest

from feature_repo.durable import replacing, write_durably


def test_a_file_is_replaced_when_the_context_ends(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_durably(path, b"before")
    with replacing(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "kept"
    write_durably(path, b"before")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"before"
    assert [*tmp_path.iterdir()] == [path]
