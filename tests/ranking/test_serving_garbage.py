"""Memory that a former release held."""

import gc
import subprocess
import sys
import weakref

import pytest

from ranking.serving.garbage import give_back

FREED = """
import resource
from ranking.serving.garbage import give_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
held = [bytes(10_000) for _ in range(20_000)]
last = bytes(10_000)  # above the others: without a trim they stay
before = resident()
del held
give_back()
print(before - resident())
"""


def test_what_nobody_holds_is_collected_and_the_rest_is_not_looked_through_again() -> None:
    class Node:
        other: object

    node = Node()
    node.other = node
    seen = weakref.ref(node)
    gc.freeze()  # as it is while a release answers
    del node
    give_back()
    assert seen() is None
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc gives memory back")
def test_what_was_freed_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150_000_000
