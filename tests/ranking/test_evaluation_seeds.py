from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ranking.evaluation.seeds import reseeded
from ranking.rankers.blend import BlendConfig
from ranking.strategy.hybrid import HybridConfig


@dataclass(frozen=True)
class Part:
    seed: int = 3
    seeds: tuple[int, ...] = (0, 1, 2)
    rate: float = 0.5


@dataclass(frozen=True)
class Whole:
    name: str = "whole"
    part: Part = field(default_factory=Part)
    perhaps: Part | None = None


def test_number_zero_is_the_configuration_itself():
    assert reseeded(BlendConfig(), 0) == BlendConfig()
    assert reseeded(HybridConfig(), 0) == HybridConfig()


@given(st.integers(1, 9), st.integers(1, 9))
def test_replicates_share_no_seed_and_differ_in_nothing_else(one, other):
    ours, theirs = reseeded(Whole(), one), reseeded(Whole(), other)
    assert (ours.name, ours.part.rate, ours.perhaps) == ("whole", 0.5, None)
    assert ours.part.seed == 3 + one
    assert len(ours.part.seeds) == 3
    assert bool(set(ours.part.seeds) & set(theirs.part.seeds)) == (one == other)


def test_every_seed_of_the_ranker_is_another():
    assert reseeded(HybridConfig(), 1).ranker != HybridConfig().ranker
    assert reseeded(BlendConfig(), 1).trees.seeds != BlendConfig().trees.seeds
    assert reseeded(BlendConfig(), 1).linear.seed != BlendConfig().linear.seed
