"""`trichord similar`: from the shell's arguments to an answer, and how it is shown."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from feature_repo.settings import Settings
from ranking.errors import BadRequestError
from ranking.representation.sources import MAX_BYTES
from ranking.serving.payloads import Similar
from ranking.serving.similar import Neighbours


def look_for(
    settings: Settings,
    item: str | None,
    *,
    text: str | None,
    image: Path | None,
    audio: Path | None,
    by: str,
    categories: Sequence[str],
    k: int,
) -> Similar:
    """What is near an item, or else near contents; BadRequestError for both, none, or a file that cannot be read."""
    contents = [name for name, one in (("text", text), ("image", image), ("audio", audio)) if one is not None]
    if (item is None) == (not contents):
        raise BadRequestError(
            f"similar: {'--item and --' + ', --'.join(contents) if contents else 'nothing'} given; "
            "give --item ID, or any of --text, --image and --audio"
        )
    paths = {"image": image, "audio": audio}
    files = {name: None if path is None else read_content(path) for name, path in paths.items()}
    neighbours = Neighbours.current(settings)
    if item is not None:
        return neighbours.of_item(item, k=k, by=by, categories=tuple(categories))
    return neighbours.of_content(k=k, by=by, categories=tuple(categories), text=text, **files)


def similar_table(found: Similar) -> Table:
    """Nearest first."""
    asked = f" for {found.asked}" if found.asked else ""
    table = Table(title=f"by {found.by}{asked}, release {found.release}", title_justify="left")
    for column in ("", "item", "title", "cosine"):
        table.add_column(column, justify="right" if column in ("", "cosine") else "left")
    for item in found.items:
        table.add_row(str(item.rank), item.item_id, item.title or "", f"{item.score:.3f}")
    return table


def read_content(path: Path) -> bytes:
    """A file's bytes; BadRequestError for one that is too large or cannot be read."""
    try:
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise BadRequestError(f"{path}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,}: make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise BadRequestError(f"{path}: cannot be read ({error.strerror}); give a file") from error
