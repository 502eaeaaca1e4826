"""What is shown while hosts answer: a bar on a terminal, a line a host with -v. All of it on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torc_remote.cli.app import App
from torc_remote.cli.output import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from torc_remote.operations import HostStep, OnStep


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
    say(f"{step.host}: {step.step}: {step.said}", err=True)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failures]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class _Steps:
    """One bar: the step that the hosts are at, how many have done it, how many went wrong."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task = bar.add_task("Connecting", total=None, failures="")
        self._name = ""
        self._failed: set[str] = set()

    def add(self, step: "HostStep") -> None:
        if step.step != self._name:
            self._bar.remove_task(self._task)
            self._name = step.step
            # hosts that failed before don't come to this step
            left = step.total - len(self._failed)
            self._task = self._bar.add_task(step.step, total=left, failures="")
        if not step.ok:
            self._failed.add(step.host)
        failures = f"{len(self._failed)} failed" if self._failed else ""
        self._bar.update(self._task, advance=1, failures=failures)
