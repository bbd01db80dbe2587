"""Adapters in networks of every family, made here with random weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTModel,
)

from feature_repo.schema import Modality
from ranking.errors import ArtifactError, EncoderError
from ranking.representation.adapters import (
    DESCRIPTION,
    WEIGHTS,
    Adapter,
    adapted,
    adapter_id,
    adapter_state,
    attach,
    save_adapter,
    targets,
)
from ranking.representation.image import ImageEncoder
from ranking.representation.pretrained_text import PretrainedTextEncoder
from ranking.representation.tuned import AdapterKind

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
PICTURE = TINY | {"image_size": 16, "patch_size": 8}
TEXT = TINY | {"vocab_size": 44, "max_position_embeddings": 64}
IDS = torch.tensor([[1, 5, 6, 7, 2]])


def bert() -> nn.Module:
    torch.manual_seed(0)
    return BertModel(BertConfig(**TEXT)).eval()


def gpt() -> nn.Module:
    torch.manual_seed(0)
    return GPT2Model(GPT2Config(vocab_size=44, n_positions=64, n_embd=16, n_layer=2, n_head=2)).eval()


def clip() -> nn.Module:
    text = TEXT | {"eos_token_id": 2, "bos_token_id": 1}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=PICTURE, projection_dim=12))


def distilbert() -> nn.Module:
    return DistilBertModel(DistilBertConfig(vocab_size=44, dim=16, n_layers=2, n_heads=2, hidden_dim=24))


FAMILIES = {
    "bert": (bert, Modality.TEXT, {"query", "value"}, {"dense"}),
    "distilbert": (distilbert, Modality.TEXT, {"q_lin", "v_lin"}, {"out_lin", "lin2"}),
    "gpt": (gpt, Modality.TEXT, {"c_attn"}, {"c_proj"}),
    "clip": (clip, Modality.TEXT, {"q_proj", "v_proj"}, {"out_proj", "fc2"}),
    "clip's pictures": (clip, Modality.IMAGE, {"q_proj", "v_proj"}, {"out_proj", "fc2"}),
    "vit": (lambda: ViTModel(ViTConfig(**PICTURE)), Modality.IMAGE, None, None),
    "dinov2": (lambda: Dinov2Model(Dinov2Config(**PICTURE)), Modality.IMAGE, None, None),
    "siglip": (
        lambda: SiglipVisionModel(SiglipVisionConfig(**PICTURE)),
        Modality.IMAGE,
        {"q_proj", "v_proj"},
        {"out_proj", "fc2"},
    ),
}


def filled(adapter: Adapter, network: nn.Module) -> dict[str, Tensor]:
    """Put an adapter into a network and give it weights as if it had learned."""
    attach(network, adapter)
    torch.manual_seed(1)
    state = adapter_state(network)
    for one in state.values():
        one.normal_(0, 0.3)
    return state


def hidden(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        return network.eval()(input_ids=IDS).last_hidden_state.clone()


def adapter_of(network: nn.Module, kind: AdapterKind) -> Adapter:
    return Adapter(kind, Modality.TEXT, "tiny", 4, 2, targets(network, kind, Modality.TEXT))


@pytest.mark.parametrize("kind", AdapterKind)
@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_familys_own_in_each_layer(family: str, kind: AdapterKind) -> None:
    make, modality, attention, ends = FAMILIES[family]
    names = targets(make(), kind, modality)
    wanted = ends if kind is AdapterKind.BOTTLENECK else attention
    assert {part for name in names for part in name.split(".") if part.isdigit()} == {"0", "1"}
    assert wanted is None or {name.rpartition(".")[2] for name in names} == wanted
    if kind is AdapterKind.BOTTLENECK:
        assert len(names) == (5 if family == "siglip" else 4)  # it has one more feed-forward layer in its head
    else:
        assert len(names) == (2 if family == "gpt" else 4)
    other = "vision" if modality is Modality.TEXT else "text"
    assert not any(other in name for name in names)
    assert targets(make(), kind, modality, share=0.5) == names[len(names) // 2 :]


def test_a_network_without_known_layers_is_refused() -> None:
    with pytest.raises(EncoderError, match="no layer is known that lora could adapt"):
        targets(nn.Sequential(nn.Linear(2, 2)), AdapterKind.LORA, Modality.TEXT)


@pytest.mark.parametrize("kind", AdapterKind)
@pytest.mark.parametrize("make", [bert, gpt])
def test_an_adapter_begins_without_effect_and_alone_is_trained(
    make: Callable[[], nn.Module], kind: AdapterKind
) -> None:
    network = make()
    before = hidden(network)
    attach(network, adapter_of(network, kind))
    torch.testing.assert_close(hidden(network), before, rtol=0, atol=0)
    trained = {name for name, one in network.named_parameters() if one.requires_grad}
    assert trained == set(adapter_state(network))


@pytest.mark.parametrize("kind", AdapterKind)
@pytest.mark.parametrize("make", [bert, gpt])
def test_a_saved_adapter_gives_the_vectors_that_it_was_trained_to(
    make: Callable[[], nn.Module], kind: AdapterKind, tmp_path: Path
) -> None:
    network = make()
    adapter = adapter_of(network, kind)
    save_adapter(tmp_path, adapter, filled(adapter, network))
    bent = hidden(network)
    assert not torch.allclose(bent, hidden(make()), atol=1e-2)
    again = adapted(make(), tmp_path, "tiny")
    torch.testing.assert_close(hidden(again), bent, rtol=1e-4, atol=1e-5)
    if kind is not AdapterKind.BOTTLENECK:  # merged: no layer more than before
        assert {name for name, _ in again.named_modules()} == {name for name, _ in make().named_modules()}


def test_lora_adds_a_product_of_low_rank_to_the_weights(tmp_path: Path) -> None:
    network = bert()
    adapter = adapter_of(network, AdapterKind.LORA)
    state = filled(adapter, network)
    save_adapter(tmp_path, adapter, state)
    name = adapter.targets[0]
    plain, bent = (
        bert().get_parameter(f"{name}.weight"),
        adapted(bert(), tmp_path, "tiny").get_parameter(f"{name}.weight"),
    )
    product = state[f"{name}.lora_B.default.weight"] @ state[f"{name}.lora_A.default.weight"]
    torch.testing.assert_close(bent, plain + 2 * product)
    assert torch.linalg.matrix_rank(bent - plain, tol=1e-5) == 4


@pytest.mark.parametrize("kind", AdapterKind)
def test_the_packaged_picture_network_takes_each_kind(kind: AdapterKind, tmp_path: Path) -> None:
    encoder = ImageEncoder()
    network = encoder.load()
    names = targets(network, kind, Modality.IMAGE, share=0.2)
    adapter = Adapter(kind, Modality.IMAGE, encoder.id, 4, 2, names)
    save_adapter(tmp_path, adapter, filled(adapter, network))
    picture = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network.eval()(pictures=torch.from_numpy(picture)).numpy()
    tuned = ImageEncoder(adapter=tmp_path)
    np.testing.assert_allclose(tuned.encode(picture), expected, rtol=1e-3, atol=1e-4)
    assert tuned.id == f"{encoder.id}-adapter{adapter_id(tmp_path)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text model with a tokenizer."""
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *(f"w{n}" for n in range(42))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    place = tmp_path / "model"
    bert().save_pretrained(place)
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    ).save_pretrained(place)
    return place


