"""Tunings of a tiny text model in a world with a planted answer: the first word says which picture an item has."""

import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import sparse
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ranking.errors import TuningError, UnreadableContentError
from ranking.representation import tuning_run
from ranking.representation.image import ImageEncoder
from ranking.representation.inputs import Masked, unit_rows
from ranking.representation.pretrained_text import PretrainedTextEncoder
from ranking.representation.sources import Content, content_hash
from ranking.representation.tuned import AdapterKind
from ranking.representation.tuning import CHECKPOINT, Material, TuningResult, tune
from ranking.representation.tuning_checkpoint import Checkpoint
from ranking.representation.tuning_config import TuningConfig
from ranking.representation.tuning_curves import Curves
from ranking.representation.tuning_objective import Objective, likes_of, recall

TOPICS, ITEMS, USERS = 12, 240, 36
SHORT = TuningConfig(probe_steps=5, steps=6, evaluate_every=2, batch=16, learning_rate=5e-3, patience=9, contrast=1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "bert"
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *(f"w{n}" for n in range(42))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=44, max_position_embeddings=64, initializer_range=0.2, **sizes)).save_pretrained(
        folder
    )
    words = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16)
    words.save_pretrained(folder)
    return str(folder)


def said(topic: int, rng: np.random.Generator) -> str:
    """The topic's word, lost among others."""
    return " ".join(rng.permutation([f"w{topic}", *(f"w{12 + other}" for other in rng.integers(0, 30, 2))]))


def material(encoder: PretrainedTextEncoder) -> Material:
    """Items of twelve topics: one word of three is the topic's, pictures are nearly the same within a topic."""
    rng = np.random.default_rng(0)
    topic = np.arange(ITEMS) % TOPICS
    texts = [said(one, rng) for one in topic]
    contents = [Content(f"i{n}", content_hash(text.encode()), text.encode) for n, text in enumerate(texts)]
    pictures = unit_rows(np.eye(TOPICS, dtype=np.float32)[topic] + rng.normal(0, 0.1, (ITEMS, TOPICS)))
    liked = sparse.csr_matrix((np.arange(USERS)[:, None] % TOPICS == topic) & (rng.random((USERS, ITEMS)) < 0.5))
    present = np.ones(ITEMS, bool)
    return Material(contents, encoder.encode(texts), {"image": Masked(pictures, present)}, liked.astype(np.float32))


def run(model: str, folder: Path, config: TuningConfig = SHORT, **options: object) -> TuningResult:
    encoder = PretrainedTextEncoder(model)
    return tune(encoder, material(encoder), folder, config=config, **options)


