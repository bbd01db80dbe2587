"""What a run shows on a terminal: a line an artifact, and a bar while something long goes on; nothing in a pipe."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines.home import Built


class Rate(ProgressColumn):
    """How many of the things that are counted are done a second."""

    def render(self, task: Task) -> Text:
        """Nothing before the first are done."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f}/s")


class Terminal:
    """A listener that writes to standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self.artifacts: list[Built] = []

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def rejected(self) -> list[str]:
        """One line for each reason for which rows or files were left out, with its count."""
        counted = [(one.name, one.facts.get("rejected")) for one in self.artifacts]
        return [
            f"{count:,} x {reason} (lake/{name}/rejected.json)"
            for name, reasons in counted
            if isinstance(reasons, dict)
            for reason, count in reasons.items()
        ]

    def step(self, what: str, done: int, total: int) -> None:
        """Move the bar of the work that goes on."""
        if self._task is None:
            self._task = self._progress.add_task(what, total=total)
        self._progress.update(self._task, description=what, completed=done, total=total)

    def built(self, artifact: Built) -> None:
        """Say that an artifact is there."""
        self.artifacts.append(artifact)
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        if self._console.is_terminal:
            how = "unchanged" if artifact.reused else f"{artifact.seconds:.1f} s"
            plain = [f"{key} {fact:,}" for key, fact in artifact.facts.items() if isinstance(fact, int)]
            self._console.print(f"[green]✓[/] {artifact.name:<22} {how:>10}  [dim]{', '.join(plain[:4])}[/]")
