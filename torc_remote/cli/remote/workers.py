"""`torc remote add-workers`, `add-workers-from-file`, `list-workers` and `remove-worker`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import WORKFLOW_ID, ListCommand, TorcCommand
from torc_remote.cli.progress import progress
from torc_remote.cli.remote.options import (
    fleet_of,
    host_timeout,
    max_parallel_ssh,
    optional_workflow,
    verbose,
)
from torc_remote.cli.selection import resolve_workflow_id

if TYPE_CHECKING:
    from torc_remote.remote.report import Report
    from torc_remote.remote.workers import WorkerAddress

_skip_ssh_check = click.option(
    "--skip-ssh-check", is_flag=True, help="Add the workers without trying to reach them"
)


@click.command(cls=TorcCommand)
@click.argument("workflow_id", type=WORKFLOW_ID)
@click.argument("workers", nargs=-1, required=True, metavar="WORKER...")
@_skip_ssh_check
@max_parallel_ssh
@host_timeout(60)
@verbose
@pass_app
def add_workers(
    app: App,
    workflow_id: int,
    workers: tuple[str, ...],
    skip_ssh_check: bool,
    max_parallel_ssh: int,
    host_timeout: int,
    verbose: bool,
) -> None:
    """Add one or more workers, [user@]host[:port] each, to a workflow.

    Those that don't answer to ssh are not added; their reasons are shown.

    \b
    Example:
      torc remote add-workers 42 worker1.example.com alice@worker2:2222
    """
    from torc_remote.remote.workers import parse_worker

    addresses = [parse_worker(worker) for worker in workers]
    _add(app, workflow_id, addresses, skip_ssh_check, max_parallel_ssh, host_timeout, verbose)


@click.command(cls=TorcCommand)
@click.argument("worker_file", type=click.Path(path_type=Path))
@optional_workflow
@_skip_ssh_check
@max_parallel_ssh
@host_timeout(60)
@verbose
@pass_app
def add_workers_from_file(
    app: App,
    worker_file: Path,
    workflow_id: int | None,
    skip_ssh_check: bool,
    max_parallel_ssh: int,
    host_timeout: int,
    verbose: bool,
) -> None:
    """Add the workers that a file lists, one [user@]host[:port] a line, to a workflow.

    Blank lines and lines that begin with # are ignored. Each host may appear once.

    \b
    Example:
      torc remote add-workers-from-file workers.txt 42
    """
    from torc_remote.remote.workers import read_worker_file

    addresses = read_worker_file(worker_file)
    number = resolve_workflow_id(app, workflow_id)
    _add(app, number, addresses, skip_ssh_check, max_parallel_ssh, host_timeout, verbose)


@click.command(cls=ListCommand)
@optional_workflow
@pass_app
def list_workers(app: App, workflow_id: int | None) -> None:
    """List the workers of a workflow.

    \b
    Example:
      torc remote list-workers 42
    """
    from torc_remote.cli.output import print_items

    number = resolve_workflow_id(app, workflow_id)
    workers = app.client().list_remote_workers(number)
    if app.format == "json":
        _print_worker_json("list-workers", number, workers)
        return
    items = [{"worker": worker} for worker in workers]
    print_items(app, items, {"Worker": "worker"}, empty=f"Workflow {number} has no workers.")


@click.command(cls=TorcCommand)
@click.argument("worker")
@optional_workflow
@pass_app
def remove_worker(app: App, worker: str, workflow_id: int | None) -> None:
    """Remove a worker, named as it is stored, from a workflow. A running worker process is not stopped.

    \b
    Example:
      torc remote remove-worker worker1.example.com 42
    """
    number = resolve_workflow_id(app, workflow_id)
    app.client().remove_remote_worker(number, worker)
    if app.format == "json":
        _print_worker_json("remove-worker", number, [worker])
    else:
        click.echo(f"Removed worker {worker} from workflow {number}")


def _print_worker_json(operation: str, workflow_id: int, workers: Sequence[str]) -> None:
    from torc_remote.cli.output import print_json
    from torc_remote.remote.report import HostResult, Report

    hosts = [
        HostResult(worker, worker, "stored" if operation == "list-workers" else "removed", True)
        for worker in workers
    ]
    print_json(Report(operation, workflow_id, hosts).as_json())


def _add(
    app: App,
    workflow_id: int,
    addresses: "Sequence[WorkerAddress]",
    skip_ssh_check: bool,
    forks: int,
    timeout: int,
    is_verbose: bool,
) -> None:
    from torc_remote.remote import operations
    from torc_remote.remote.play_process import launched
    from torc_remote.remote.report import HostResult, Report
    from torc_remote.remote.workers import check_duplicates

    client = app.client()
    new = check_duplicates(addresses, client.list_remote_workers(workflow_id))
    names = [address.stored for address in new.to_add]
    if skip_ssh_check or not names:
        hosts = [HostResult(name, name, "reachable", True) for name in names]
        report = Report("add-workers", workflow_id, hosts)
    else:
        with launched() as process, progress(app, is_verbose) as on_step:
            fleet = fleet_of(app, workflow_id, names, process, forks, timeout, on_step)
            report = operations.check_reachable(fleet)
    good = [host.worker for host in report.hosts if host.ok]
    if good:
        client.add_remote_workers(workflow_id, good)
    _show_added(app, report, addresses)


def _show_added(app: App, report: "Report", addresses: "Sequence[WorkerAddress]") -> None:
    from torc_remote.cli.output import print_json, say
    from torc_remote.cli.remote.report import leave, show_problems
    from torc_remote.remote.report import HostResult, Report

    results = {a.stored: HostResult(a.stored, a.host, "already_stored", True) for a in addresses}
    results |= {h.worker: replace(h, state="added") if h.ok else h for h in report.hosts}
    stored = [host for host in results.values() if host.state == "already_stored"]
    report = Report("add-workers", report.workflow_id, list(results.values()))
    if app.format == "json":
        print_json(report.as_json())
    else:
        count = len(results) - len(stored) - len(report.failed)
        click.echo(f"Added {count} worker(s) to workflow {report.workflow_id}")
        if stored:
            say(f"Already there: {', '.join(host.worker for host in stored)}")
        if report.failed:
            show_problems("SSH connectivity check failed for", report.failed)
            say("They were not added; --skip-ssh-check adds them all the same.", err=True)
    leave(report)
