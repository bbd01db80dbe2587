import io
import itertools

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.signal import resample_poly
from torch import nn

from ranking.errors import UnreadableContentError
from ranking.representation import image as image_module
from ranking.representation import text_parts
from ranking.representation.audio import PATCH, AudioEncoder
from ranking.representation.efficientnet import EfficientNetLite0
from ranking.representation.image import ImageEncoder
from ranking.representation.sound import read_sound
from ranking.representation.text import TextEncoder
from ranking.representation.weights import EFFICIENTNET_LITE0
from ranking.types import Floats

TEXT, IMAGE, AUDIO = TextEncoder(), ImageEncoder(), AudioEncoder()


def cosine(left: Floats, right: Floats) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def picture_bytes(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def disc(colour: str, *, size: int = 160, at: int = 20) -> Image.Image:
    picture = Image.new("RGB", (size, size), "ivory")
    ImageDraw.Draw(picture).ellipse((at, at, at + 100, at + 100), fill=colour)
    return picture


def tone(frequency: float, *, seconds: float = 3.0, rate: int = 16_000) -> npt.NDArray[np.float32]:
    at = np.arange(int(seconds * rate)) / rate
    harmonics = [np.sin(2 * np.pi * frequency * k * at) / k for k in (1, 2, 3)]
    return (0.2 * np.sum(harmonics, axis=0)).astype(np.float32)


def sound_bytes(samples: npt.NDArray[np.float32], rate: int = 16_000, kind: str = "FLAC", **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, **options)
    return buffer.getvalue()


def reason_of(encoder: TextEncoder | ImageEncoder | AudioEncoder, content: bytes) -> str:
    with pytest.raises(UnreadableContentError) as caught:
        encoder.decode(content)
    return caught.value.reason


EDITS = st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), min_size=1, max_size=8)


def damaged(content: bytes, edits: list[tuple[int, int]]) -> bytes:
    broken = bytearray(content)
    for at, byte in edits:
        broken[at % len(broken)] = byte
    return bytes(broken)


# --- text


def test_paraphrases_lie_nearer_than_other_sentences() -> None:
    texts = [
        "A detective hunts a clever thief in Los Angeles.",
        "In L.A. a policeman chases a brilliant robber.",
        "How to bake bread at home.",
        "Baking your own loaves in the kitchen.",
    ]
    vectors = TEXT.encode(texts)
    assert vectors.shape == (4, TEXT.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similarity = vectors @ vectors.T
    assert min(similarity[0, 1], similarity[2, 3]) > similarity[:2, 2:].max() + 0.3


def test_a_text_has_the_same_vector_alone_and_in_a_batch() -> None:
    texts = [("word " * n).strip() for n in (1, 90, 3, 40, 7)]
    batch = TEXT.encode(texts)
    alone = np.vstack([TEXT.encode([text]) for text in texts])
    np.testing.assert_allclose(batch, alone, atol=1e-5)


def test_a_long_text_is_the_mean_of_its_parts_weighted_by_their_tokens() -> None:
    one, other = "garden " * 126, "submarine " * 60  # a part is 126 words and marks for begin and end
    parts = TEXT.encode([one, other])
    expected = 128 * parts[0] + 62 * parts[1]
    (vector,) = TEXT.encode([one + other])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_of_a_very_long_text_the_end_counts_as_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_parts, "MAX_PARTS", 4)
    filler = "garden " * 126 * 7
    plain, begun, ended = TEXT.encode([filler, "submarine " * 126 + filler, filler + "submarine " * 126])
    assert cosine(begun, ended) > 0.99999
    assert cosine(plain, ended) < 0.9999


@pytest.mark.parametrize("text", ["word " * 200_000, "x" * 1_000_000, "مرحبا بالعالم", "🎬🎵", "a\x00b", "\u202eabc"])
def test_odd_texts_have_a_unit_vector(text: str) -> None:
    (vector,) = TEXT.encode([TEXT.decode(text.encode())])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_no_text_gives_no_vector() -> None:
    assert TEXT.encode([]).shape == (0, TEXT.dim)
    assert reason_of(TEXT, b" \n") == "blank_text"


# --- pictures


def test_like_pictures_lie_nearer_than_unlike_ones() -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (160, 160, 3), dtype=np.uint8))
    pictures = [disc("crimson"), disc("crimson", at=35), noise]
    vectors = IMAGE.encode([IMAGE.decode(picture_bytes(picture)) for picture in pictures])
    assert vectors.shape == (3, IMAGE.dim)
    assert (vectors >= 0).all()
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.3


