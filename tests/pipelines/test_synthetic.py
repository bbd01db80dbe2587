import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from feature_repo import schema
from pipelines.datasets.planted import events as simulation
from pipelines.datasets.planted.events import CLICK, IMPRESSION, LIKE, SLATE, simulate
from pipelines.datasets.planted.latents import (
    DAY_US,
    START_US,
    ItemLatents,
    UserLatents,
    draw_items,
    draw_users,
    stream,
)
from pipelines.datasets.planted.sessions import Session, draw_sessions
from pipelines.datasets.planted.themes import DEVICES, PLACES, load_themes
from pipelines.datasets.planted.writing import write_description
from pipelines.datasets.synthetic import SMALL, Truth, WorldConfig, build_world
from pipelines.errors import DatasetError
from ranking.errors import ArtifactError, UnknownEntityError

TINY = WorldConfig(n_items=60, n_users=6, n_events=80)
THEMES = load_themes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("world") / "lantern"
    build_world(SMALL, built)
    return built


def rows(folder: Path, table: str) -> list[dict]:
    return pq.read_table(folder / f"{table}.parquet").to_pylist()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_config_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    build_world(TINY, tmp_path / "a")
    build_world(TINY, tmp_path / "b")
    build_world(replace(TINY, seed=1), tmp_path / "c")
    first, second, other = (contents(tmp_path / name) for name in "abc")
    assert first == second
    assert first["events.parquet"] != other["events.parquet"] and first["items.parquet"] != other["items.parquet"]


def test_a_world_is_built_once_and_again_only_for_another_config(tmp_path: Path) -> None:
    world = tmp_path / "world"
    build_world(TINY, world)
    marker = world / "marker"
    marker.touch()
    build_world(TINY, world)
    assert marker.exists()
    build_world(replace(TINY, seed=1), world)
    assert not marker.exists() and not list(tmp_path.glob(".*"))


def test_remains_of_a_killed_build_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".world.partial" / "media").mkdir(parents=True)
    (tmp_path / ".world.partial" / "events.parquet").write_text("half")
    build_world(TINY, tmp_path / "world")
    assert len(rows(tmp_path / "world", "items")) == TINY.n_items
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_what_is_no_planted_world_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_text("mine")
    with pytest.raises(DatasetError, match="something else than a planted world"):
        build_world(TINY, tmp_path)
    assert (tmp_path / "items.parquet").read_text() == "mine"


def test_tables_have_the_public_schemas(folder: Path) -> None:
    items, users, events = (pq.read_schema(folder / f"{name}.parquet") for name in ("items", "users", "events"))
    assert items.remove_metadata().names[: len(schema.ITEMS)] == schema.ITEMS.names
    assert all(items.field(field.name).equals(field) for field in schema.ITEMS)
    assert users.field(schema.USER_ID).equals(schema.USERS.field(schema.USER_ID))
    assert events.equals(schema.EVENTS)


def test_every_item_can_be_perceived_and_every_named_file_is_there(folder: Path) -> None:
    items = rows(folder, "items")
    assert len({item["title"] for item in items}) == len(items)
    for item in items:
        assert item["description"] or item["image"] or item["audio"]
        if item["image"]:
            with Image.open(folder / item["image"]) as picture:
                assert (picture.size, picture.mode, picture.format) == ((160, 160), "RGB", "PNG")
        if item["audio"]:
            info = soundfile.info(folder / item["audio"])
            assert (info.samplerate, info.channels, info.frames, info.format) == (16_000, 1, 48_000, "FLAC")
    missing = {name: np.mean([item[name] is None for item in items]) for name in ("image", "audio", "description")}
    assert 0.05 < missing["image"] < 0.3 and 0.1 < missing["audio"] < 0.4 and 0 < missing["description"] < 0.2


def test_nobody_consumes_an_item_twice_or_before_it_arrives(folder: Path) -> None:
    created = {item["item_id"]: item["created_at"] for item in rows(folder, "items")}
    events = rows(folder, "events")
    assert all(event["occurred_at"] >= created[event["item_id"]] for event in events)
    consumed = Counter((event["user_id"], event["item_id"]) for event in events if event["kind"] != IMPRESSION)
    assert max(consumed.values()) == 1


