"""Arguments and options that the commands of `torc remote` share, and how a command comes to its Fleet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from torc_remote.cli.app import App
from torc_remote.cli.commands import WORKFLOW_ID
from torc_remote.cli.progress import progress
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.errors import TorcError, UsageError

if TYPE_CHECKING:
    from torc_remote.remote.operations import Fleet
    from torc_remote.remote.play_process import PlayProcess
    from torc_remote.remote.report import OnStep

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

optional_workflow = click.argument("workflow_id", type=WORKFLOW_ID, required=False)
max_parallel_ssh = click.option(
    "--max-parallel-ssh",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Maximum parallel SSH connections",
)
limit = click.option(
    "--limit",
    metavar="PATTERN[,...]",
    help="Only these workers: hosts or addresses, with * and ?; !PATTERN leaves out; @FILE names a worker file",
)
workers_file = click.option(
    "-w",
    "--workers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Worker file: where a deleted workflow had workers",
)
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Show each host's answer as it arrives (stderr)."
)


max_attempts = click.option(
    "--max-attempts",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How many workers may die of a job before it is terminated",
)


def host_timeout(default: int) -> Callable[[Decorated], Decorated]:
    """The option that bounds each step on a host."""
    return click.option(
        "--host-timeout",
        type=click.IntRange(min=0),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help="Bound on each step on a host; 0 for none",
    )


def all_workflows(text: str) -> Callable[[Decorated], Decorated]:
    """The option for an output directory that several workflows share."""
    return click.option("--all-workflows", is_flag=True, help=text)


def output_dir_of_record(*names: str, text: str) -> Callable[[Decorated], Decorated]:
    """An option for the directory on the hosts; left out, the directory counts that the worker was started with."""
    return click.option(
        *names,
        "output_dir",
        callback=not_empty,
        show_default="the one of the start, else torc_output",
        metavar="DIR",
        help=text,
    )


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A callback for options whose empty value can only be a mistake, such as a variable that is not set."""
    if value is not None and not value.strip():
        raise UsageError(f"{param.opts[0]} is empty; leave it out or name a directory.")
    return value


def fleet_options(timeout: int) -> Callable[[Decorated], Decorated]:
    """The options that chosen_fleet takes, with this default for the bound on each step."""

    def decorate(function: Decorated) -> Decorated:
        for option in (verbose, host_timeout(timeout), max_parallel_ssh, limit):
            function = option(function)
        return function

    return decorate


@contextmanager
def chosen_fleet(
    app: App,
    workflow_id: int | None,
    *,
    limit: str | None,
    max_parallel_ssh: int,
    host_timeout: int,
    verbose: bool,
    workers: Path | None = None,
) -> "Iterator[Fleet]":
    """The workers of the workflow that ``limit`` names, with the progress on the screen meanwhile.

    The file ``workers`` takes the place of the server's list. Raises TorcError when there are none.
    """
    from torc_remote.remote.play_process import launched

    number = resolve_workflow_id(app, workflow_id)
    with launched() as process, progress(app, verbose) as on_step:
        found = _workers_of_file(workers, limit) if workers else _workers_or_advice(app, number, limit)
        yield fleet_of(app, number, found, process, max_parallel_ssh, host_timeout, on_step)


def _workers_of_file(file: Path, limit: str | None) -> list[str]:
    from torc_remote.remote.limit import select
    from torc_remote.remote.workers import check_duplicates, read_worker_file

    return select([address.stored for address in check_duplicates(read_worker_file(file)).to_add], limit)


def _workers_or_advice(app: App, workflow_id: int, limit: str | None) -> list[str]:
    from torc_remote.client.errors import ApiError

    try:
        return configured_workers(app, workflow_id, limit)
    except ApiError as error:
        # a URL that no torc server is behind gives a 404 as well
        unknown = error.status == HTTPStatus.NOT_FOUND and "not found" in str(error)
        if not unknown or click.get_current_context().command.name == "install":
            raise
        raise TorcError(f"{error}. If it was deleted, name its machines with --workers FILE.") from None


def configured_workers(app: App, workflow_id: int, limit: str | None) -> list[str]:
    """The stored addresses of the workflow's workers. Raises TorcError when there are none that ``limit`` names."""
    from torc_remote.remote import operations
    from torc_remote.remote.limit import select

    return select(operations.configured_workers(app.client(), workflow_id), limit)


def fleet_of(
    app: App,
    workflow_id: int,
    workers: Sequence[str],
    process: "PlayProcess",
    forks: int,
    timeout: int,
    on_step: "OnStep | None",
    keep_going: bool = False,
) -> "Fleet":
    """These workers of a workflow, and the way to them."""
    from torc_remote.remote.operations import Fleet, PlayOptions

    options = PlayOptions(forks, timeout, keep_going, on_step, process)
    return Fleet(app.client(), workflow_id, workers, options)
