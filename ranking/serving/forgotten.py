"""Users out of a release that was published: its checksums are those of what it holds from then on.

First the new checksums are written beside the old ones, then the file, then the new ones take the old ones' place. So
after a kill at any moment it can be told how far it came.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from feature_repo.durable import sync_folder, write_durably
from ranking.rankers.groups import FILE, without_users
from ranking.serving.releases import SUMS

NEXT: Final = f"{SUMS}.next"


def forget_in_release(folder: Path, users: Collection[str], *, erase: bool = True) -> int:
    """Erase users and their attributes from a release's folder, or only count in how many places it names them."""
    if erase:
        _finish(folder)
    found = 0
    for path in sorted(folder.rglob(FILE)):
        content, here = without_users(path, users)
        found += here
        if here and erase:
            write_durably(folder / NEXT, _sums_with(folder, path, content))
            write_durably(path, content)
            _take_over(folder)
    return found


def _finish(folder: Path) -> None:
    """End what was killed: where the file is the new one already, its checksum follows; else it is done again."""
    if not (folder / NEXT).exists():
        return
    new = _sums(folder / NEXT)
    changed = [name for name, digest in _sums(folder / SUMS).items() if new[name] != digest]
    if all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == new[name] for name in changed):
        _take_over(folder)
    else:
        (folder / NEXT).unlink()


def _take_over(folder: Path) -> None:
    (folder / NEXT).replace(folder / SUMS)
    sync_folder(folder)


def _sums_with(folder: Path, path: Path, content: bytes) -> bytes:
    sums = _sums(folder / SUMS) | {str(path.relative_to(folder)): hashlib.sha256(content).hexdigest()}
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()


def _sums(path: Path) -> dict[str, str]:
    pairs = [line.split("  ", 1) for line in path.read_text().splitlines()]
    return {name: digest for digest, name in pairs}
