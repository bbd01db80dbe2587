"""Releases that come into memory beside the one that answers."""

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from ranking.errors import ArtifactError
from ranking.serving.loading import Loading
from ranking.serving.releases import Release, Releases


class Current:
    """Stands for a home's releases; answers hold the ids of the current one, or an error, one a look."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)

    def current_id(self) -> str:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def open(self, wanted: str) -> Release:
        return cast("Release", SimpleNamespace(id=wanted))


def loading(current: Current, served: list[str]) -> Loading:
    return Loading(cast("Releases", current), lambda release: served.append(release.id))


def test_a_release_that_another_thread_has_brought_meanwhile_is_not_loaded_again() -> None:
    served: list[str] = []
    looks = iter(["first", "second"])  # what answers at the first look, and at the second
    one = loading(Current("second"), served)
    one.follow(lambda: next(looks))
    one.wait()
    assert served == []


def test_the_second_look_counts_where_a_release_was_gone_back_from() -> None:
    served: list[str] = []
    one = loading(Current("second", "third"), served)
    one.follow(lambda: "first")
    one.wait()
    assert served == ["third"]


def test_a_second_look_that_fails_leaves_the_way_free() -> None:
    served: list[str] = []
    one = loading(Current("second", ArtifactError("current: cannot be read"), "second"), served)
    with pytest.raises(ArtifactError):
        one.follow(lambda: "first")
    one.follow(lambda: "first")
    one.wait()
    assert served == ["second"]


def test_threads_that_follow_at_once_load_once() -> None:
    served = ["first"]
    one = loading(Current("second"), served)
    start = threading.Barrier(8)

    def follow() -> None:
        start.wait()
        one.follow(lambda: served[-1])

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.wait()
    assert served == ["first", "second"]
