"""Encoders of models that transformers knows, made here with random weights and saved to a folder."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTModel,
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from feature_repo.settings import TextPooling
from ranking.errors import EncoderError, UnreadableContentError
from ranking.representation.pretrained_audio import PretrainedAudioEncoder
from ranking.representation.pretrained_image import PretrainedImageEncoder
from ranking.representation.pretrained_text import PretrainedTextEncoder

WORDS = [f"w{n}" for n in range(40)]
TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def tokenizer(*, marks: bool) -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS]
    vocabulary = {word: n for n, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if not marks:
        return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="[SEP]", unk_token="[UNK]", model_max_length=32)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "bert"
    BertModel(BertConfig(vocab_size=44, max_position_embeddings=64, **TINY)).save_pretrained(folder)
    tokenizer(marks=True).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "gpt"
    GPT2Model(GPT2Config(vocab_size=44, n_positions=64, n_embd=16, n_layer=2, n_head=2)).save_pretrained(folder)
    tokenizer(marks=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "clip"
    text = TINY | {"vocab_size": 44, "max_position_embeddings": 64, "eos_token_id": 2, "bos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config=TINY | {"image_size": 32, "patch_size": 8}, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    tokenizer(marks=True).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def picture(**options: object) -> bytes:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def sound(seconds: float, *, rate: int = 16_000, channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).normal(0, 0.1, (max(round(seconds * rate), 1), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV")
    return buffer.getvalue()


@pytest.mark.parametrize("pooling", TextPooling)
def test_a_text_is_pooled_as_asked(bert: Path, pooling: TextPooling) -> None:
    encoder = PretrainedTextEncoder(str(bert), pooling=pooling)
    (vector,) = encoder.encode(["w1 w2 w3"])
    ids = torch.tensor([[1, 5, 6, 7, 2]])  # [CLS] w1 w2 w3 [SEP]
    with torch.inference_mode():
        hidden = BertModel.from_pretrained(bert).eval()(input_ids=ids).last_hidden_state[0]
    expected = {TextPooling.MEAN: hidden.mean(0), TextPooling.CLS: hidden[0], TextPooling.LAST: hidden[-1]}[pooling]
    np.testing.assert_allclose(vector, (expected / expected.norm()).numpy(), atol=1e-5)


def test_a_gpt_without_padding_encodes_texts_alone_as_together(gpt: Path) -> None:
    encoder = PretrainedTextEncoder(str(gpt), pooling=TextPooling.LAST)
    texts = ["w1", "w2 " * 80, "w3 w4"]
    alone = np.vstack([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode(texts), alone, atol=1e-5)


def test_what_comes_late_in_a_long_text_counts(bert: Path) -> None:
    encoder = PretrainedTextEncoder(str(bert))
    same, other = encoder.encode(["w1 " * 100, "w1 " * 99 + "w30"])
    assert not np.allclose(same, other, atol=1e-4)
    part, whole = encoder.encode(["w1 " * 30, "w1 " * 60])  # two parts that are the same
    np.testing.assert_allclose(part, whole, atol=1e-5)


@pytest.mark.parametrize("text", ["w1 " * 350_000, "مرحبا بالعالم", "🎬🎵", "w1\x00w2"])
def test_odd_texts_have_a_unit_vector(bert: Path, text: str) -> None:
    encoder = PretrainedTextEncoder(str(bert))
    (vector,) = encoder.encode([encoder.decode(text.encode())])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_an_id_names_weights_pooling_and_prefix(bert: Path, gpt: Path) -> None:
    ids = [
        PretrainedTextEncoder(str(bert)).id,
        PretrainedTextEncoder(str(bert), pooling=TextPooling.CLS).id,
        PretrainedTextEncoder(str(bert), prefix="query: ").id,
        PretrainedTextEncoder(str(gpt)).id,
    ]
    assert len(set(ids)) == 4
    assert PretrainedTextEncoder(str(bert)).id == ids[0]
    assert all("/" not in one for one in ids)


def test_text_and_picture_of_a_joint_model_lie_in_one_space(clip: Path) -> None:
    text, image = PretrainedTextEncoder(str(clip)), PretrainedImageEncoder(str(clip))
    assert text.dim == image.dim == 12
    (vector,) = image.encode([image.decode(picture())])
    pixels = CLIPImageProcessor.from_pretrained(clip)(images=Image.open(io.BytesIO(picture())), return_tensors="pt")
    with torch.inference_mode():
        model = CLIPModel.from_pretrained(clip).eval()
        expected = model.visual_projection(model.vision_model(**pixels).pooler_output)[0]
    np.testing.assert_allclose(vector, (expected / expected.norm()).numpy(), atol=1e-5)
    assert text.encode(["w1 w2"]).shape == (1, 12)


@pytest.mark.parametrize(("model", "config"), [(ViTModel, ViTConfig), (Dinov2Model, Dinov2Config)])
def test_a_picture_is_the_first_token_of_a_vision_model(tmp_path: Path, model: type, config: type) -> None:
    model(config(image_size=32, patch_size=8, **TINY)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    encoder = PretrainedImageEncoder(str(tmp_path))
    (vector,) = encoder.encode([encoder.decode(picture())])
    pixels = ViTImageProcessor.from_pretrained(tmp_path)(images=Image.open(io.BytesIO(picture())), return_tensors="pt")
    with torch.inference_mode():
        expected = model.from_pretrained(tmp_path).eval()(**pixels).last_hidden_state[0, 0]
    np.testing.assert_allclose(vector, (expected / expected.norm()).numpy(), atol=1e-5)


def wav2vec2(folder: Path) -> None:
    sizes = TINY | {"conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (80, 4)}
    config = Wav2Vec2Config(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, **sizes)
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def whisper(folder: Path) -> None:
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 20, "num_mel_bins": 80}
    marks = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    WhisperModel(WhisperConfig(**layers, **sizes, **marks)).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def ast(folder: Path) -> None:
    ASTModel(ASTConfig(max_length=1024, num_mel_bins=128, **TINY)).save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)


@pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")  # of AST's own front end
@pytest.mark.parametrize("make", [wav2vec2, whisper, ast])
def test_any_sound_model_gives_a_unit_vector(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    encoder = PretrainedAudioEncoder(str(tmp_path))
    sounds = [sound(12), sound(2, rate=96_000, channels=8), sound(0)]  # the last one has a single sample
    vectors = encoder.encode([encoder.decode(one) for one in sounds])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with pytest.raises(UnreadableContentError, match="nothing is heard"):
        encoder.decode(sound(1).replace(sound(1)[44:], bytes(len(sound(1)) - 44)))


def test_a_folder_without_weights_is_named(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(EncoderError, match="without weights; it must hold"):
        PretrainedTextEncoder(str(tmp_path))
    with pytest.raises(EncoderError, match="no such folder"):
        PretrainedTextEncoder(str(tmp_path / "absent"))


def test_an_unknown_architecture_is_named(bert: Path, tmp_path: Path) -> None:
    config = json.loads((bert / "config.json").read_text()) | {"model_type": "telepathy"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
    with pytest.raises(EncoderError, match=r"AutoConfig cannot load it .*telepathy"):
        PretrainedTextEncoder(str(tmp_path))


def test_a_hub_name_without_network_fails_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def unreachable(self: object, repository: str, **_: object) -> None:
        asked.append(repository)
        raise ConnectionError("[Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(EncoderError, match=r"owner/none'.*hub cannot be reached.*give a local folder"):
        PretrainedTextEncoder("owner/none")
    assert asked == ["owner/none"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="HF_HUB_OFFLINE is set"):
        PretrainedTextEncoder("owner/none")
    assert asked == ["owner/none"]