def test_a_picture_has_the_same_vector_alone_and_in_a_batch() -> None:
    pictures = [IMAGE.decode(picture_bytes(disc("navy", at=at))) for at in range(0, 50, 5)]
    alone = np.vstack([IMAGE.encode([picture]) for picture in pictures])
    np.testing.assert_allclose(IMAGE.encode(pictures), alone, atol=1e-4)


def test_folded_convolutions_equal_batch_normalisation_after_them() -> None:
    (name,) = EFFICIENTNET_LITE0.files
    state = torch.load(EFFICIENTNET_LITE0.folder() / name, weights_only=True)
    network = EfficientNetLite0.from_state(state)
    conv, norm = nn.Conv2d(24, 144, 1, bias=False), nn.BatchNorm2d(144, eps=1e-3)
    conv.load_state_dict({"weight": state["_blocks.2._expand_conv.weight"]})
    norm.load_state_dict({key: state[f"_blocks.2._bn0.{key}"] for key in norm.state_dict()})
    x = torch.randn(2, 24, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network.blocks[2].expand(x), norm.eval()(conv(x)), atol=1e-4, rtol=1e-4)


def test_the_published_classifier_takes_an_orange_disc_for_a_ping_pong_ball() -> None:
    (name,) = EFFICIENTNET_LITE0.files
    state = torch.load(EFFICIENTNET_LITE0.folder() / name, weights_only=True)
    features = torch.from_numpy(IMAGE.encode([IMAGE.decode(picture_bytes(disc("orange")))]) ** 2)
    logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    assert logits.argmax().item() == 722  # ImageNet's "ping-pong ball"


def test_pictures_stand_upright_as_their_exif_says() -> None:
    upright = disc("teal", at=0)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    shown = IMAGE.decode(picture_bytes(turned, exif=exif))
    np.testing.assert_array_equal(shown, IMAGE.decode(picture_bytes(upright)))


