import errno
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from ranking.errors import ArtifactError, UnreadableContentError
from ranking.representation import embed as embed_module
from ranking.representation import embedding_store, sources
from ranking.representation.embed import EmbeddingRun, embed
from ranking.representation.embedding_store import EmbeddingStore, embedding_schema, vectors_of
from ranking.representation.encoder import Encoder
from ranking.types import Floats


class ByteCounter(Encoder[bytes]):
    """Encodes a file as (its length, its first byte), refuses those that begin with "bad", and keeps what it saw."""

    modality: ClassVar = Modality.IMAGE
    id: ClassVar = "byte-counter-1"
    dim: ClassVar = 2

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.dies_after = 10**9

    def decode(self, content: bytes) -> bytes:
        if content.startswith(b"bad"):
            raise UnreadableContentError("unreadable_image", "bad bytes; give good ones")
        return content

    def encode(self, batch: Sequence[bytes]) -> Floats:
        if len(self.seen) >= self.dies_after:
            raise KeyboardInterrupt
        self.seen += batch
        return np.array([[len(content), content[0]] for content in batch], np.float32)


class TextCounter(ByteCounter):
    modality: ClassVar = Modality.TEXT


class World:
    """A media folder with one file an item, and a store."""

    def __init__(self, folder: Path) -> None:
        self.media, self.store = folder / "media", EmbeddingStore(folder / "store")
        self.media.mkdir()
        self.rejected = Rejected()
        self.encoder = ByteCounter()

    def write(self, **files: bytes) -> None:
        for name, content in files.items():
            (self.media / name).write_bytes(content)

    def run(self, paths: dict[str, str | None], encoder: ByteCounter | None = None) -> EmbeddingRun:
        self.rejected = Rejected()
        return embed(
            items(image=paths), encoder or self.encoder, self.store, media_root=self.media, rejected=self.rejected
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def items(**columns: dict[str, str | None]) -> pa.Table:
    ids = list(dict.fromkeys(one for column in columns.values() for one in column))
    rows = [{"item_id": one, "categories": [], **{name: columns[name].get(one) for name in columns}} for one in ids]
    return pa.Table.from_pylist(rows, schema.ITEMS)


def vectors(run: EmbeddingRun) -> dict[str, list[float]]:
    return dict(zip(run.table["item_id"].to_pylist(), vectors_of(run.table).tolist(), strict=True))


def test_each_item_has_the_vector_of_its_file(world: World) -> None:
    world.write(a=b"xx", b=b"yyy")
    run = world.run({"2": "b", "1": "a", "3": None})
    assert run.table.schema == embedding_schema(2)
    assert vectors(run) == {"2": [3, ord("y")], "1": [2, ord("x")]}
    assert (run.encoded, run.reused, run.missing, len(world.rejected)) == (2, 0, 1, 0)
    assert set(run.table["encoder_id"].to_pylist()) == {"byte-counter-1"}
    assert set(run.table["modality"].to_pylist()) == {"image"}


def test_unchanged_content_is_never_encoded_twice(world: World) -> None:
    world.write(a=b"xx", b=b"yyy")
    first = world.run({"1": "a", "2": "b"})
    again = world.run({"1": "a", "2": "b"})
    assert (again.encoded, again.reused) == (0, 2)
    assert again.table.equals(first.table)
    assert sorted(world.encoder.seen) == [b"xx", b"yyy"]


def test_items_with_the_same_content_share_one_encoding(world: World) -> None:
    world.write(a=b"same", b=b"same")
    run = world.run({"1": "a", "2": "b", "3": "a"})
    assert world.encoder.seen == [b"same"]
    assert vectors(run) == {item_id: [4.0, float(ord("s"))] for item_id in ("1", "2", "3")}
    later = world.run({"new": "b"})
    assert (later.encoded, later.reused) == (0, 1)


def test_only_changed_content_is_encoded_again(world: World) -> None:
    world.write(a=b"xx", b=b"yyy")
    world.run({"1": "a", "2": "b"})
    world.write(a=b"zz")  # as long as before
    run = world.run({"1": "a", "2": "b"})
    assert world.encoder.seen[2:] == [b"zz"]
    assert vectors(run)["1"] == [2, ord("z")]


def test_a_file_that_was_only_touched_is_not_encoded_again(world: World) -> None:
    world.write(a=b"xx")
    world.run({"1": "a"})
    os.utime(world.media / "a", ns=(1, 1))
    assert world.run({"1": "a"}).encoded == 0


def test_unchanged_files_are_not_even_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(a=b"xx")
    first = world.run({"1": "a"})
    monkeypatch.setattr(sources, "_hash_file", lambda path: pytest.fail(f"{path} was read"))
    assert world.run({"1": "a"}).table.equals(first.table)


def test_another_encoder_starts_afresh(world: World) -> None:
    class Other(ByteCounter):
        id: ClassVar = "byte-counter-2"

    world.write(a=b"xx")
    world.run({"1": "a"})
    assert world.run({"1": "a"}, Other()).encoded == 1


def test_a_new_encoder_fills_its_vectors_beside_the_old_ones(world: World) -> None:
    class Other(ByteCounter):
        id: ClassVar = "byte-counter-2"

        def encode(self, batch: Sequence[bytes]) -> Floats:
            return -super().encode(batch)

    world.write(a=b"xx", b=b"yyy")
    old = world.run({"1": "a", "2": "b"})
    new = world.run({"1": "a", "2": "b"}, Other())
    assert vectors(new) == {"1": [-2, -ord("x")], "2": [-3, -ord("y")]}
    back = world.run({"1": "a", "2": "b"})
    assert back.encoded == 0
    assert back.table.equals(old.table)


def test_one_changed_one_new_and_one_removed_item_of_a_hundred_encode_two(world: World) -> None:
    names: dict[str, str | None] = {str(i): f"f{i}" for i in range(100)}
    world.write(**{name: name.encode() for name in names.values() if name})
    before = vectors(world.run(dict(names)))
    world.write(f7=b"changed", added=b"added")
    del names["50"]
    run = world.run(names | {"new": "added"})
    assert (run.encoded, run.reused, run.missing) == (2, 98, 0)
    assert sorted(world.encoder.seen[100:]) == [b"added", b"changed"]
    after = vectors(run)
    assert set(after) == set(before) - {"50"} | {"new"}
    assert {one for one in set(after) & set(before) if after[one] != before[one]} == {"7"}


def test_few_new_contents_are_shared_out_to_all_cores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    names: dict[str, str | None] = {str(i): f"f{i}" for i in range(7)}
    world.write(**{name: name.encode() for name in names.values() if name})
    world.run(names)
    parts = world.store.folder.glob("image/*/part-*.parquet")
    assert sorted(pq.read_metadata(part).num_rows for part in parts) == [1, 3, 3]


def test_few_contents_are_decoded_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    class Narrow(ByteCounter):
        held = 3
        together: ClassVar[list[int]] = []

        def encode(self, batch: Sequence[bytes]) -> Floats:
            self.together.append(len(batch))
            return super().encode(batch)

    names: dict[str, str | None] = {str(i): f"f{i}" for i in range(8)}
    world.write(**{name: name.encode() for name in names.values() if name})
    assert world.run(names, Narrow()).encoded == 8
    assert Narrow.together == [3, 3, 2]


def test_an_item_with_nothing_at_all_is_missing_and_no_error(world: World) -> None:
    bare = items(image={"1": None})
    for encoder in (ByteCounter(), TextCounter()):
        run = embed(bare, encoder, world.store, media_root=world.media, rejected=world.rejected)
        assert (len(run.table), run.missing, len(world.rejected)) == (0, 1, 0)


def test_a_killed_run_keeps_what_it_had_flushed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "CHUNK", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # with more, which chunks were flushed is a matter of luck
    names = {str(i): f"f{i}" for i in range(7)}
    world.write(**{name: name.encode() for name in names.values()})
    world.encoder.dies_after = 4
    with pytest.raises(KeyboardInterrupt):
        world.run(dict(names))
    world.encoder.dies_after = 10**9
    seen = len(world.encoder.seen)
    run = world.run(dict(names))
    assert (run.encoded, run.reused) == (7 - seen, seen)
    assert seen >= 4
    assert sorted(world.encoder.seen) == sorted(name.encode() for name in names.values())


def test_a_half_written_part_is_not_seen_and_swept_away(world: World) -> None:
    world.write(a=b"xx")
    world.run({"1": "a"})
    torn = next(world.store.folder.glob("image/*/")) / ".part-0.parquet.unfinished"
    torn.write_bytes(b"PAR1half")
    assert world.run({"1": "a"}).reused == 1
    assert not torn.exists()


def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """The disk takes so many more parts."""
    written = []

    def write(table: pa.Table, path: Path, *, use_dictionary: bool) -> None:
        if len(written) == after:
            path.write_bytes(b"PAR1")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        pq.write_table(table, path, use_dictionary=use_dictionary)

    monkeypatch.setattr(embedding_store, "pq", SimpleNamespace(write_table=write, ParquetFile=pq.ParquetFile))


def test_a_full_disk_is_told_loses_nothing_and_the_next_run_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_module, "CHUNK", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    names = {str(i): f"f{i}" for i in range(40)}
    world.write(**{name: name.encode() for name in names.values()})
    with monkeypatch.context() as context:
        full_disk(context, after=4)  # the hashes of the files, and three parts
        with pytest.raises(ArtifactError, match=r"part-.*No space left on device.*make room and run again, it goes on"):
            world.run(dict(names))
    assert len(world.encoder.seen) <= 2 * (4 + 2)  # what was begun ahead, and no more
    assert not list(world.store.folder.rglob("*.unfinished"))
    run = world.run(dict(names))
    assert (run.encoded, run.reused) == (34, 6)
    assert vectors(run) == {item_id: [len(name), ord("f")] for item_id, name in names.items()}


def test_a_damaged_part_is_named_with_a_remedy(world: World) -> None:
    world.write(a=b"xx")
    world.run({"1": "a"})
    (part,) = world.store.folder.glob("image/*/part-*.parquet")
    part.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match=r"part-.*not readable.*delete it"):
        world.run({"1": "a"})


