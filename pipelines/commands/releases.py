"""`trichord releases`: what was published, what is current, and how to go back."""

import json
from typing import Annotated

import typer

from pipelines.commands.options import AsJson, Home, locked, settings_of

app = typer.Typer(help="What was published, what is current, and how to go back.", no_args_is_help=True)


@app.command("list")
def list_releases(home: Home = None, as_json: AsJson = False) -> None:
    """All releases, oldest first; the current one is marked."""
    from ranking.serving.releases import Releases

    releases = Releases.of(settings_of(home))
    current = releases.current_id()
    if as_json:
        found = [json.loads(one.manifest.model_dump_json()) | {"current": one.id == current} for one in releases.list()]
        print(json.dumps(found))
        return
    for one in releases.list():
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(one.manifest.metrics.items()))
        print(f"{'*' if one.id == current else ' '} {one.id}  {one.manifest.dataset}  {metrics}")


@app.command()
def promote(release: Annotated[str, typer.Argument(help="Release id.")], home: Home = None) -> None:
    """Make a release the current one; servers follow without a restart."""
    from ranking.serving.releases import Releases

    with locked(home) as settings:
        print(f"current: {Releases.of(settings).promote(release).id}")


@app.command()
def rollback(home: Home = None) -> None:
    """Go back to the release that was current before."""
    from ranking.serving.releases import Releases

    with locked(home) as settings:
        print(f"current: {Releases.of(settings).rollback().id}")
