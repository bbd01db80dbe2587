"""The command `trichord`."""

import atexit
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_repo.errors import FeatureRepoError
from pipelines.commands import releases, rules, tune
from pipelines.commands.forget import forget
from pipelines.commands.options import AsJson, Home, settings_of, wide_console
from pipelines.errors import PipelineError
from ranking.errors import RankingError, UnknownEntityError

# Everything heavy is imported inside the commands: `trichord --help` must answer at once.

app = typer.Typer(
    name="trichord",
    help="A feature-store-centric, multimodal recommender platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(releases.app, name="releases")
app.add_typer(rules.app, name="rules")
app.add_typer(tune.app, name="tune")
app.command()(forget)


def main() -> None:
    """Run a command; an error that somebody can mend is one line on standard error and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    code: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except (FeatureRepoError, PipelineError, RankingError) as error:
        print(f"trichord: {error}", file=sys.stderr)
        code = 2
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)  # DuckDB's bindings print a page of "leaks" while Python ends


@app.command()
def demo(home: Home = None) -> None:
    """Build the planted world, run the whole pipeline on it, evaluate, and say what to try next."""
    from pipelines.datasets.open import SYNTHETIC

    chosen = settings_of(home).home
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
        str | None,
        typer.Option(help="synthetic, movielens:PATH, frappe:PATH, or a dataset folder; default: the home's own."),
    ] = None,
    home: Home = None,
) -> None:
    """Run the whole pipeline on a dataset; what has not changed is kept, so it is safe to run again."""
    from pipelines.run import run as run_pipeline
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

    console = Console(stderr=True)
    with Terminal(console) as terminal:
        workspace = Workspace(settings_of(home), listener=terminal, dataset=dataset)
        run_pipeline(workspace)
    for line in terminal.rejected():
        console.print(f"[yellow]rejected[/] {line}", highlight=False)
    evaluate(home=home)


@app.command()
def evaluate(
    home: Home = None,
    as_json: AsJson = False,
    export: Annotated[Path | None, typer.Option(help="Write splits and rankings as Parquet into this folder.")] = None,
    slices: Annotated[bool, typer.Option("--slices", help="Also by attribute of the user and the request.")] = False,
) -> None:
    """Show the offline evaluation: every model on every protocol, slices, what each part adds, the space of items."""
    from pipelines.evaluated import show

    show(settings_of(home), as_json=as_json, export=export, slices=slices)


@app.command()
def wanted(
    n: Annotated[int, typer.Option("-n", min=1, help="How many items.")] = 20,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show the items whose recommendation a text, a picture, a sound or a category would help most."""
    from pipelines.answers import wanted_items, wanted_table

    found = wanted_items(settings_of(home), n=n)
    if as_json:
        print(json.dumps({"items": found.to_pylist()}))
    else:
        wide_console().print(wanted_table(found))


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="User id.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")] = 10,
    context: Annotated[
        list[str] | None, typer.Option(help="at=ISO-TIME, device=NAME or place=NAME; may be given several times.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why, by exact contributions of features.")] = False,
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule of the page, such as 'cap categories at 2'; several times.")
    ] = None,
    diversity: Annotated[float, typer.Option(min=0, max=1, help="More different items; 0 to 1.")] = 0,
    spread: Annotated[float, typer.Option(min=0, max=1, help="More of the catalogue over all users; 0 to 1.")] = 0,
    exploration: Annotated[float, typer.Option(min=0, max=1, help="More chance; 0 to 1.")] = 0,
    explorer: Annotated[str, typer.Option(help="epsilon or thompson.")] = "epsilon",
    weight: Annotated[
        list[str] | None,
        typer.Option(help="popularity, content, collaborative or context =0 to 3; several times."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Near this text, too.")] = None,
    image: Annotated[Path | None, typer.Option(help="Near this picture, too.", metavar="FILE")] = None,
    audio: Annotated[Path | None, typer.Option(help="Near this sound, too.", metavar="FILE")] = None,
    query_weight: Annotated[
        float, typer.Option(min=0, max=1, help="How much what is looked for counts against the user's taste; 0 to 1.")
    ] = 0.5,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user."""
    from pipelines.answers import answered_table, parse_request, query_of
    from ranking.serving.answer import UNKNOWN_USER
    from ranking.serving.engine import Engine

    request = parse_request(
        user,
        k=k,
        context=context or [],
        explain=explain,
        weights=weight or [],
        wishes={
            "rules": rule or [],
            "diversity": diversity,
            "spread": spread,
            "exploration": exploration,
            "explorer": explorer,
            "query": query_of(text=text, image=image, audio=audio),
            "query_weight": query_weight,
        },
    )
    engine = Engine(settings_of(home))
    engine.load()
    response = engine.recommend(request)
    if UNKNOWN_USER in response.fallbacks:
        raise UnknownEntityError(
            f"user {user!r}: nothing is known of them; give a user of the events, or ask the HTTP API, "
            "which answers newcomers"
        )
    if as_json:
        print(response.model_dump_json())
    else:
        Console().print(answered_table(response))


@app.command()
def similar(
    item: Annotated[str | None, typer.Option(help="What is near this item.")] = None,
    text: Annotated[str | None, typer.Option(help="What is near this text.")] = None,
    image: Annotated[Path | None, typer.Option(help="What is near this picture.", metavar="FILE")] = None,
    audio: Annotated[Path | None, typer.Option(help="What is near this sound.", metavar="FILE")] = None,
    by: Annotated[str, typer.Option(help="text, image, audio or behaviour alone, or all.")] = "all",
    category: Annotated[
        list[str] | None, typer.Option(help="Only items of this category; may be given several times.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")] = 10,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Find the items nearest to an item, or to a text, picture and sound, in the current release's space."""
    from pipelines.similar import look_for, similar_table

    found = look_for(
        settings_of(home), item, text=text, image=image, audio=audio, by=by, categories=category or [], k=k
    )
    if as_json:
        print(found.model_dump_json())
    else:
        Console().print(similar_table(found))


@app.command()
def features(
    entities: Annotated[
        list[str] | None, typer.Argument(help="ENTITY=ID, for example user_id=42.", metavar="ENTITY=ID...")
    ] = None,
    service: Annotated[str | None, typer.Option(help="A feature service; default: all that is stored.")] = None,
    freshness: Annotated[bool, typer.Option("--freshness", help="How far each view is behind, instead.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Look up online features through Feast, or show how fresh they are."""
    from pipelines.answers import feature_table, freshness_table, parse_pairs, view_freshness
    from ranking.serving.engine import Engine

    if freshness:
        report = view_freshness(settings_of(home))
        if as_json:
            print(json.dumps(report))
        else:
            wide_console().print(freshness_table(report))
        return
    wanted = parse_pairs(entities or [""], what="entity", accepted="user_id=ID or item_id=ID")
    found = Engine(settings_of(home)).lookup(wanted, service=service)
    if as_json:
        print(json.dumps({"entities": wanted, "features": found}))
    else:
        Console().print(feature_table(wanted, found))


@app.command()
def parity(
    sample: Annotated[int, typer.Option(min=1, help="How many requests.")] = 20,
    seed: Annotated[int, typer.Option(help="Which requests are drawn.")] = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Compute logged serving vectors again, offline, and compare every value; exit code 1 where any differs.

    Where nothing was logged, a sample of requests is served now.
    """
    from pipelines.parity import check, parity_notes, parity_table
    from pipelines.workspace import Workspace

    checked = check(Workspace(settings_of(home)), requests=sample, seed=seed)
    if as_json:
        print(json.dumps(checked.to_json(), default=str))
    else:
        Console().print(parity_table(checked))
        for note in parity_notes(checked):
            print(note)
    if not checked.report.passed:
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen on an address that others reach, though no API key is set.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer, on one port.")] = 1,
    home: Home = None,
) -> None:
    """Serve the web page and the HTTP API; /docs describes it."""
    from pipelines.serving import served_media

    logging.getLogger("ranking").setLevel(logging.INFO)
    settings = settings_of(home)
    media_root = served_media(settings)
    if workers == 1:
        from ranking.serving.app import serve as serve_http

        serve_http(settings, host=host, port=port, open_to_all=open_to_all, media_root=media_root)
    else:  # this process answers nothing: it need not import what the others do
        from ranking.serving.workers import serve_by_workers

        serve_by_workers(
            settings, host=host, port=port, open_to_all=open_to_all, media_root=media_root, workers=workers
        )