def test_the_log_is_ascending_has_distinct_ids_and_about_as_many_events_as_asked_for(folder: Path) -> None:
    events = rows(folder, "events")
    times = [event["occurred_at"] for event in events]
    assert times == sorted(times) and len({event["event_id"] for event in events}) == len(events)
    assert abs(len(events) - SMALL.n_events) < 0.25 * SMALL.n_events
    assert {event["kind"] for event in events} == {IMPRESSION, CLICK, LIKE}
    assert {event["device"] for event in events} == set(DEVICES) and {event["place"] for event in events} == set(PLACES)


def test_users_of_every_history_length_exist(folder: Path) -> None:
    length = Counter(event["user_id"] for event in rows(folder, "events") if event["kind"] != IMPRESSION)
    counts = np.array([length[user["user_id"]] for user in rows(folder, "users")])
    assert len(counts) == SMALL.n_users
    assert (counts == 0).any() and ((counts > 0) & (counts <= 5)).any() and (counts > 30).any()


def test_a_click_on_a_slate_names_its_impression(folder: Path) -> None:
    events = rows(folder, "events")
    key = ("request_id", "item_id", "user_id", "position", "propensity", "session_id")
    shown = {tuple(event[name] for name in key) for event in events if event["kind"] == IMPRESSION}
    clicked = [event for event in events if event["kind"] != IMPRESSION and event["request_id"]]
    assert clicked and all(tuple(event[name] for name in key) in shown for event in clicked)
    free = [event for event in events if event["kind"] != IMPRESSION and not event["request_id"]]
    assert free and all(event["position"] is None and event["propensity"] is None for event in free)
    assert set(Counter(event["request_id"] for event in events if event["kind"] == IMPRESSION).values()) == {SLATE}


def plain_truth(n_items: int, n_users: int, *, quality: npt.ArrayLike = 0.0) -> Truth:
    """A world of two themes, whose tastes, habits and contents are all 0."""
    items = ItemLatents(
        mix=np.zeros((n_items, 2), np.float32),
        quality=np.zeros(n_items, np.float32) + np.asarray(quality, np.float32),
        created_at=np.full(n_items, START_US - 300 * DAY_US),
    )
    users = UserLatents(
        taste=np.zeros((n_users, 2), np.float32),
        habit=np.zeros((n_users, len(PLACES), 2), np.float32),
        routines=np.zeros((n_users, 3), np.int32),
        shift_h=np.zeros(n_users, np.float32),
    )
    return Truth.of(items, users, THEMES[:2])


def test_a_propensity_is_the_chance_of_that_draw_given_the_items_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "CLICK_BIAS", -100.0)  # nobody clicks: popularity stays even, so does the policy
    monkeypatch.setattr(simulation, "PICKS", 0.0)
    truth = plain_truth(50, 1)
    sessions = [Session(START_US + day * DAY_US, 0, 0, 0) for day in range(20)]
    events = simulate(truth, sessions, np.random.default_rng(0)).to_pylist()
    assert all(event["propensity"] == pytest.approx(1 / (50 - event["position"])) for event in events)


def test_items_on_top_of_a_slate_are_clicked_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "PICKS", 0.0)
    truth = plain_truth(100, 400)
    sessions = [Session(START_US + user * 1_000_000, user, 0, 0) for user in range(400) for _ in range(4)]
    events = simulate(truth, sessions, np.random.default_rng(0)).to_pylist()
    clicks = Counter(event["position"] for event in events if event["kind"] != IMPRESSION)
    shown = Counter(event["position"] for event in events if event["kind"] == IMPRESSION)
    rate = np.array([clicks[position] / shown[position] for position in range(SLATE)])
    assert rate[0] > rate[2] > rate[4] and rate[4] / rate[0] == pytest.approx(simulation.EXAMINED[4], abs=0.12)


def test_free_choices_follow_the_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SLATES", 0.0)
    truth = plain_truth(50, 2000, quality=np.linspace(-2, 2, 50))
    sessions = [Session(START_US + user, user, 0, 0) for user in range(2000)]
    events = simulate(truth, sessions, np.random.default_rng(0)).to_pylist()
    first = {event["user_id"]: event["item_id"] for event in reversed(events)}
    chosen = np.bincount(truth.items.codes(first.values()), minlength=50) / len(first)
    expected = np.exp(truth.score(["u00000"], np.array([START_US]), ["phone"], ["home"])[0])
    assert np.abs(chosen - expected).max() < 4 * np.sqrt(expected.max() / len(first))


