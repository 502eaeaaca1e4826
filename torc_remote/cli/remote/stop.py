"""`torc remote stop`."""

from typing import TYPE_CHECKING, Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.remote.options import (
    chosen_fleet,
    fleet_options,
    max_attempts,
    optional_workflow,
    output_dir_of_record,
    workers_file,
)

if TYPE_CHECKING:
    from torc_remote.remote.report import HostResult


@click.command(cls=TorcCommand)
@optional_workflow
@click.option("--force", is_flag=True, help="Send SIGKILL instead of SIGTERM")
@click.option(
    "--terminate", is_flag=True, help="The jobs that are running count as terminated, and run no more"
)
@max_attempts
@output_dir_of_record("--output-dir", text="Output directory on remote machines")
@workers_file
@fleet_options(60)
@pass_app
def stop(
    app: App,
    /,
    workflow_id: int | None,
    force: bool,
    terminate: bool,
    max_attempts: int,
    output_dir: str | None,
    **chosen: Any,
) -> None:
    """Stop the workers and the jobs that they are running.

    A process is signalled only when it is proven to be the worker that was started. The jobs that were running
    are ready again, and the next "run" goes on with them.

    \b
    Example:
      torc remote stop 42
      torc remote stop 42 --force
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote.cli.remote.report import show
        from torc_remote.remote import operations

        report = operations.stop(fleet, output_dir, force, terminate, max_attempts)
    ready = sum(host.details.get("jobs_requeued", 0) for host in report.hosts)
    ended = sum(host.details.get("jobs_terminated", 0) for host in report.hosts)
    stopped = sum(host.state == "stopped" for host in report.hosts)
    again = f"{ready} job(s) are ready again. To go on:\n    torc remote run {report.workflow_id}"
    advice = (
        f"{ended} job(s) were terminated. To run them again, with those that failed or were canceled:\n"
        f"    torc workflows reset-status {report.workflow_id} --failed-only --reinitialize\n"
        f"    torc remote run {report.workflow_id}"
    )
    summary = f"{stopped}/{len(report.hosts)} workers stopped"
    unassigned = max((host.details.get("jobs_unassigned", 0) for host in report.hosts), default=0)
    waiting = (
        f"{unassigned} job(s) are claimed and not started, and the server does not say by which worker. What a stopped "
        f"one had claimed becomes ready when all are stopped: torc remote stop {report.workflow_id}"
    )
    hints = [again] * bool(ready) + [advice] * bool(ended) + [waiting] * bool(unassigned)
    show(app, report, _describe, summary, "\n".join(hints))


def _describe(host: "HostResult") -> str:
    from torc_remote.cli.remote.report import lost_jobs

    pid = host.details.get("pid")
    if host.state == "stopped":
        text = f"Stopped (PID {pid})"
    elif host.state in ("stale", "foreign"):
        text = f"Not running: {host.reason}; nothing was signalled"
    else:
        text = "Not running"
    return text + lost_jobs(host)
