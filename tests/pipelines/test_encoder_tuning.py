"""The command `trichord tune encoder` on a small home whose pictures' vectors are given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from typer.testing import CliRunner

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.schema import EventKind, Modality
from feature_repo.settings import Device, Encoders, Settings
from pipelines import cli
from pipelines.encoder_tuning import material, tune_encoder, tuning_lines, tuning_report
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.errors import EncoderError
from ranking.representation.chosen import text_encoder
from ranking.representation.embedding_store import embedding_table
from ranking.representation.tuning import TuningResult
from ranking.representation.tuning_config import TuningConfig
from ranking.splits import Protocol
from ranking.strategy.fit import divisions
from tests.kinds import write_kinds

START = datetime(2024, 1, 1, tzinfo=UTC)
N_ITEMS, N_USERS = 80, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "bert"
    words = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *(f"w{n}" for n in range(30))])}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=32, max_position_embeddings=64, **sizes)).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    ).save_pretrained(folder)
    return folder


def events_of(rng: np.random.Generator) -> pa.Table:
    """Each user clicks thirty items, one a day."""
    rows = [
        {"event_id": f"e{user}-{day}", "user_id": f"u{user:02}", "item_id": f"i{item:02}", "kind": "click"}
        | {"occurred_at": START + timedelta(days=day, minutes=user)}
        for user in range(N_USERS)
        for day, item in enumerate(rng.permutation(N_ITEMS)[:30])
    ]
    raw = pa.Table.from_pylist(sorted(rows, key=lambda row: row["occurred_at"]), schema.EVENTS)
    return label_events(raw, (EventKind("click"),))


@pytest.fixture
def workspace(model: Path, tmp_path: Path) -> Workspace:
    """What a run leaves as far as a tuning needs it."""
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    ids = [f"i{n:02}" for n in range(N_ITEMS)]
    titles = [" ".join(f"w{word}" for word in rng.integers(0, 30, 5)) for _ in ids]
    (data / "items.csv").write_text("item_id,title\n" + "".join(f"{a},{b}\n" for a, b in zip(ids, titles, strict=True)))
    (data / "events.csv").write_text("user_id,item_id,kind,occurred_at\nu00,i00,click,2024-01-01T00:00:00Z\n")
    (data / "dataset.toml").write_text('name = "small"\n[kinds.click]\n')
    found = Workspace(Settings(home=tmp_path / "home", encoders=Encoders(text=str(model))), dataset=str(data))
    found.home.prepare()
    users = pa.table({"user_id": [f"u{n:02}" for n in range(N_USERS)]})
    vectors = rng.normal(size=(N_ITEMS, 8)).astype(np.float32)
    tables = {"items": found.dataset.items, "events": events_of(rng), "users": users}
    for modality in Modality:
        n = N_ITEMS if modality is Modality.IMAGE else 0
        tables[f"{modality}_embeddings"] = embedding_table(
            ids[:n], ids[:n], vectors[:n], modality=modality, encoder_id="given"
        )

    def write(name: str, table: pa.Table) -> None:
        def make(folder: Path) -> Facts:
            found.home.write(folder, table)
            return {}

        found.build(name, make)

    for name, table in tables.items():
        write(name, table)
    write_kinds(found, EventKind("click"))
    return found


def tuned(workspace: Workspace, **options: object) -> TuningResult:
    return tune_encoder(workspace, "text", replace(TuningConfig(rank=2, steps=2, learning_rate=1e-3), **options))


def test_a_home_is_tuned_and_says_what_came_of_it(workspace: Workspace) -> None:
    result = tuned(workspace)
    assert result.held_out == N_ITEMS // 4
    assert set(result.recalls[0][1]) == {"image", "likes"}
    report = tuning_report(result)
    assert report["recall@10"] == {
        "before": result.before,
        "after": result.after,
        "standard_error": result.standard_error,
    }
    lines = tuning_lines("text", result)
    assert f"{result.before:.3f} before" in lines[0]
    assert ("no adapter was written" in lines[0]) == (result.folder is None)
    kept = tuning_lines("text", TuningResult([(0, {"image": 0.1}), (2, {"image": 0.2})], 2, 20, Path("a/b")))
    assert kept[0].endswith("0.100 before (standard error 0.067), 0.200 after 2 steps")
    assert f'text_adapter = "{Path("a/b").resolve()}"' in kept[1]


def test_the_material_is_in_the_order_of_the_items(workspace: Workspace) -> None:
    encoder = text_encoder(workspace.settings.encoders)
    found = material(workspace, encoder)
    assert [one.item_id for one in found.contents] == list(workspace.content.items.ids)
    texts = [one.load().decode() for one in found.contents]
    np.testing.assert_allclose(found.vectors, encoder.encode(texts), atol=1e-5)
    assert set(found.others) == {"image"}
    assert found.liked.shape == (N_USERS, N_ITEMS)


def test_no_like_of_an_evaluated_window_is_learned_from(workspace: Workspace) -> None:
    log = workspace.interactions
    liked = material(workspace, text_encoder(workspace.settings.encoders)).liked  # each item has a text, in order
    assert liked.nnz
    for protocol in Protocol:
        for one in divisions(log, protocol, 2):
            held_out = one.test.where(one.test.positive).matrix()
            assert liked.multiply(held_out).nnz == 0


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (Encoders(device=Device.CUDA), "encoders.device 'cuda': this machine has"),
        (Encoders(text="./no/such/model"), "no such folder"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_done(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, encoders: Encoders, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = workspace.settings.model_copy(update={"encoders": encoders})
    with pytest.raises(EncoderError, match=message):
        tuned(Workspace(settings))


def test_the_command_takes_a_modality_and_shows_its_options() -> None:
    runner = CliRunner()
    shown = runner.invoke(
        cli.app, ["tune", "encoder", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    )
    assert all(option in shown.output for option in ("--kind", "--steps", "adalora"))
    assert runner.invoke(cli.app, ["tune", "encoder", "smell"]).exit_code == 2