def test_what_is_planted_is_learned_and_the_adapter_gives_it_to_the_encoder(model: str, tmp_path: Path) -> None:
    config = replace(SHORT, steps=30, evaluate_every=15, batch=64, share=1.0, learning_rate=3e-2, head_rate=0.0)
    result = run(model, tmp_path, config)
    assert result.after > result.before + result.standard_error
    assert result.folder is not None
    encoder, plain = PretrainedTextEncoder(model, adapter=result.folder), PretrainedTextEncoder(model)
    assert result.folder.name in encoder.id.replace("adapter", "text-")
    rng = np.random.default_rng(5)
    texts = [said(topic, rng) for topic in range(TOPICS) for _ in range(20)]

    def within(one: PretrainedTextEncoder) -> float:
        """How much nearer texts of one topic are than others, in standard deviations."""
        vectors = one.encode(texts)
        vectors = unit_rows(vectors - vectors.mean(0))
        cosines = vectors @ vectors.T
        same = np.equal.outer(np.arange(len(texts)) // 20, np.arange(len(texts)) // 20)
        return float((cosines[same].mean() - cosines[~same].mean()) / cosines.std())

    assert within(encoder) > within(plain)


@pytest.mark.parametrize("kind", AdapterKind)
def test_a_killed_run_goes_on_and_ends_like_one_that_was_not(model: str, tmp_path: Path, kind: AdapterKind) -> None:
    config = replace(SHORT, kind=kind)
    whole = run(model, tmp_path / "whole", config)

    class KilledError(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        seen.append((what, done))
        if what == "tuning" and done == 5:
            raise KilledError

    seen: list[tuple[str, int]] = []
    with pytest.raises(KilledError):
        run(model, tmp_path / "killed", config, progress=kill)
    later: list[tuple[str, int]] = []
    again = run(model, tmp_path / "killed", config, progress=lambda what, done, total: later.append((what, done)))
    assert later == [("tuning", 5), ("tuning", 6)]  # neither the heads nor four steps are learned once more
    assert again.recalls == whole.recalls
    assert (again.folder and again.folder.name) == (whole.folder and whole.folder.name)
    states = [Checkpoint.load(next((tmp_path / one / "runs").iterdir()) / CHECKPOINT) for one in ("whole", "killed")]
    for name, one in states[0].arrays.items():
        torch.testing.assert_close(states[1].arrays[name], one, rtol=0, atol=0)


def test_a_finished_run_says_the_same_again(model: str, tmp_path: Path) -> None:
    first = run(model, tmp_path)
    steps: list[int] = []
    assert run(model, tmp_path, progress=lambda what, done, total: steps.append(done)) == first
    assert not steps


def test_no_adapter_is_written_where_nothing_was_gained(model: str, tmp_path: Path) -> None:
    # the recall moves by a little all the same: other rounding of the vectors that histories are made of
    result = run(model, tmp_path, replace(SHORT, learning_rate=0.0, head_rate=0.0))
    assert (result.folder, result.best_step) == (None, 0)
    assert result.before == result.after
    assert [one.name for one in tmp_path.iterdir()] == ["runs"]


def test_it_stops_after_so_many_evaluations_without_a_gain(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_run, "has_bfloat16", lambda device: False)
    config = replace(SHORT, steps=40, evaluate_every=2, patience=3, learning_rate=0.0, head_rate=0.0)
    assert [step for step, _ in run(model, tmp_path, config).recalls] == [0, 2, 4, 6]


def test_an_item_whose_content_is_gone_is_passed_over(model: str, tmp_path: Path) -> None:
    encoder = PretrainedTextEncoder(model)
    found = material(encoder)

    def gone() -> bytes:
        raise UnreadableContentError("missing_media", "gone")

    contents = [replace(one, load=gone) if n % 3 == 0 else one for n, one in enumerate(found.contents)]
    result = tune(encoder, replace(found, contents=contents), tmp_path, config=SHORT)
    assert len(result.recalls) == 4
    everything = replace(found, contents=[replace(one, load=gone) for one in contents])
    with pytest.raises(TuningError, match=r"none of .* text contents can be read"):
        tune(encoder, everything, tmp_path / "none", config=SHORT)


def test_items_without_a_like_or_a_picture_are_learned_from_all_the_same(model: str, tmp_path: Path) -> None:
    encoder = PretrainedTextEncoder(model)
    found = material(encoder)
    nothing = sparse.csr_matrix(found.liked.shape, dtype=np.float32)
    assert set(tune(encoder, replace(found, liked=nothing), tmp_path, config=SHORT).recalls[0][1]) == {"image"}
    few = Masked(found.others["image"].values, np.arange(ITEMS) < 30)
    with pytest.raises(TuningError, match="30 items have it and another modality, needed are 40"):
        tune(encoder, replace(found, others={"image": few}), tmp_path, config=SHORT)


def test_held_out_items_are_never_learned_from(model: str, tmp_path: Path) -> None:
    encoder = PretrainedTextEncoder(model)
    found = material(encoder)
    loads: list[str] = []

    def watched(one: Content) -> Content:
        def load() -> bytes:
            loads.append(one.item_id)
            return one.load()

        return replace(one, load=load)

    during: set[str] = set()
    asked: set[str] = set()

    def progress(what: str, done: int, total: int) -> None:
        (during if what == "tuning" else asked).update(loads)
        loads.clear()

    config = replace(SHORT, steps=3, evaluate_every=99)
    contents = [watched(one) for one in found.contents]
    tune(encoder, replace(found, contents=contents), tmp_path, config=config, progress=progress)
    held_out = set(loads)  # the recall after the last step
    assert len(held_out) == ITEMS // 4
    first_recall = during & held_out  # that before the first step was loaded within the first call
    assert first_recall in (set(), held_out)


def test_texts_of_several_parts_are_encoded_as_the_encoder_does(model: str) -> None:
    encoder = PretrainedTextEncoder(model)
    network = encoder.load()
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 42, length)) for length in (3, 70, 14, 15, 200, 1)]
    assert [len(parts) for parts in encoder.parts(texts)] == [1, 5, 1, 1, 13, 1]
    vectors = tuning_run.encoded(encoder, network.requires_grad_(True), texts)
    np.testing.assert_allclose(vectors.detach(), encoder.encode(texts), atol=1e-5)
    for part in (0, 199):  # the first word and the last are learned from alike
        word = int(texts[4].split()[part][1:]) + 2
        (slope,) = torch.autograd.grad(
            vectors[4, 0], network.model.embeddings.word_embeddings.weight, retain_graph=True
        )
        assert slope[word].abs().sum() > 0


