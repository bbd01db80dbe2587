"""Three seconds of music of an item's themes: timbre, tempo, scale, drums and a bed of noise."""

from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pipelines.datasets.planted.themes import Sound

Wave: TypeAlias = npt.NDArray[np.float32]

RATE: Final = 16_000
SECONDS: Final = 3
NOTE_SECONDS: Final = 1.5
PLAIN: Final = Sound(
    partials=((1.0, 1.0), (2.0, 0.1)),
    attack=0.2,
    decay=0.8,
    beat=60,
    steps=(1, 0, 0, 0),
    octave=4,
    scale=(0, 5, 7),
    kick=0,
    hat=0,
    bed=0.05,
)  # what an item sounds like whose themes cannot be heard


def play(sounds: list[Sound], weights: list[float], rng: np.random.Generator) -> Wave:
    """Sounds mixed by weight: float32 [RATE * SECONDS], peak 0.9; without any sound a soft plain one."""
    key, tempo = int(rng.integers(-3, 4)), rng.uniform(0.94, 1.06)
    tracks = zip(sounds or [PLAIN], weights or [1.0], strict=True)
    wave = sum((np.sqrt(weight) * _track(sound, key, tempo, rng) for sound, weight in tracks), _silence())
    wave += 0.003 * rng.standard_normal(len(wave), np.float32)
    loudest = float(np.abs(wave).max())
    return np.asarray(wave * (0.9 / loudest), np.float32)


def _track(sound: Sound, key: int, tempo: float, rng: np.random.Generator) -> Wave:
    wave = _silence()
    step_s = 60 / (sound.beat * tempo) / 4 * (4 if sound.beat < 60 else 2 if sound.beat < 110 else 1)
    degree = int(rng.integers(len(sound.scale)))
    for number, start_s in enumerate(np.arange(0, SECONDS, step_s).tolist()):
        start = int(start_s * RATE)
        if sound.steps[number % len(sound.steps)] and rng.random() < 0.92:
            degree = int(np.clip(degree + rng.integers(-2, 3), 0, len(sound.scale) - 1))
            pitch = 12 * (sound.octave + 1) + sound.scale[degree] + key
            _add(wave, start, rng.uniform(0.6, 1.0) * _note(sound.partials, sound.attack, sound.decay, pitch))
        if sound.kick and number % 4 == 0:
            _add(wave, start, sound.kick * _kick())
        if sound.hat and number % 2 == 1:
            _add(wave, start, sound.hat * rng.uniform(0.5, 1.0) * _hat(rng))
    if sound.bed:
        wave += sound.bed * _bed(rng)
    return wave / max(float(np.sqrt(np.mean(wave**2))), 1e-3)


@lru_cache(maxsize=1024)
def _note(partials: tuple[tuple[float, float], ...], attack: float, decay: float, pitch: int) -> Wave:
    """One note: partials (those that the rate allows) under an attack and an exponential decay."""
    t = np.arange(int(RATE * NOTE_SECONDS), dtype=np.float32) / RATE
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    heard = [(ratio, amplitude) for ratio, amplitude in partials if ratio * hertz < RATE / 2]
    tones = sum((level * np.sin(2 * np.pi * ratio * hertz * t) for ratio, level in heard), np.zeros_like(t))
    note: Wave = (tones * np.minimum(t / attack, 1) * np.exp(-t / decay)).astype(np.float32)
    return note


@lru_cache(maxsize=1)
def _kick() -> Wave:
    """A drum whose pitch falls."""
    t = np.arange(RATE // 4, dtype=np.float32) / RATE
    cycles = 50 * t + 6 * (1 - np.exp(-30 * t))
    return np.asarray(1.5 * np.sin(2 * np.pi * cycles) * np.exp(-14 * t), np.float32)


def _hat(rng: np.random.Generator) -> Wave:
    """A short hiss of high noise."""
    noise = np.diff(rng.standard_normal(RATE // 12 + 1, np.float32))
    return (0.5 * noise * np.exp(-np.arange(len(noise)) / (0.02 * RATE))).astype(np.float32)


def _bed(rng: np.random.Generator) -> Wave:
    """Soft noise that comes and goes."""
    noise = rng.standard_normal(RATE * SECONDS + 3, np.float32)
    smooth = (noise[:-3] + noise[1:-2] + noise[2:-1] + noise[3:]) / 2
    swell = 1 + 0.4 * np.sin(2 * np.pi * (np.arange(len(smooth)) / RATE * rng.uniform(0.2, 0.5) + rng.random()))
    return (smooth * swell).astype(np.float32)


def _silence() -> Wave:
    return np.zeros(RATE * SECONDS, np.float32)


def _add(wave: Wave, start: int, sound: Wave) -> None:
    stop = min(start + len(sound), len(wave))
    wave[start:stop] += sound[: stop - start]