def test_an_encoder_with_an_adapter_is_another_one(folder: Path, tmp_path: Path) -> None:
    plain = PretrainedTextEncoder(str(folder))
    network = plain.load()
    adapter = Adapter(
        AdapterKind.LORA, Modality.TEXT, plain.id, 4, 2, targets(network, AdapterKind.LORA, Modality.TEXT)
    )
    place = tmp_path / "adapter"
    place.mkdir()
    save_adapter(place, adapter, filled(adapter, network))
    tuned = PretrainedTextEncoder(str(folder), adapter=place)
    assert tuned.id == f"{plain.id}-adapter{adapter_id(place)}"
    assert not np.allclose(tuned.encode(["w1 w2"]), plain.encode(["w1 w2"]), atol=1e-2)
    with pytest.raises(EncoderError, match=f"was tuned for the encoder {plain.id}, chosen is .*cls"):
        PretrainedTextEncoder(str(folder), pooling="cls", adapter=place).encode(["w1"])


def test_an_adapters_id_changes_with_every_byte(tmp_path: Path) -> None:
    network = bert()
    adapter = adapter_of(network, AdapterKind.LORA)
    state = filled(adapter, network)
    ids = set()
    for number in range(2):
        next(iter(state.values()))[0, 0] += number
        save_adapter(tmp_path, adapter, state)
        ids.add(adapter_id(tmp_path))
    (tmp_path / DESCRIPTION).write_text((tmp_path / DESCRIPTION).read_text() + " ")
    assert len(ids | {adapter_id(tmp_path)}) == 3


def test_a_folder_without_an_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"adapter.safetensors cannot be read .*`trichord tune encoder` wrote"):
        ImageEncoder(adapter=tmp_path)


@pytest.mark.parametrize("damage", ["weights cut off", "description cut off", "other rank", "other network"])
def test_a_damaged_adapter_is_refused(damage: str, tmp_path: Path) -> None:
    network = bert()
    adapter = adapter_of(network, AdapterKind.LORA)
    save_adapter(tmp_path, adapter, filled(adapter, network))
    if damage == "weights cut off":
        (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:500])
    elif damage == "description cut off":
        (tmp_path / DESCRIPTION).write_text("{")
    elif damage == "other rank":
        (tmp_path / DESCRIPTION).write_text((tmp_path / DESCRIPTION).read_text().replace('"rank": 4', '"rank": 5'))
    with pytest.raises((EncoderError, ArtifactError)):
        adapted(gpt() if damage == "other network" else bert(), tmp_path, "tiny")
