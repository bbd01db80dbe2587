"""The command `trichord`."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_repo.errors import FeatureRepoError
from pipelines.errors import PipelineError
from ranking.errors import RankingError

# Everything heavy is imported inside the commands: `trichord --help` must answer at once.

app = typer.Typer(
    name="trichord",
    help="A feature-store-centric, multimodal recommender platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
releases_app = typer.Typer(help="What was published, what is current, and how to go back.", no_args_is_help=True)
app.add_typer(releases_app, name="releases")

Home = Annotated[Path | None, typer.Option(help="Everything that is written lies here.", envvar="TRICHORD_HOME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def main() -> None:
    """Run a command; an error that somebody can mend is one line on standard error and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except (FeatureRepoError, PipelineError, RankingError) as error:
        print(f"trichord: {error}", file=sys.stderr)
        sys.exit(2)


@app.command()
def demo(home: Home = None) -> None:
    """Build the planted world, run the whole pipeline on it, evaluate, and say what to try next."""
    from feature_repo.settings import load_settings
    from pipelines.datasets.open import SYNTHETIC

    chosen = home or load_settings().home
    run(dataset=SYNTHETIC, home=home)
    print(
        f"\nNext, with --home {chosen} or TRICHORD_HOME={chosen}:\n"
        "  trichord recommend u00001 --context device=phone --explain\n"
        "  trichord features user_id=u00001\n"
        "  trichord serve                      (then open http://127.0.0.1:8080/docs)\n"
        f"  DAGSTER_HOME={(chosen / 'dagster').resolve()} dagster dev -m pipelines.definitions"
    )


@app.command()
def run(
    dataset: Annotated[
        str | None, typer.Option(help="synthetic, movielens:PATH, or a dataset folder; default: the home's own.")
    ] = None,
    home: Home = None,
) -> None:
    """Run the whole pipeline on a dataset; what has not changed is kept, so it is safe to run again."""
    from feature_repo.settings import load_settings
    from pipelines.run import run as run_pipeline
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

    console = Console(stderr=True)
    with Terminal(console) as terminal:
        workspace = Workspace(load_settings(home), listener=terminal, dataset=dataset)
        run_pipeline(workspace)
    for line in terminal.rejected():
        console.print(f"[yellow]rejected[/] {line}", highlight=False)
    evaluate(home=home)


@app.command()
def evaluate(
    home: Home = None,
    as_json: AsJson = False,
    export: Annotated[Path | None, typer.Option(help="Write splits and rankings as Parquet into this folder.")] = None,
) -> None:
    """Show the offline evaluation: every model on every protocol, slices, and what each part adds."""
    from feature_repo.settings import load_settings
    from ranking.evaluation.export import export as export_to
    from ranking.evaluation.report import build_report
    from ranking.evaluation.table import tables
    from ranking.evaluation.warehouse import Warehouse

    with Warehouse(load_settings(home).warehouse, read_only=True) as warehouse:
        if export is not None:
            files = export_to(warehouse, export)
            print(f"{len(files)} files written to {export}", file=sys.stderr)
        report = build_report(warehouse)
    if as_json:
        print(json.dumps(report))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(tables(report))
