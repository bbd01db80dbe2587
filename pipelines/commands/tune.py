"""`trichord tune`: what a home can learn about itself beyond a run, when somebody gives it the time."""

import json
from enum import StrEnum
from math import inf
from typing import Annotated

import typer
from rich.console import Console

from pipelines.commands.options import AsJson, Home, settings_of, wide_console
from ranking.errors import BadRequestError
from ranking.representation.tuned import AdapterKind
from ranking.representation.tuning_config import TuningConfig

app = typer.Typer(help="Tune encoders, the alignment or models to a home's items and likes.", no_args_is_help=True)

INTERRUPTED = 130  # exit code: 128 and the signal's number, as of any program that Ctrl-C ends


class TunedModality(StrEnum):
    """Whose encoders can be tuned."""

    TEXT = "text"
    IMAGE = "image"


class Searched(StrEnum):
    """What `tune models` searches; `pipelines.model_tuning.Part`, which is heavy to import."""

    MODELS = "models"
    RANKER = "ranker"
    ALIGNMENT = "alignment"


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
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def models(
    minutes: Annotated[float, typer.Option(help="How long; a further search goes on where this one ends.")] = 10,
    protocol: Annotated[str, typer.Option(help="Whose validation window: p1, p2 (which is served) or p3.")] = "p2",
    part: Annotated[
        list[Searched] | None,
        typer.Option(help="models, ranker or alignment; may be given several times; default: all."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Search for better single models, ranker and alignment; the next run of the home uses what is clearly better.

    Every single model gets the same number of trials. Ctrl-C ends the search and keeps what it has found.
    """
    from pipelines.model_tuning import Part, lines, report, table, tune_models
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace
    from ranking.splits import Protocol

    if protocol not in [*Protocol]:
        raise BadRequestError(f"--protocol {protocol!r}: accepted are {', '.join(Protocol)}")
    if not 0 < minutes < inf:
        raise BadRequestError(f"--minutes {minutes:g}: accepted are numbers above 0, and an end")
    settings = settings_of(home)
    parts = [Part(one.value) for one in part or Searched]
    with Terminal(Console(stderr=True)) as terminal:
        found = tune_models(Workspace(settings, listener=terminal), Protocol(protocol), parts, minutes=minutes)
    if as_json:
        print(json.dumps(report(found)))
    else:
        wide_console().print(table(found))
        for line in lines(found, settings):
            print(line)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)
