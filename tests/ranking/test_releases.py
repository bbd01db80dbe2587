"""Releases: published whole, checked, switched at once, and back again."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from feature_repo.schema import EventKind, Modality
from ranking.errors import ArtifactError
from ranking.serving.releases import Manifest, Releases

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def manifest(release_id: str, day: int = 0) -> Manifest:
    return Manifest(
        id=release_id,
        created_at=DAY + timedelta(days=day),
        dataset="shop",
        kinds=(EventKind("rating", positive_from=4.0),),
        data_until=DAY,
        service="ranking_v1",
        services=("ranking_v1",),
        encoders={Modality.TEXT: "minilm"},
        seeds=(0, 1),
        metrics={"p2.ndcg@10": 0.25},
        suites={"items": True},
        versions={"numpy": "2"},
        config={"trees": {"leaves": 15}},
    )


def making(release_id: str, content: str = "weights", day: int = 0) -> Callable[[Path], Manifest]:
    def make(folder: Path) -> Manifest:
        (folder / "models").mkdir()
        (folder / "models" / "one.txt").write_text(content)
        return manifest(release_id, day)

    return make


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "releases", tmp_path / "current")


@pytest.fixture
def three(releases: Releases) -> Releases:
    for day, release_id in enumerate("cab"):  # published in this order
        releases.publish(release_id, making(release_id, day=day))
    return releases


def test_a_published_release_says_of_itself_what_its_maker_said(releases: Releases) -> None:
    releases.publish("one", making("one"))
    assert releases.open("one").manifest == manifest("one")


def test_checksums_are_those_of_sha256sum(releases: Releases) -> None:
    release = releases.publish("one", making("one"))
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release.folder, check=True, capture_output=True
    )
    release.verify()


def test_publishing_a_release_again_keeps_it(releases: Releases) -> None:
    releases.publish("one", making("one", "first"))
    again = releases.publish("one", making("one", "second"))
    assert (again.folder / "models" / "one.txt").read_text() == "first"


def test_a_damaged_release_is_made_again(releases: Releases) -> None:
    release = releases.publish("one", making("one"))
    (release.folder / "models" / "one.txt").write_text("torn")
    releases.publish("one", making("one")).verify()


def test_a_publication_that_fails_leaves_no_release(releases: Releases) -> None:
    def fails(folder: Path) -> Manifest:
        (folder / "half").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        releases.publish("one", fails)
    assert releases.list() == []
    releases.publish("one", making("one")).verify()
    assert not (releases.folder / "one" / "half").exists()


def test_releases_are_listed_in_the_order_in_which_they_were_made(three: Releases) -> None:
    assert [release.id for release in three.list()] == ["c", "a", "b"]


def test_a_damaged_release_is_logged_and_not_listed(three: Releases, caplog: pytest.LogCaptureFixture) -> None:
    (three.folder / "a" / "manifest.json").write_text("{")
    assert [release.id for release in three.list()] == ["c", "b"]
    assert "manifest.json" in caplog.text


def test_the_promoted_release_is_current(three: Releases) -> None:
    assert three.current_id() is None
    three.promote("a")
    assert (three.current_id(), three.current().id) == ("a", "a")
    three.promote("b")
    assert three.current().id == "b"


def test_current_is_a_link_that_survives_a_move_of_the_home(three: Releases, tmp_path: Path) -> None:
    three.promote("a")
    home = three.folder.parent
    moved = home.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert Releases(moved / "releases", moved / "current").current().id == "a"


def test_rollback_goes_back_one_promotion_at_a_time(three: Releases) -> None:
    for release_id in ("a", "b", "c"):
        three.promote(release_id)
    assert three.rollback().id == "b"
    assert three.rollback().id == "a"
    three.promote("c")
    assert three.rollback().id == "a"
    assert three.current().id == "a"
    with pytest.raises(ArtifactError, match="known are a, b, c"):
        three.rollback()
    assert [(one.action, one.id) for one in three.promotions()][-2:] == [("promote", "c"), ("rollback", "a")]


def test_promoting_the_current_release_is_no_promotion(three: Releases) -> None:
    three.promote("a")
    three.promote("b")
    three.promote("b")
    assert three.rollback().id == "a"


def test_rollback_follows_a_switch_by_hand(three: Releases) -> None:
    three.promote("a")
    link = three.folder.parent / "current"
    link.unlink()
    link.symlink_to("releases/b")
    assert three.rollback().id == "a"


def test_an_unknown_release_is_refused_and_the_known_are_named(three: Releases) -> None:
    for attempt in (lambda: three.promote("z"), lambda: three.open("../a")):
        with pytest.raises(ArtifactError, match="known are a, b, c"):
            attempt()
    assert three.current_id() is None


def test_without_any_release_the_remedy_is_named(releases: Releases) -> None:
    with pytest.raises(ArtifactError, match="trichord run"):
        releases.current()


@pytest.mark.parametrize("release_id", ["", ".", "..", "a/b", ".hidden", "a" * 101])
def test_an_id_that_is_no_file_name_is_refused(releases: Releases, release_id: str) -> None:
    with pytest.raises(ArtifactError, match="accepted"):
        releases.publish(release_id, making(release_id))


@pytest.mark.parametrize("damage", ["changed", "gone", "no sums"])
def test_a_damaged_release_is_not_promoted(three: Releases, damage: str) -> None:
    three.promote("a")
    folder = three.folder / "b"
    if damage == "changed":
        (folder / "models" / "one.txt").write_text("weightz")
    else:
        (folder / ("SHA256SUMS" if damage == "no sums" else "models/one.txt")).unlink()
    with pytest.raises(ArtifactError, match="build this one again"):
        three.promote("b")
    assert three.current().id == "a"


def test_a_manifest_has_no_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="colour"):
        Manifest.model_validate(manifest("one").model_dump() | {"colour": "blue"})
