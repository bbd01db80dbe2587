"""`trichord rules`: what is wrong with rules, and what they would do."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.options import AsJson, Home, settings_of, wide_console

app = typer.Typer(help="Check the rules of pages, and try them.", no_args_is_help=True)

WRONG = 2  # exit code: a rule has an error


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="One rule a line; default: the home's rules.txt.", metavar="FILE")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with rules, by line and column and the current release's items; exit code 2 for an error."""
    from pipelines.rules import check_file, finding_lines

    path, checked = check_file(settings_of(home), file)
    if as_json:
        print(checked.model_dump_json())
    else:
        for line in finding_lines(path, checked):
            print(line)
    if not checked.ok:
        raise typer.Exit(WRONG)


@app.command("try")
def try_rules(
    user: Annotated[str, typer.Argument(help="User id.")],
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule beside the home's; may be given several times.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")] = 10,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show a user's page with and without rules, and what each rule did; nothing is logged."""
    from pipelines.rules import Trial, trial_table

    trial = Trial.of(settings_of(home), user, rules=rule or [], k=k)
    if as_json:
        print(trial.to_json())
        return
    console = wide_console()
    console.print(trial_table(trial))
    for note in trial.ruled.rules:
        console.print(note, markup=False, highlight=False)
