"""What is shown while hosts answer: a bar on a terminal, a line a host with -v. All of it on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torc_remote.cli.app import App
from torc_remote.cli.output import say
from torc_remote.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from torc_remote.remote.report import HostStep, OnStep

# So many hosts that are still awaited are named.
FEW = 3


@contextmanager
def progress(app: App, verbose: bool) -> "Iterator[OnStep | None]":
    """A callback for the operation's results, while the bar is on the screen.

    JSON output has no bar; with -v the lines take its place.
    """
    if verbose:
        yield _print_line
    elif sys.stderr.isatty() and app.format != "json":
        with _bar() as bar:
            yield _Steps(bar).add
    else:
        yield None


def _print_line(step: "HostStep") -> None:
    say(f"{step.host}: {step.step}: {step.outcome}", err=True)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # what is cut off where the terminal ends stands last, so that the bar stays one line
    flexible = Column(no_wrap=True, ratio=1)
    return Progress(
        BarColumn(bar_width=12),
        TextColumn("{task.fields[count]}", style="progress.download"),
        TimeElapsedColumn(),
        TextColumn("{task.description}{task.fields[note]}", markup=False, table_column=flexible),
        console=Console(stderr=True),
        expand=True,
        transient=True,
    )


class _Steps:
    """One bar: the step that the hosts are at, how many have done it, what went wrong, for whom it waits.

    The time goes on from the beginning of the operation, so that the bar is seen to live while hosts are silent.
    """

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task = bar.add_task("Connecting", total=None, count="", note="")
        self._name = ""
        self._done: set[str] = set()
        self._failed: set[str] = set()

    def add(self, step: "HostStep") -> None:
        if step.step != self._name:
            self._name = step.step
            # hosts that failed before don't come to this step
            self._done = set(self._failed)
        self._done.add(step.host)
        if not step.ok:
            self._failed.add(step.host)
        waiting = [host for host in step.hosts if host not in self._done]
        self._bar.update(
            self._task,
            description=step.step,
            total=len(step.hosts),
            completed=len(self._done),
            count=f"{len(self._done)}/{len(step.hosts)}",
            note=_note(len(self._failed), waiting),
        )


def _note(failed: int, waiting: list[str]) -> str:
    note = f", {failed} failed" if failed else ""
    if 0 < len(waiting) <= FEW:
        note += f", waiting for {', '.join(map(printable, waiting))}"
    return note
