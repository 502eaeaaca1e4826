"""`torc remote run`."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.output import say
from torc_remote.cli.progress import progress
from torc_remote.cli.remote.options import (
    configured_workers,
    fleet_of,
    host_timeout,
    limit,
    max_attempts,
    max_parallel_ssh,
    not_empty,
    optional_workflow,
    verbose,
)
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.cli.worker_options import given_options, worker_options
from torc_remote.loopback import is_loopback

if TYPE_CHECKING:
    from torc_remote.remote.play_process import PlayProcess
    from torc_remote.remote.report import HostResult, Report

# A workflow has hundreds of hosts at times; a few tell whether they are on this machine.
_LOOKED_UP = 20


@click.command(cls=TorcCommand)
@optional_workflow
@click.option(
    "-w",
    "--workers",
    type=click.Path(path_type=Path),
    help="Worker file to add before starting",
    metavar="FILE",
)
@limit
@max_parallel_ssh
@worker_options
@click.option(
    "--executable",
    callback=not_empty,
    show_default="torc in PATH, ~/.local/bin, ~/.cargo/bin or /usr/local/bin there",
    metavar="FILE",
    help="The torc to use on the hosts",
)
@click.option("--skip-version-check", is_flag=True, help="Skip version verification (not recommended)")
@click.option("--worker-url", metavar="URL", help="The server's URL as the workers see it, when it differs")
@max_attempts
@click.option("--keep-going", is_flag=True, help="Start the other workers when some hosts fail their check")
@host_timeout(60)
@verbose
@pass_app
def run(app: App, /, workflow_id: int | None, workers: Path | None, **options: Any) -> None:
    """Start a detached worker on each of the workflow's machines.

    First every host is checked: does it answer, has it the same torc? Unless all do, nothing is started.
    A worker that is running already stays as it is. The jobs of one that has died are ready again.
    Workers end by themselves when the workflow is complete.

    \b
    Example:
      torc remote run 42 --workers workers.txt --output-dir /data/torc_output
      torc remote run 42
    """
    from torc_remote.remote.play_process import launched

    number = resolve_workflow_id(app, workflow_id)
    with launched() as process:
        if workers:
            _add(app, number, workers)
        report = _start(app, number, process, **options)
    _show(app, report)


def _start(
    app: App,
    number: int,
    process: "PlayProcess",
    *,
    limit: str | None,
    max_parallel_ssh: int,
    host_timeout: int,
    keep_going: bool,
    verbose: bool,
    skip_version_check: bool,
    executable: str | None,
    worker_url: str | None,
    max_attempts: int,
    **given: Any,
) -> "Report":
    from torc_remote.remote import operations

    wanted = operations.RunOptions(
        given_options(given),
        executable,
        worker_url,
        skip_version_check or app.skip_version_check,
        max_attempts,
    )
    found = configured_workers(app, number, limit)
    if app.format != "json":
        click.echo(f"Found {len(found)} worker(s) for workflow {number}")
    _warn_of_localhost(wanted.worker_url or app.settings.api_url, found)
    with progress(app, verbose) as on_step:
        fleet = fleet_of(app, number, found, process, max_parallel_ssh, host_timeout, on_step, keep_going)
        return operations.run(fleet, wanted, lambda text: say(text, err=True))


def _add(app: App, workflow_id: int, file: Path) -> None:
    """Store every entry of the file that is new; run checks the hosts itself."""
    from torc_remote.remote.workers import check_duplicates, read_worker_file

    client = app.client()
    new = check_duplicates(read_worker_file(file), client.list_remote_workers(workflow_id)).to_add
    if new:
        client.add_remote_workers(workflow_id, [address.stored for address in new])


def _show(app: App, report: "Report") -> None:
    from torc_remote.cli.remote.report import finish, show, show_problems

    if app.format == "json" or not report.refused:
        show(app, report, _describe, "Started {} workers")
    tried = [host for host in report.failed if host.state != "not_started"]
    invalid = [host for host in tried if host.state == "invalid"]
    unreachable = [host for host in tried if host.unreachable]
    unfit = [host for host in tried if host not in [*invalid, *unreachable]]
    checks = {
        "Address check failed on": invalid,
        "SSH connectivity check failed for": unreachable,
        "Version check failed on": unfit,
    }
    for what, hosts in checks.items():
        if hosts:
            show_problems(what, hosts)
    others = " Use --keep-going to start the other workers." if len(tried) < len(report.hosts) else ""
    say(f"Nothing was started.{others}", err=True)
    finish(report)


def _describe(host: "HostResult") -> str:
    from torc_remote.cli.remote.report import lost_jobs

    pid = host.details.get("pid")
    text = {
        "registered": f"Started (PID {pid})",
        "unregistered": f"Started (PID {pid}), not registered yet",
        "already_running": f"Already running (PID {pid})",
        "finished": "Finished",
    }[host.state]
    text = f"{text}, {host.reason}" if host.reason else text
    return text + lost_jobs(host, " of the worker before", " (too many workers have died of it)")


def _warn_of_localhost(url: str, workers: Sequence[str]) -> None:
    """A worker on another machine would look for the server on its own."""
    host = urlsplit(url).hostname or ""
    if not is_loopback(host) or all(is_loopback(_real_host(worker)) for worker in workers[:_LOOKED_UP]):
        return
    say(
        f"Warning: the workers are told that the server is at {host}, which on their machines is themselves. "
        "Name an address that they reach it by, such as:\n"
        f"    --worker-url http://{os.uname().nodename}:{urlsplit(url).port or 80}/torc-service/v1",
        err=True,
    )


def _real_host(worker: str) -> str:
    """What ssh's configuration makes of a worker's host, without connecting."""
    from torc_remote.remote.workers import WorkerError, parse_worker

    try:
        host = parse_worker(worker).host
    except WorkerError:
        return "localhost"  # it is reported later; nobody will connect to it
    config = os.environ.get("TORC_REMOTE_SSH_CONFIG")
    command = ["ssh", *(["-F", config] if config else []), "-G", "--", host]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    names = [line.split(" ", 1)[1] for line in answer.splitlines() if line.startswith("hostname ")]
    return names[0] if names else host
