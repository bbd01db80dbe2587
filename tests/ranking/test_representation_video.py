import io
import struct
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ranking.errors import UnreadableContentError
from ranking.representation import sound_track, video, video_frames
from ranking.representation.sound_track import read_sound_track
from ranking.representation.video_frames import evenly, read_frames

RATE = 16_000
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "yellow": (220, 220, 20)}


def plain(name, size=(64, 48)):
    return np.full((size[1], size[0], 3), COLOURS[name], np.uint8)


def film(
    pictures: Sequence[np.ndarray],
    *,
    container="mp4",
    codec="mpeg4",
    times_ms: Sequence[int] | None = None,
    sound: np.ndarray | None = None,
    sound_codec="pcm_s16le",
    gop=12,
    options=None,
):
    """A video of these pictures, twenty a second unless their times are given; sound: float32 [channels, n]."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as out:
        if len(pictures):
            stream = out.add_stream(codec, rate=20)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
            stream.codec_context.gop_size = gop
            if times_ms:
                stream.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            track = out.add_stream(sound_codec, rate=RATE)
            track.layout = "mono" if len(sound) == 1 else "stereo"
            spoken = (sound.T.reshape(1, -1) * 32767).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(spoken, format="s16", layout=track.layout.name)
            samples.sample_rate, samples.pts = RATE, 0
            out.mux([*track.encode(samples), *track.encode()])
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (times_ms[number] if times_ms else number * 50), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        if len(pictures):
            out.mux(stream.encode())
    return file.getvalue()


def scenes(*lengths, names=tuple(COLOURS)):
    return [plain(name) for name, length in zip(names, lengths, strict=False) for _ in range(length)]


def sine(hertz, seconds=2.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)[None]


def colour(picture):
    """The name of the nearest colour."""
    return min(COLOURS, key=lambda name: np.abs(picture.reshape(-1, 3).mean(0) - COLOURS[name]).sum())


def seen(content):
    return [colour(frame.picture) for frame in read_frames(content)]


def refusal(content, read=read_frames):
    with pytest.raises(UnreadableContentError) as error:
        read(content)
    return error.value.reason, str(error.value)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "libx264"),
        ("mp4", "mpeg4"),
        ("mov", "mpeg4"),
        ("matroska", "ffv1"),
        ("webm", "libvpx-vp9"),
        ("avi", "mpeg4"),
    ],
)
def test_every_scene_is_seen_in_order(container, codec):
    frames = read_frames(film(scenes(20, 20, 20, 20), container=container, codec=codec))
    assert list(dict.fromkeys(colour(frame.picture) for frame in frames)) == list(COLOURS)
    assert [frame.time for frame in frames] == sorted({frame.time for frame in frames})
    assert video_frames.EVEN <= len(frames) <= video_frames.EVEN + video_frames.SCENES


def test_a_scene_too_short_for_even_frames_is_found_by_its_change():
    pictures = scenes(100, 2, 98, names=("red", "green", "red"))
    assert seen(film(pictures)).count("green") == 1
    assert "green" not in [colour(pictures[place]) for place in evenly(list(range(200)), 199, video_frames.EVEN)]


def test_the_largest_changes_begin_the_further_frames():
    names = [name for flash in ("green", "blue", "yellow", "green", "blue", "yellow") for name in ("red", flash)]
    lengths = [length for start in (10, 35, 35, 35, 35, 35) for length in (start, 2)]
    frames = read_frames(film(scenes(*lengths, 14, names=(*names, "red"))))
    flashes = [frame for frame in frames if colour(frame.picture) != "red"]
    assert 4 <= len(flashes) <= 6
    assert len(frames) <= video_frames.EVEN + video_frames.SCENES
    assert all(frame.change >= video_frames.CUT for frame in flashes)


def test_a_flickering_video_gives_no_more_frames_than_stated():
    frames = read_frames(film(scenes(*[1] * 60, names=("red", "blue") * 30)))
    assert len(frames) <= video_frames.EVEN + video_frames.SCENES


def test_a_still_video_is_seen_evenly():
    times = [frame.time for frame in read_frames(film(scenes(160)))]
    assert times == pytest.approx(np.arange(8) + 0.5, abs=0.4)


def test_frames_stand_for_the_time_that_they_are_shown():
    times = [0, 9_000, 9_050, 9_100, 9_150, 10_000]
    frames = read_frames(film(scenes(1, 5), container="matroska", codec="ffv1", times_ms=times))
    assert [frame.time for frame in frames] == [0.0, 9.15]
    assert [colour(frame.picture) for frame in frames] == ["red", "green"]


def test_one_frame_is_enough():
    assert seen(film(scenes(1))) == ["red"]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40, unique=True), st.floats(0, 50), st.integers(1, 12))
def test_even_frames_are_those_shown_in_the_middle_of_equal_parts(times, more, n):
    times = sorted(times)
    end = times[-1] + more
    middles = [times[0] + (end - times[0]) * (part + 0.5) / n for part in range(n)]
    shown = [max(place for place, time in enumerate(times) if time <= middle) for middle in middles]
    assert evenly(times, end, n) == sorted(set(shown))


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_long_video_is_known_by_its_keyframes(codec, monkeypatch):
    monkeypatch.setattr(video_frames, "LOOKED_AT", 50)
    content = film(scenes(40, 40, 40, 40), codec=codec, gop=8)
    frames = read_frames(content)
    assert list(dict.fromkeys(colour(frame.picture) for frame in frames)) == list(COLOURS)
    assert all(round(frame.time * 20) % 8 == 0 for frame in frames)
    assert len(frames) >= video_frames.EVEN


def test_a_video_that_does_not_say_how_long_it_is_is_seen_to_its_end(monkeypatch):
    content = film(scenes(40, 40, 40, 40), container="matroska", codec="mpeg4", gop=8, options={"live": "1"})
    with av.open(io.BytesIO(content)) as container:
        assert container.duration is None
    assert list(dict.fromkeys(seen(content))) == list(COLOURS)
    monkeypatch.setattr(video_frames, "LOOKED_AT", 50)
    assert list(dict.fromkeys(seen(content))) == list(COLOURS)


def test_a_video_is_turned_as_its_file_says():
    upper, lower = plain("red", (64, 24)), plain("blue", (64, 24))
    content = film([np.vstack([upper, lower])] * 5)
    at = content.index(b"tkhd") + 4 + 40  # ISO 14496-12: the matrix of a track header of version 0
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    picture = read_frames(content[:at] + clockwise + content[at + 36 :])[0].picture
    assert picture.shape == (64, 48, 3)
    assert (colour(picture[:, :20]), colour(picture[:, 28:])) == ("blue", "red")


def test_large_frames_are_scaled_down():
    assert read_frames(film([plain("red", (1280, 720))] * 2))[0].picture.shape == (288, 512, 3)


def test_huge_frames_are_refused(monkeypatch):
    content = film(scenes(3))
    monkeypatch.setattr(video_frames, "MAX_PIXELS", 64 * 48 - 1)
    reason, message = refusal(content)
    assert reason == "oversized_video"
    assert "64 x 48 pixels; at most 3,071" in message


def test_a_header_that_states_less_than_the_frames_have_is_of_no_use(monkeypatch):
    content = film(scenes(5))
    monkeypatch.setattr(video_frames, "_check_size", lambda stream: None)
    monkeypatch.setattr(video_frames, "MAX_PIXELS", 64 * 48 - 1)
    assert refusal(content)[0] == "unreadable_video"


@pytest.mark.parametrize("read", [read_frames, read_sound_track])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 2_000,
        b"no video at all" * 100,
        b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"RIFF\x24\x00\x00\x00WAVEfmt " + b"\0" * 100,
    ],
    ids=["empty", "zeros", "text", "playlist", "list of files", "a torn sound"],
)
def test_what_is_no_video_is_one_clear_line(content, read):
    reason, message = refusal(content, read)
    assert reason == "unreadable_video"
    assert "accepted: MP4, MOV, WEBM, MKV, AVI" in message
    assert "\n" not in message


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_truncated_video_is_refused(container):
    content = film(scenes(40, 40), container=container)
    assert refusal(content[: len(content) * 2 // 5])[0] == "unreadable_video"


def test_a_few_damaged_frames_do_no_harm():
    content = bytearray(film(scenes(20, 20, 20, 20), codec="libx264"))
    content[len(content) // 2 : len(content) // 2 + 20] = bytes(20)
    assert set(seen(bytes(content))) == set(COLOURS)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "mpeg4"), ("avi", "mpeg4")])
def test_whatever_is_in_a_file_is_read_or_refused(container, codec):
    whole = np.frombuffer(film(scenes(4, 4), container=container, codec=codec, sound=sine(440, 0.4)), np.uint8)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        torn = whole.copy()
        torn[rng.integers(0, len(torn), 1 + seed)] = rng.integers(0, 256, 1 + seed)
        for read in (read_frames, read_sound_track):
            try:
                assert len(read(torn.tobytes())) > 0
            except UnreadableContentError as error:
                assert error.reason in {"unreadable_video", "oversized_video", "silent_video"}


def test_a_video_that_takes_too_long_is_given_up(monkeypatch):
    content = film(scenes(5), container="mov", sound=sine(440))
    monkeypatch.setattr(video, "DECODE_S", -1.0)
    assert refusal(content)[0] == "slow_video"
    assert refusal(content, read_sound_track)[0] == "slow_video"


def test_a_file_with_sound_alone_has_no_frames():
    reason, message = refusal(film([], container="mov", sound=sine(440)))
    assert reason == "unreadable_video"
    assert "holds no pictures" in message


@pytest.mark.parametrize("container", ["mov", "matroska", "avi"])
def test_the_sound_track_is_heard_as_it_was_recorded(container):
    samples, rate = soundfile.read(io.BytesIO(read_sound_track(film(scenes(40), container=container, sound=sine(440)))))
    assert (rate, samples.shape) == (RATE, (2 * RATE,))
    np.testing.assert_allclose(samples, sine(440)[0], atol=1e-4)


def test_a_compressed_sound_track_keeps_its_tone():
    content = film(scenes(40), sound=sine(440), sound_codec="aac")
    samples, rate = soundfile.read(io.BytesIO(read_sound_track(content)))
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * rate / len(samples) == pytest.approx(440, abs=1)


def test_channels_are_averaged():
    content = film(scenes(40), container="mov", sound=np.vstack([sine(440), np.zeros_like(sine(440))]))
    samples, _ = soundfile.read(io.BytesIO(read_sound_track(content)))
    np.testing.assert_allclose(samples, sine(440)[0] / 2, atol=1e-4)


def test_a_long_sound_track_is_read_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(sound_track, "SECONDS", 1)
    samples, _ = soundfile.read(io.BytesIO(read_sound_track(film([], container="mov", sound=sine(440)))))
    assert len(samples) == RATE


def test_a_video_without_sound_says_so():
    reason, message = refusal(film(scenes(5)), read_sound_track)
    assert reason == "silent_video"
    assert "no sound track" in message