def test_transparency_shows_white() -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert (IMAGE.decode(picture_bytes(clear)) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_common_formats_are_read(kind: str, mode: str) -> None:
    if (kind, mode) in {("JPEG", "P"), ("WEBP", "P")}:
        pytest.skip(f"{kind} holds no palette")
    assert IMAGE.decode(picture_bytes(disc("black").convert(mode), kind)).shape == (224, 224, 3)


def test_a_gray_picture_of_16_bits_keeps_its_shades() -> None:
    shades = np.linspace(0, 255, 64, dtype=np.uint8).reshape(8, 8).repeat(8, 0).repeat(8, 1)
    deep = IMAGE.decode(picture_bytes(Image.fromarray(shades.astype(np.uint16) * 256)))
    np.testing.assert_allclose(deep.astype(int), IMAGE.decode(picture_bytes(Image.fromarray(shades))), atol=1)


def test_the_first_picture_of_an_animation_and_the_colours_of_cmyk_are_seen() -> None:
    frames = [Image.new("RGB", (50, 50), colour) for colour in ("red", "blue")]
    animation = picture_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    printed = picture_bytes(Image.new("CMYK", (60, 50), (0, 255, 255, 0)), "JPEG")
    for content in (animation, printed):
        np.testing.assert_allclose(IMAGE.decode(content).mean((0, 1)), [255, 0, 0], atol=3)


def test_what_is_no_whole_picture_is_unreadable() -> None:
    jpeg = picture_bytes(disc("green"), "JPEG")
    for content in (b"", b"just some text", jpeg[: len(jpeg) // 2], jpeg[:20], sound_bytes(tone(440))):
        assert reason_of(IMAGE, content) == "unreadable_image"


@pytest.mark.parametrize("size", [(50_000, 20), (20, 50_000)])
def test_a_picture_of_50_000_pixels_in_a_line_is_read(size: tuple[int, int]) -> None:
    assert IMAGE.decode(picture_bytes(Image.new("RGB", size, "red"))).shape == (224, 224, 3)


def test_a_wide_picture_with_too_many_pixels_is_refused() -> None:
    assert reason_of(IMAGE, picture_bytes(Image.new("1", (50_000, 2_000)))) == "oversized_image"


def test_a_picture_with_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100 * 100)
    assert reason_of(IMAGE, picture_bytes(Image.new("1", (101, 100)))) == "oversized_image"


PICTURES = [picture_bytes(disc("olive", size=120), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on damaged EXIF data
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # it is refused after the remark
@settings(max_examples=150)
@given(st.sampled_from(PICTURES), EDITS)
def test_damaged_pictures_raise_nothing_but_unreadable(content: bytes, edits: list[tuple[int, int]]) -> None:
    try:
        assert IMAGE.decode(damaged(content, edits)).shape == (224, 224, 3)
    except UnreadableContentError as error:
        assert error.reason in {"unreadable_image", "oversized_image"}


# --- sounds


def test_like_sounds_lie_nearer_than_unlike_ones() -> None:
    rng = np.random.default_rng(0)
    hiss = rng.normal(0, 0.1, 48_000).astype(np.float32)
    sounds = [tone(220), tone(233), hiss]
    vectors = AUDIO.encode([AUDIO.decode(sound_bytes(sound)) for sound in sounds])
    assert vectors.shape == (3, AUDIO.dim)
    assert np.isfinite(vectors).all()
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.2


def test_a_sound_has_the_same_vector_alone_and_in_a_batch() -> None:
    sounds = [AUDIO.decode(sound_bytes(tone(f, seconds=s))) for f, s in ((110, 3), (330, 7), (880, 1))]
    assert [len(patches) for patches in sounds] == [1, 2, 1]
    alone = np.vstack([AUDIO.encode([sound]) for sound in sounds])
    np.testing.assert_allclose(AUDIO.encode(sounds), alone, atol=1e-4)


def test_rate_channels_and_format_hardly_change_a_sound() -> None:
    vectors = [AUDIO.encode([AUDIO.decode(sound_bytes(tone(262)))])[0]]
    left = tone(262, rate=44_100)
    for kind in ("WAV", "FLAC", "OGG", "MP3"):
        vectors.append(AUDIO.encode([AUDIO.decode(sound_bytes(np.stack([left, left], 1), 44_100, kind))])[0])
    for one, other in itertools.combinations(vectors, 2):
        assert cosine(one, other) > 0.95


def test_of_a_long_sound_beginning_middle_and_end_are_heard() -> None:
    pieces = [tone(frequency, seconds=10) for frequency in (200, 300, 400, 500, 600)]
    long = sound_bytes(np.concatenate(pieces))
    heard = sound_bytes(np.concatenate([pieces[0], pieces[2], pieces[4]]))
    np.testing.assert_array_equal(AUDIO.decode(long), AUDIO.decode(heard))
    whole = sound_bytes(np.concatenate(pieces[:3]))  # thirty seconds
    np.testing.assert_array_equal(AUDIO.decode(whole).reshape(-1, 96)[:500], AUDIO.decode(long).reshape(-1, 96)[:500])


def test_resampling_is_that_of_scipy() -> None:
    signal = tone(262, rate=44_100)
    read = read_sound(sound_bytes(signal, 44_100, "WAV", subtype="FLOAT"), 16_000)
    np.testing.assert_allclose(read, resample_poly(signal, 160, 441), atol=1e-6)


def test_a_short_sound_fills_a_patch_with_silence() -> None:
    (patch,) = AUDIO.decode(sound_bytes(tone(440, seconds=0.5)))
    frames = 1 + 8_000 // 256
    assert patch.shape == (PATCH, 96)
    assert patch[:frames].any(axis=1).all()
    assert not patch[frames:].any()


def test_what_is_no_whole_sound_is_unreadable() -> None:
    flac = sound_bytes(tone(440))
    not_numbers = sound_bytes(np.full(1_000, np.nan, np.float32), kind="WAV", subtype="FLOAT")
    too_fast = sound_bytes(tone(440), rate=400_000, kind="WAV")
    for content in (b"", b"text renamed to .flac", flac[: len(flac) // 2], flac[:60], not_numbers, too_fast):
        assert reason_of(AUDIO, content) == "unreadable_audio"


@pytest.mark.parametrize(("samples", "rate", "channels"), [(1, 16_000, 1), (192_000, 96_000, 8)])
def test_odd_sounds_are_read(samples: int, rate: int, channels: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (samples, channels)).astype(np.float32)
    assert AUDIO.decode(sound_bytes(noise, rate, "WAV")).shape == (1, PATCH, 96)


@pytest.mark.parametrize("samples", [0, 16_000])
def test_silence_is_told_apart(samples: int) -> None:
    assert reason_of(AUDIO, sound_bytes(np.zeros(samples, np.float32), kind="WAV")) == "silent_audio"


SOUNDS = [sound_bytes(tone(440, seconds=0.3), kind=kind) for kind in ("FLAC", "WAV", "OGG", "MP3")]


@settings(max_examples=150)
@given(st.sampled_from(SOUNDS), EDITS)
def test_damaged_sounds_raise_nothing_but_unreadable(content: bytes, edits: list[tuple[int, int]]) -> None:
    try:
        assert AUDIO.decode(damaged(content, edits)).shape[1:] == (PATCH, 96)
    except UnreadableContentError as error:
        assert error.reason in {"unreadable_audio", "silent_audio"}
