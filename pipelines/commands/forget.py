"""`trichord forget`: everything that the home holds of a user, erased."""

import json
from typing import Annotated

import typer

from pipelines.commands.options import AsJson, Home, locked


def forget(
    users: Annotated[list[str], typer.Argument(help="User ids.", metavar="USER...")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Erase users from the home: events, features, releases, evaluation. Safe to run again; servers follow at once."""
    from pipelines.forgetting import forget as forget_users

    with locked(home) as settings:
        erased = forget_users(settings, users, erase=not dry_run)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "erased": {one.place: one.count for one in erased}}))
        return
    for one in erased:
        print(f"{one.count:>8}  {one.place}")
    print(
        "nothing was erased: --dry-run" if dry_run else "erased; the dataset's own folder and backups are not touched"
    )
