"""`torc remote install`, `status` and `stop`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.remote_options import (
    chosen_fleet,
    fleet_options,
    optional_workflow,
    output_dir_of_record,
    workers_file,
)

if TYPE_CHECKING:
    from torc_remote.operations import HostResult


@click.command(cls=TorcCommand)
@optional_workflow
@click.option(
    "--binary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A native torc binary; without it the built-in worker is installed",
)
@fleet_options(600)
@pass_app
def install(
    app: App,
    /,
    workflow_id: int | None,
    binary: Path | None,
    **chosen: Any,
) -> None:
    """Put torc into ~/.local/bin on the hosts.

    The built-in worker is one file that needs Python 3.8 or newer there. What is the same already stays.

    \b
    Example:
      torc remote install 42
      torc remote install 42 --binary ~/.cargo/bin/torc
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote import operations
        from torc_remote.cli.remote_report import show

        report = operations.install(fleet, binary)
    show(app, report, _say_installed, "Installed on {} workers")


@click.command(cls=TorcCommand)
@optional_workflow
@output_dir_of_record("--output-dir", text="Output directory on remote machines")
@workers_file
@fleet_options(60)
@pass_app
def status(
    app: App,
    /,
    workflow_id: int | None,
    output_dir: str | None,
    **chosen: Any,
) -> None:
    """Show which workers are still running.

    \b
    Example:
      torc remote status 42
      torc -f json remote status 42
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote import operations
        from torc_remote.cli.remote_report import show_status

        report = operations.status(fleet, output_dir)
    show_status(app, report)


@click.command(cls=TorcCommand)
@optional_workflow
@click.option("--force", is_flag=True, help="Send SIGKILL instead of SIGTERM")
@output_dir_of_record("--output-dir", text="Output directory on remote machines")
@workers_file
@fleet_options(60)
@pass_app
def stop(
    app: App,
    /,
    workflow_id: int | None,
    force: bool,
    output_dir: str | None,
    **chosen: Any,
) -> None:
    """Stop the workers and the jobs that they are running.

    A process is signalled only when it is proven to be the worker that was started. The server is told which
    jobs that ended, so that they can be run again.

    \b
    Example:
      torc remote stop 42
      torc remote stop 42 --force
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote import operations
        from torc_remote.cli.remote_report import show

        report = operations.stop(fleet, output_dir, force)
    ended = sum(host.details.get("jobs_terminated", 0) for host in report.hosts)
    stopped = sum(host.state == "stopped" for host in report.hosts)
    advice = (
        f"{ended} job(s) were terminated. To run them again:\n"
        f"    torc workflows reset-status {report.workflow_id} --failed-only --reinitialize\n"
        f"    torc remote run {report.workflow_id}"
    )
    summary = f"{stopped}/{len(report.hosts)} workers stopped"
    unassigned = max((host.details.get("jobs_unassigned", 0) for host in report.hosts), default=0)
    waiting = (
        f"{unassigned} job(s) are claimed and not started, and the server does not say by which worker. What a stopped "
        f"one had claimed becomes ready when all are stopped: torc remote stop {report.workflow_id}"
    )
    hints = [advice] * bool(ended) + [waiting] * bool(unassigned)
    show(app, report, _say_stopped, summary, "\n".join(hints))


def _say_installed(host: "HostResult") -> str:
    word = "Unchanged:" if host.state == "unchanged" else "Installed"
    return f"{word} {host.details.get('executable', 'torc')}"


def _say_stopped(host: "HostResult") -> str:
    pid = host.details.get("pid")
    if host.state == "stopped":
        text = f"Stopped (PID {pid})"
    elif host.state == "stale":
        text = f"Not running: {host.reason}; nothing was signalled"
    else:
        text = "Not running"
    jobs = host.details.get("jobs_terminated")
    return f"{text}, {jobs} job(s) terminated" if jobs else text
