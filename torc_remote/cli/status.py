"""`torc status`, also as `torc workflows status`."""

from typing import Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import WORKFLOW_ID, TorcCommand
from torc_remote.cli.output import duration, print_json, say
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.text import printable


@click.command(cls=TorcCommand)
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@pass_app
def status(app: App, workflow_id: int | None) -> None:
    """Show how far a workflow is: its jobs by state, its workers, its times.

    \b
    Example:
      torc status 42
      torc -f json status 42
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    summary = app.client().workflow_status(workflow_id)
    if app.format == "json":
        print_json(summary | _formatted_times(summary) | {"unserved_ready_labels": []})
    else:
        say(_for_people(summary), indent=14)


def _formatted_times(summary: dict[str, Any]) -> dict[str, str]:
    """torc's own client adds these to what the server says (torc wire 1.3)."""
    times = {"total_exec_time_formatted": duration(60 * summary.get("total_exec_time_minutes", 0))}
    if (walltime := summary.get("walltime_seconds")) is not None:
        times["walltime_formatted"] = duration(walltime)
    return times


def _for_people(summary: dict[str, Any]) -> str:
    counts = {name: count for name, count in summary["jobs_by_status"].items() if count}
    times = _formatted_times(summary)
    lines = [
        f"Workflow {summary['workflow_id']}: {printable(summary['workflow_name'])}",
        f"  User        {printable(summary['workflow_user'])}",
        f"  State       {_state(summary, counts)}",
        f"  Workers     {summary['active_compute_nodes']} active",
        f"  Job time    {times['total_exec_time_formatted']}",
    ]
    if "walltime_formatted" in times:
        lines.append(f"  Wall time   {times['walltime_formatted']}")
    lines.append(f"Jobs: {summary['total_jobs']}")
    lines += [f"  {name:<14}{count:>6}" for name, count in counts.items()]
    return "\n".join(lines)


def _state(summary: dict[str, Any], counts: dict[str, int]) -> str:
    if summary["is_canceled"]:
        return "canceled"
    if summary["is_complete"]:
        bad = sum(counts.get(name, 0) for name in ("failed", "canceled", "terminated"))
        return f"complete, {bad} of {summary['total_jobs']} jobs not successful" if bad else "complete"
    if set(counts) <= {"uninitialized", "disabled"}:
        return "not initialized"
    return "running" if counts.get("running") else "waiting for workers"