def test_the_oracle_answers_log_probabilities_and_nothing_for_items_to_come(folder: Path) -> None:
    truth = Truth.load(folder)
    at = np.array([START_US, START_US + 89 * DAY_US])
    scores = truth.score(["u00003", "u00004"], at, ["tv", None], ["home", None])
    assert scores.shape == (2, SMALL.n_items) and scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.isneginf(scores), truth.created_at > at[:, None])
    assert list(truth.items.ids) == [item["item_id"] for item in rows(folder, "items")]


def test_the_oracle_knows_hour_weekend_device_and_place() -> None:
    truth = plain_truth(2, 1)
    truth.mix[:] = np.eye(2)  # item 0 is jazz (23 h, home, desktop), item 1 techno (weekend, transit, phone)
    assert [theme.name for theme in THEMES[:2]] == ["jazz", "techno"]

    def jazz_wins_by(day: int, hour: float, device: str | None, place: str | None) -> float:
        at = np.array([START_US + day * DAY_US + int(hour / 24 * DAY_US)])
        jazz, techno = truth.score(["u00000"], at, [device], [place])[0]
        return float(jazz - techno)

    base = jazz_wins_by(2, 12, None, None)
    assert jazz_wins_by(2, 12, "desktop", None) - base == pytest.approx(2.4 * (0.6 - 0.5), abs=1e-5)
    assert jazz_wins_by(2, 12, None, "home") > base > jazz_wins_by(2, 12, None, "transit")
    assert jazz_wins_by(2, 12, None, None) > jazz_wins_by(5, 12, None, None)  # a Wednesday, a Saturday
    assert jazz_wins_by(2, 1, None, None) > jazz_wins_by(2, 19, None, None)


def test_what_the_oracle_does_not_know_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    truth, now = Truth.load(folder), np.array([START_US])
    with pytest.raises(UnknownEntityError, match="user 'nobody'"):
        truth.score(["nobody"], now, ["tv"], ["home"])
    with pytest.raises(UnknownEntityError, match=r"device 'fridge' .* phone, tablet, tv, desktop"):
        truth.score(["u00003"], now, ["fridge"], ["home"])
    with pytest.raises(ArtifactError, match=r"truth\.json"):
        Truth.load(tmp_path)


def test_every_theme_is_told_by_just_two_modalities() -> None:
    assert len(THEMES) == 20
    for theme in THEMES:
        assert sum(part is not None for part in (theme.words, theme.picture, theme.sound)) == 2
        assert set(theme.device) == set(DEVICES) and set(theme.place) == set(PLACES)


@pytest.mark.parametrize("theme", [theme for theme in THEMES if theme.words], ids=lambda theme: theme.name)
def test_descriptions_read_well(theme: object) -> None:
    mix = np.eye(len(THEMES), dtype=np.float32)[THEMES.index(theme)]
    for seed in range(40):
        text = write_description(mix, THEMES, "Ada Hale", 5, np.random.default_rng(seed))
        assert text[0].isupper() and text[-1] in ".?!" and not set("{}") & set(text) and "  " not in text
        assert not re.search(r"\b[Aa] [aeiou]", text)


def test_knowing_the_context_helps_the_oracle_and_popularity_is_far_below() -> None:
    config = WorldConfig(n_items=500, n_users=300, n_events=9000)
    items = draw_items(config, len(THEMES), stream(config, 0))
    users = draw_users(config, len(THEMES), stream(config, 1))
    truth = Truth.of(items, users, THEMES)
    log = simulate(truth, draw_sessions(config, users, stream(config, 2)), stream(config, 3)).to_pylist()
    free = [event for event in log if event["kind"] != IMPRESSION and event["request_id"] is None]
    held_out = free[len(free) // 2 :]
    users_, at = [event["user_id"] for event in held_out], [event["occurred_at"] for event in held_out]
    at_us = np.array([int(moment.timestamp()) * 1_000_000 for moment in at])
    chosen = truth.items.codes([event["item_id"] for event in held_out])
    unknown = [None] * len(held_out)
    knowing = truth.score(users_, at_us, [e["device"] for e in held_out], [e["place"] for e in held_out])
    blind = truth.score(users_, at_us, unknown, unknown)
    popular = np.bincount(
        truth.items.codes([event["item_id"] for event in free[: len(free) // 2]]), minlength=config.n_items
    )

    def hits(scores: npt.NDArray[np.float32]) -> float:
        own = scores[np.arange(len(chosen)), chosen][:, None]
        return float(np.mean((scores > own).sum(axis=1) < 10))

    assert hits(knowing) > 1.15 * hits(blind)
    assert hits(knowing) > 3 * hits(np.tile(popular, (len(chosen), 1)))
