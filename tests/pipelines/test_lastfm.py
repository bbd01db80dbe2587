"""Last.fm-2K as published, in small: names, tags, parts, made-up times, given vectors."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.schema import Modality
from feature_repo.settings import Settings
from pipelines.assets.data import event_log, events, items, users
from pipelines.assets.embeddings import audio_embeddings, image_embeddings, text_embeddings
from pipelines.assets.release import encoders_of
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.lastfm import START, pseudo_times, read_lastfm
from pipelines.errors import DatasetError
from pipelines.workspace import Workspace
from ranking.representation.embedding_store import vectors_of
from ranking.splits import Protocol, protocols_of, split
from ranking.types import UNKNOWN, IdIndex, Interactions

NOW = datetime(2024, 6, 1, tzinfo=UTC)
DATA = os.environ.get("TRICHORD_DATA")
HEAD = "userID\titemID\trating\tx_label\n"
ROWS = [(0, 1, 0), (0, 0, 0), (0, 2, 1), (1, 0, 0), (1, 2, 2), (0, 3, 2)]  # user, item, label


def read(folder: Path) -> Dataset:
    return read_lastfm(folder, now=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("processed_data", "original_data", "multimodal_features/mmrec_npy"):
        (tmp_path / name).mkdir(parents=True)
    rows = [f"{user}\t{item}\t1\t{label}\n" for user, item, label in ROWS]
    (tmp_path / "processed_data" / "lfm2k.inter").write_text(HEAD + "".join(rows))
    rows = [f"{user + 2}\t{90 - item}\t1\t{label}\n" for user, item, label in ROWS]
    (tmp_path / "processed_data" / "lfm2k_og_ids.inter").write_text(HEAD + "".join(rows))
    artists = ["90\tSigur Rós\tu\tp", '89\t"Weird Al" Yankovic\tu\tp', "88\tAnother\tu\tp", "1\tNobody\tu\tp"]
    (tmp_path / "original_data" / "artists.dat").write_text("\n".join(["id\tname\turl\tpictureURL", *artists]) + "\n")
    (tmp_path / "lfm2k_text.tsv").write_text("artistID\ttext\n90\tambient,icelandic\n88\trock\n")
    draw = np.random.default_rng(0)
    for name, width, dtype in (("all-MiniLM-L6-v2", 3, "<f4"), ("vggish", 2, "<f8"), ("whisper", 4, "<f4")):
        vectors = draw.normal(5, 1, (4, width)).astype(dtype)
        np.save(tmp_path / "multimodal_features" / "mmrec_npy" / f"{name}.npy", vectors)
    return tmp_path


def test_artists_have_names_and_tags_and_the_numbers_of_the_split(folder: Path) -> None:
    items = read(folder).items
    assert items[schema.ITEM_ID].to_pylist() == ["0000", "0001", "0002", "0003"]
    assert items[schema.TITLE].to_pylist() == ["Sigur Rós", '"Weird Al" Yankovic', "Another", None]
    assert items[schema.DESCRIPTION].to_pylist() == ["ambient,icelandic", None, "rock", None]
    assert items["artist_id"].to_pylist() == ["90", "89", "88", "87"]


def test_every_listen_is_liked_and_keeps_its_part(folder: Path) -> None:
    dataset = read(folder)
    events = dataset.events
    columns = (events[name].to_pylist() for name in (schema.USER_ID, schema.ITEM_ID, schema.PART))
    names = dict(enumerate(schema.SplitPart))
    expected = {(f"000{user}", f"000{item}", names[label]) for user, item, label in ROWS}
    assert set(zip(*columns, strict=True)) == expected
    labelled = label_events(events, dataset.kinds)
    assert all(labelled[schema.POSITIVE].to_pylist())
    assert not dataset.rejected.counts
    log = Interactions.from_events(
        labelled.append_column(schema.PART, events[schema.PART]),
        users=IdIndex.of(dataset.users[schema.USER_ID].to_pylist()),
        items=IdIndex.of(dataset.items[schema.ITEM_ID].to_pylist()),
    )
    assert log.part is not None and (np.diff(log.part) >= 0).all()  # train, then validation, then test


def test_text_is_as_given_and_sound_is_two_features_at_one_length(folder: Path) -> None:
    vectors = read(folder).vectors
    features = folder / "multimodal_features" / "mmrec_npy"
    np.testing.assert_array_equal(vectors_of(vectors[Modality.TEXT]), np.load(features / "all-MiniLM-L6-v2.npy"))
    sound = vectors_of(vectors[Modality.AUDIO])
    assert sound.shape == (4, 6)
    for part, name in ((sound[:, :2], "vggish"), (sound[:, 2:], "whisper")):
        raw = np.load(features / f"{name}.npy")
        centred = raw - raw.mean(axis=0)
        np.testing.assert_allclose(part, centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-6)


def test_a_label_that_is_none_is_turned_away(folder: Path) -> None:
    for name in ("lfm2k.inter", "lfm2k_og_ids.inter"):
        with (folder / "processed_data" / name).open("a") as file:
            file.write("1\t1\t1\t3\n")
    assert dict(read(folder).rejected.counts) == {("events", "bad_part"): 1}


def test_a_file_that_is_missing_or_of_another_split_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "processed_data" / "lfm2k_og_ids.inter"
    path.write_text(path.read_text().replace("\t2\n", "\t0\n"))
    with pytest.raises(DatasetError, match=r"rows of .*lfm2k\.inter and .*lfm2k_og_ids\.inter differ"):
        read(folder)
    path.unlink()
    with pytest.raises(DatasetError, match=r"no processed_data/lfm2k_og_ids\.inter; accepted: the folder with"):
        read(folder)
    with pytest.raises(DatasetError, match="no such folder"):
        read(tmp_path / "nowhere")


def test_features_of_unequal_length_are_refused(folder: Path) -> None:
    np.save(folder / "multimodal_features" / "mmrec_npy" / "whisper.npy", np.ones((3, 4), np.float32))
    with pytest.raises(DatasetError, match="vggish 4, whisper 3"):
        read(folder)


def test_a_home_knows_the_parts_and_takes_the_given_vectors(folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path / "home"), dataset=f"lastfm:{folder}")
    workspace.home.prepare()
    for asset in (items, event_log, users, events, text_embeddings, audio_embeddings, image_embeddings):
        asset(workspace=workspace)
    log = workspace.interactions
    assert log.part is not None and log.part.tolist() == [0, 0, 0, 1, 2, 2]
    assert protocols_of(log) == (Protocol.FIXED,)
    assert {*encoders_of(workspace)} == {Modality.TEXT, Modality.AUDIO}
    assert all(workspace.content.present[one].all() for one in (Modality.TEXT, Modality.AUDIO))
    late = workspace.dataset.events.slice(0, 1).set_column(0, schema.EVENT_ID, pa.array(["posted"]))
    workspace.log.append(late)  # by an app, afterwards
    events(workspace=workspace)
    posted = Workspace(workspace.settings, dataset=workspace.dataset_name).interactions
    assert posted.part is not None and sorted(posted.part.tolist()) == [UNKNOWN, 0, 0, 0, 1, 2, 2]
    assert len(split(posted, Protocol.FIXED).train) == 4


def test_made_up_times_keep_the_parts_apart_and_nothing_else() -> None:
    draw = np.random.default_rng(1)
    parts = draw.integers(0, 3, 3000).astype(np.int8)
    numbers = draw.integers(0, 20, 3000)
    users = pa.chunked_array([[f"u{n}" for n in numbers]])
    times = pseudo_times(users, parts)
    assert times.tolist() == pseudo_times(users, parts).tolist()
    assert times.tolist() != pseudo_times(users, parts, seed=1).tolist()
    days = (times / 1e6 - START.timestamp()) / 86_400
    for part, (begin, end) in enumerate(((0, 8), (8, 9), (9, 10))):
        mine = days[parts == part]
        assert begin <= mine.min() and mine.max() < end
        for user in range(20):  # spread evenly, in an order that has nothing to do with that of the rows
            own = days[(parts == part) & (numbers == user)]
            n = len(own)
            assert np.unique(np.floor((own - begin) / (end - begin) * n)).tolist() == list(range(n))
    own = days[(parts == 0) & (numbers == 0)]
    assert abs(np.corrcoef(np.arange(len(own)), own)[0, 1]) < 0.3


@pytest.mark.skipif(not DATA, reason="TRICHORD_DATA names no folder with lastfm-2k-mm")
def test_the_published_set_is_read_whole() -> None:
    dataset = read(Path(DATA or "") / "lastfm-2k-mm")
    assert len(dataset.items) == 1425 and dataset.items[schema.TITLE].null_count == 0
    assert len(dataset.users) == 1858
    counts = {one["values"]: one["counts"] for one in pc.value_counts(dataset.events[schema.PART]).to_pylist()}
    assert counts == {"train": 44_327, "validation": 4_799, "test": 7_219}
    assert {modality: table["vector"].type.list_size for modality, table in dataset.vectors.items()} == {
        Modality.TEXT: 384,
        Modality.AUDIO: 640,
    }
    assert not dataset.rejected.counts
    assert pc.max(dataset.events[schema.OCCURRED_AT]).as_py() < START + timedelta(days=10)