def test_what_cannot_be_encoded_is_reported_by_item_and_masked(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    world.write(good=b"g", bad=b"bad", large=b"l" * 101)
    (tmp_path / "secret").write_bytes(b"s")
    (world.media / "link").symlink_to(tmp_path / "secret")
    (world.media / "folder").mkdir()
    os.mkfifo(world.media / "pipe")
    paths = ["good", "bad", "bad", "large", "absent", "folder", "pipe", "../secret", "link", str(tmp_path / "secret")]
    run = world.run({f"{row} {path}": path for row, path in enumerate(paths)})
    assert list(vectors(run)) == ["0 good"]
    assert run.missing == 9
    assert dict(world.rejected.counts) == {
        ("items", "unreadable_image"): 2,
        ("items", "oversized_media"): 1,
        ("items", "missing_media"): 3,
        ("items", "outside_media_root"): 3,
    }
    reasons = {row: reason for _, reason, row, _ in world.rejected.examples}
    assert reasons["2 bad"] == "unreadable_image"
    assert reasons["6 pipe"] == "missing_media"


def test_links_lead_to_what_they_name_but_not_out_of_the_media(world: World, tmp_path: Path) -> None:
    world.write(a=b"a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"s")
    (world.media / "inner").mkdir()
    (world.media / "inner" / "b").write_bytes(b"bb")
    (world.media / "again").symlink_to("inner")
    (world.media / "inner" / "up").symlink_to("../a")
    (world.media / "out").symlink_to(tmp_path / "elsewhere")
    (world.media / "gone").symlink_to(tmp_path / "nothing")
    paths = ["again/b", "again/up", "inner/../a", "out/secret", "out/..", "inner/..", "gone", "", "inner/", "a\0"]
    run = world.run({f"{row} {path!r}": path for row, path in enumerate(paths)})
    assert vectors(run) == {
        "0 'again/b'": [2, ord("b")],
        "1 'again/up'": [1, ord("a")],
        "2 'inner/../a'": [1, ord("a")],
    }
    assert dict(world.rejected.counts) == {("items", "outside_media_root"): 4, ("items", "missing_media"): 2}


def test_a_repaired_file_is_encoded_by_the_next_run(world: World) -> None:
    world.write(a=b"bad")
    assert world.run({"1": "a"}).missing == 1
    assert world.run({"1": "a"}).missing == 1
    assert len(world.rejected) == 1
    world.write(a=b"mended")
    assert world.run({"1": "a"}).encoded == 1


def test_progress_reaches_the_number_of_new_contents(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "CHUNK", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    world.write(a=b"1", b=b"2", c=b"bad")
    seen: list[tuple[int, int]] = []
    embed(
        items(image={"1": "a", "2": "b", "3": "c", "4": "a"}),
        world.encoder,
        world.store,
        media_root=world.media,
        rejected=world.rejected,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 3), (3, 3)]


def test_text_is_title_categories_and_description(world: World) -> None:
    table = pa.Table.from_pylist(
        [
            {"item_id": "1", "title": "Heat.", "description": "A thief.", "categories": ["Crime", "Drama"]},
            {"item_id": "2", "title": None, "description": " ", "categories": ["Crime"]},
            {"item_id": "3", "title": "Alone", "description": None, "categories": []},
        ],
        schema.ITEMS,
    )
    encoder = TextCounter()
    run = embed(table, encoder, world.store, media_root=world.media, rejected=world.rejected)
    assert sorted(encoder.seen) == [b"Alone", b"Heat. Categories: Crime, Drama. A thief."]
    assert (run.encoded, run.missing, len(world.rejected)) == (2, 1, 0)


def test_no_items_give_an_empty_table(world: World) -> None:
    run = world.run({})
    assert run.table.schema == embedding_schema(2)
    assert (len(run.table), run.encoded, run.missing) == (0, 0, 0)