def test_pictures_are_encoded_as_the_encoder_does() -> None:
    encoder = ImageEncoder()
    pictures = list(np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    vectors = tuning_run.encoded(encoder, encoder.load(), pictures)
    np.testing.assert_allclose(vectors, encoder.encode(pictures), rtol=1e-4, atol=1e-5)


def test_recall_counts_ties_against() -> None:
    eye = torch.eye(20)
    assert recall(eye, eye, 10) == 1
    assert recall(torch.ones(20, 4), torch.ones(20, 4), 10) == 0
    assert recall(eye, eye.roll(1, 0), 1) == 0


def test_recall_of_likes_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    objective = Objective(6, {}, contrast=0.0).eval()
    held_out, bank = (torch.from_numpy(unit_rows(rng.normal(size=(n, 6)).astype(np.float32))) for n in (30, 40))
    liked = (rng.random((9, 30)) < 0.2).astype(np.float32)
    past = (rng.random((9, 40)) < 0.2).astype(np.float32)
    past[0] = liked[1] = 0
    with torch.no_grad():
        own, known = objective.head(held_out).numpy(), objective.head(bank).numpy()
    hits = []
    for user in range(9):
        scores = own @ (past[user] @ known)
        for item in np.flatnonzero(liked[user]) if past[user].any() else []:
            ahead = (scores > scores[item]) & (liked[user] == 0)
            hits.append(ahead.sum() < 3)
    found = objective.recall_of_likes(held_out, sparse.csr_matrix(liked), bank, sparse.csr_matrix(past), k=3)
    assert found == pytest.approx(np.mean(hits))


def test_only_users_who_like_something_else_are_asked() -> None:
    liked = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32))
    users, items = likes_of(liked, np.array([0, 1, 2]), np.random.default_rng(0))
    assert sorted(zip(users.tolist(), items.tolist(), strict=True)) == [(0, 0), (0, 1), (2, 1), (2, 2)]


def test_a_damaged_checkpoint_and_a_full_disk_are_named(model: str, tmp_path: Path) -> None:
    run(model, tmp_path)
    (path,) = (tmp_path / "runs").glob(f"*/{CHECKPOINT}")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TuningError, match=r"not readable .* delete it to start the tuning anew"):
        run(model, tmp_path)
    with pytest.raises(TuningError, match=r"cannot be written .* make room and run again"):
        Checkpoint({"one": torch.zeros(2)}, [(0, {"image": 0.1})], 0).save(tmp_path / "not there" / CHECKPOINT)


def test_curves_reach_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, stop in ((0, 4), (2, 5)):  # killed after four steps of which two were kept
        curves = Curves(tmp_path, name="a", step=start, settings={})
        for step in range(start, stop):
            curves.write(step, {"loss": 10.0 * start + step})
        curves.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(0, 0), (1, 1), (2, 22), (3, 23), (4, 24)]


@pytest.mark.parametrize("chosen", [True, False])
def test_curves_reach_weights_and_biases_where_the_user_has_chosen_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: bool
) -> None:
    written: list[object] = []

    class Journal:
        def log(self, values: dict[str, float], step: int) -> None:
            written.append((step, values))

        def finish(self) -> None:
            written.append("finished")

    library = ModuleType("wandb")  # stands in for a library that wants an account
    library.init = lambda **options: Journal()
    library.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", library)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if chosen:
        monkeypatch.setenv("WANDB_MODE", "offline")
    curves = Curves(tmp_path, name="a", step=0, settings={"rank": 8})
    curves.write(1, {"loss": 2.0})
    curves.close()
    assert written == ([(1, {"loss": 2.0}), "finished"] if chosen else [])
