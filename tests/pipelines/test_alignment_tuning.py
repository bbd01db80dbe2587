"""The home's own configuration of the alignment."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.alignment_tuning import common_train, read_config, report, write_config
from pipelines.errors import HomeError
from ranking.representation.alignment_config import AlignmentConfig, Loss, Optimizer
from ranking.splits import Protocol
from ranking.strategy.alignment_search import Searched
from ranking.strategy.fit import divisions
from ranking.types import IdIndex, Interactions


def test_a_home_without_the_file_aligns_by_the_defaults(tmp_path: Path) -> None:
    assert read_config(tmp_path) == AlignmentConfig()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    config = AlignmentConfig(loss=Loss.BPR, optimizer=Optimizer.SGD, hidden=0, behaviour=True, pseudo_pairs=True)
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config
    write_config(tmp_path, AlignmentConfig())
    assert not (tmp_path / "alignment.json").exists()


def test_a_file_by_hand_names_only_what_it_changes(tmp_path: Path) -> None:
    (tmp_path / "alignment.json").write_text('{"loss": "triplet", "steps": 100}')
    assert read_config(tmp_path) == replace(AlignmentConfig(), loss=Loss.TRIPLET, steps=100)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"los": "bpr"}', "los is unknown; accepted: dim, hidden"),
        ('{"loss": "mse"}', "loss 'mse'"),
        ('{"steps": -1}', "steps -1"),
        ('{"modality_dropout": 1}', "modality_dropout 1"),
        ('{"temperature_range": [0.1, 0]}', "temperature_range.1 0"),
        ("[1]", "no JSON object"),
        ("7", "no JSON object"),
        ("{", "no JSON object"),
    ],
)
def test_a_bad_file_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "alignment.json").write_text(text)
    with pytest.raises(HomeError, match="mend or delete the file") as error:
        read_config(tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_search_sees_nothing_that_any_protocol_asks_about() -> None:
    draw = np.random.default_rng(0)
    n = 3000
    log = Interactions(
        users=IdIndex(tuple(f"u{one:02}" for one in range(60))),
        items=IdIndex(tuple(f"i{one:02}" for one in range(80))),
        user=draw.integers(0, 60, n).astype(np.int32),
        item=draw.integers(0, 80, n).astype(np.int32),
        occurred_at=np.arange(n),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )
    train = common_train(log)
    assert 0 < len(train) < n
    for protocol in Protocol:
        assert set(train.occurred_at) <= set(divisions(log, protocol, 1)[0].train.occurred_at)


def test_the_report_says_what_was_kept(tmp_path: Path) -> None:
    better = Searched(AlignmentConfig(steps=300), (0.1, 0.2), (0.11, 0.21), 7)
    assert "7 trials" in report(better, tmp_path, as_json=False)
    assert str(tmp_path / "alignment.json") in report(better, tmp_path, as_json=False)
    same = replace(better, config=AlignmentConfig(), best=(0.1, 0.2))
    assert "the defaults stay" in report(same, tmp_path, as_json=False)
    assert '"steps": 300' in report(better, tmp_path, as_json=True)
