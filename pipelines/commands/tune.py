"""`trichord tune`: what a home can learn about itself beyond its models, when somebody gives it the time."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from pipelines.commands.options import AsJson, Home, settings_of
from ranking.representation.tuned import AdapterKind
from ranking.representation.tuning_config import TuningConfig

app = typer.Typer(help="Tune an encoder or the alignment to a home's items and likes.", no_args_is_help=True)


class TunedModality(StrEnum):
    """Whose encoders can be tuned."""

    TEXT = "text"
    IMAGE = "image"


@app.command()
def encoder(
    modality: Annotated[TunedModality, typer.Argument(help="Whose encoder.")],
    kind: Annotated[AdapterKind, typer.Option(help="How the encoder is adapted.")] = TuningConfig.kind,
    rank: Annotated[
        int, typer.Option(min=1, help="Of the low-rank products, or the bottleneck's width.")
    ] = TuningConfig.rank,
    steps: Annotated[
        int, typer.Option(min=1, help="At most; it stops when nothing is gained any more.")
    ] = TuningConfig.steps,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of the adapter.")] = TuningConfig.learning_rate,
    seed: Annotated[int, typer.Option(min=0, help="Of what is held out and drawn.")] = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tune an encoder to this home's items and likes by a small adapter; what was killed goes on when run again.

    Needs a home that `trichord run` has filled. What came of it is said on items that were held out, also where the
    encoder is better left as it is.
    """
    from pipelines.encoder_tuning import tune_encoder, tuning_lines, tuning_report
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

    with Terminal(Console(stderr=True)) as terminal:
        config = TuningConfig(kind=kind, rank=rank, steps=steps, learning_rate=learning_rate, seed=seed)
        result = tune_encoder(Workspace(settings_of(home), listener=terminal), modality, config)
    if as_json:
        print(json.dumps(tuning_report(result)))
    else:
        for line in tuning_lines(modality, result):
            print(line)


@app.command()
def alignment(
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long; a further search goes on where this one ends.")
    ] = 10,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search for a better configuration of the alignment; the next run of the home reads it from alignment.json."""
    from pipelines.alignment_tuning import report, tune
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

    settings = settings_of(home)
    with Terminal(Console(stderr=True)) as terminal:
        found = tune(Workspace(settings, listener=terminal), minutes=minutes)
    print(report(found, settings.home, as_json=as_json))
