"""`torc remote collect-logs` and `delete-logs`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.remote.options import (
    all_workflows,
    chosen_fleet,
    fleet_options,
    optional_workflow,
    output_dir_of_record,
    workers_file,
)

if TYPE_CHECKING:
    from torc_remote.remote.report import HostResult, Report

# What was found in an archive.
_FINDINGS = {
    "unsafe": "WARNING: unpacked as it is, this would be written outside of the directory",
    "outside_links": "Links that point out of the archive",
    "unchecked": "The archive was not looked through to its end",
}


@click.command(cls=TorcCommand)
@optional_workflow
@click.option(
    "-l",
    "--local-output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default="remote_logs",
    show_default=True,
    metavar="DIR",
    help="Local directory for collected logs",
)
@output_dir_of_record("--remote-output-dir", text="Remote output directory")
@click.option("--delete", is_flag=True, help="Delete remote logs after successful collection")
@all_workflows("Collect everything in the output directory, also of other workflows")
@workers_file
@fleet_options(3600)
@pass_app
def collect_logs(
    app: App,
    /,
    workflow_id: int | None,
    local_output_dir: Path,
    output_dir: str | None,
    delete: bool,
    all_workflows: bool,
    **chosen: Any,
) -> None:
    """Collect the workers' logs, one archive a worker.

    An archive has its name only when its checksum has been compared, and is never overwritten by a different
    one. What has not changed since the last time is not fetched again. Where several workflows share the
    output directory, an archive holds the files of this one, unless --all-workflows asks for everything.

    \b
    Example:
      torc remote collect-logs 42 -l ./logs
      torc remote collect-logs 42 --delete
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote.cli.remote.report import show
        from torc_remote.remote import operations

        report = operations.collect_logs(fleet, local_output_dir, output_dir, delete, all_workflows)
    show(app, report, _describe_collected, _collected(report, delete))


@click.command(cls=TorcCommand)
@optional_workflow
@output_dir_of_record("--remote-output-dir", text="Remote output directory")
@all_workflows("Delete the output of every workflow in the output directory")
@workers_file
@fleet_options(300)
@pass_app
def delete_logs(
    app: App,
    /,
    workflow_id: int | None,
    output_dir: str | None,
    all_workflows: bool,
    **chosen: Any,
) -> None:
    """Delete the workers' output on the hosts, without collecting it.

    Only what the workers of this workflow made is removed, never under a running worker. Use
    `collect-logs --delete` to save the logs first. Where several workflows share the output directory,
    --all-workflows means what the workers of all of them made.

    \b
    Example:
      torc remote delete-logs 42
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote.cli.remote.report import show
        from torc_remote.remote import operations

        report = operations.delete_logs(fleet, output_dir, all_workflows)
    show(app, report, _describe_deleted, "Logs of {} workers deleted")


def _collected(report: "Report", delete: bool) -> str:
    """Also of hosts whose logs could not be deleted the archive is here."""
    total = len(report.hosts)
    here = sum("archive" in host.details and host.state != "incomplete" for host in report.hosts)
    text = f"Logs of {here}/{total} workers collected"
    return (
        f"{text}, of {sum('deleted' in host.details for host in report.hosts)}/{total} deleted"
        if delete
        else text
    )


def _describe_collected(host: "HostResult") -> str:
    from torc_remote.cli.remote.report import readable_size

    if host.state == "absent":
        return f"No logs: {host.reason}"
    if host.state == "unchanged":
        text = f"Unchanged: {host.details.get('archive')}"
    else:
        text = f"{host.details['archive']} ({readable_size(host.details['size'])})"
    if host.details.get("deleted"):
        text += f"; {_describe_deleted(host)}"
    return text + "".join(
        f". {title}: {', '.join(str(host.details[key]).splitlines())}"
        for key, title in _FINDINGS.items()
        if key in host.details
    )


def _describe_deleted(host: "HostResult") -> str:
    if host.state == "absent":
        return f"Nothing to delete: {host.reason}"
    text = f"Deleted {host.details.get('removed')}"
    kept = str(host.details.get("kept", "")).splitlines()
    if not kept:
        return text
    more = f" and {host.details['kept_more']} more" if "kept_more" in host.details else ""
    return f"{text}. Left there, not made by this workflow: {', '.join(kept)}{more}"
