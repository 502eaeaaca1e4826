"""`torc workflows`, whose most used commands are also `torc create`, `status`, `cancel` and `delete`."""

from typing import Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import WORKFLOW_ID, ListCommand, TorcCommand, TorcGroup, list_options
from torc_remote.cli.output import Columns, confirm, duration, moment, print_items, print_json, say
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.client.api import TorcClient
from torc_remote.errors import TorcError
from torc_remote.text import printable


@click.group(cls=TorcGroup)
def workflows() -> None:
    """Create, list, initialize and reset workflows.

    \b
    Example:
      torc workflows list
      torc workflows init 42
    """


@workflows.command(cls=TorcCommand)
@click.argument("file")
@click.option(
    "--no-resource-monitoring", is_flag=True, help="Don't measure the jobs, whatever the spec says."
)
@pass_app
def create(app: App, file: str, no_resource_monitoring: bool) -> None:
    """Create a workflow from a spec FILE in YAML or JSON; - reads stdin.

    Prints the workflow's ID. Nothing runs yet: see 'torc run' and 'torc remote run'. A spec that asks for what
    only torc's own server and workers do is created by a native torc on PATH, if the server is a torc-server.

    \b
    Example:
      torc create workflow.yaml
      torc -f json create workflow.json
    """
    from torc_remote.cli.native import load_spec_or_run_native
    from torc_remote.client.lifecycle import inputs_elsewhere
    from torc_remote.spec import create_workflow

    options = ["--no-resource-monitoring"] * no_resource_monitoring
    spec = load_spec_or_run_native(app, file, ["create", file, *options])
    if no_resource_monitoring:
        spec = spec.without_monitoring()
    client = app.client()
    workflow_id = create_workflow(client, spec, app.settings.username)
    if spec.files and (note := inputs_elsewhere(client, workflow_id)):
        say(note, err=True)
    message = f"Created workflow {workflow_id}"
    if app.format == "json":
        print_json({"workflow_id": workflow_id, "status": "success", "message": message})
    else:
        click.echo(message)


@workflows.command(cls=TorcCommand)
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


@workflows.command(cls=TorcCommand)
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@click.option("--no-prompts", is_flag=True, help="Don't ask for confirmation.")
@pass_app
def cancel(app: App, workflow_id: int | None, no_prompts: bool) -> None:
    """Cancel a workflow: its workers kill the running jobs and leave.

    'torc workflows reset-status' makes it usable again.

    \b
    Example:
      torc cancel 42
      torc cancel 42 --no-prompts
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    client = app.client()
    name = client.get_workflow(workflow_id)["name"]
    confirm(f"Cancel workflow {workflow_id} ({name})?", no_prompts)
    client.cancel_workflow(workflow_id)
    summary = client.workflow_status(workflow_id)
    if allocations := summary.get("active_scheduled_nodes", 0) + summary.get("pending_scheduled_nodes", 0):
        say(f"Warning: {allocations} Slurm allocation(s) remain; end them with scancel.", err=True)
    if workers := summary.get("active_compute_nodes", 0):
        advice = f"'torc remote stop {workflow_id}' ends them at once."
        say(f"{workers} worker(s) leave as soon as they ask the server again; {advice}", err=True)
    if app.format == "json":
        result = {"status": "success", "workflow_id": workflow_id, "canceled_slurm_jobs": [], "errors": None}
        print_json(result)
    else:
        click.echo(f"Canceled workflow {workflow_id}")


@workflows.command(cls=TorcCommand)
@click.argument("workflow_ids", type=WORKFLOW_ID, nargs=-1)
@click.option("--no-prompts", is_flag=True, help="Don't ask for confirmation.")
@click.option("--force", is_flag=True, help="Neither ask nor refuse while workers are active.")
@pass_app
def delete(app: App, workflow_ids: tuple[int, ...], no_prompts: bool, force: bool) -> None:
    """Delete workflows with their jobs and results from the server.

    While workers are active nothing is deleted: their results would be lost. Files on the workers' machines stay:
    see 'torc remote delete-logs', which also works later, with --workers.

    \b
    Example:
      torc delete 42
      torc delete 42 43 --no-prompts
    """
    chosen = list(dict.fromkeys(workflow_ids)) or [resolve_workflow_id(app, None)]
    client = app.client()
    names = [f"{number} ({client.get_workflow(number)['name']})" for number in chosen]
    if not force:
        _refuse_under_workers(client, chosen)
    confirm(f"Delete workflow {', '.join(names)} with all jobs and results?", no_prompts or force)
    for number in chosen:
        client.delete_workflow(number)
        if app.format != "json":
            click.echo(f"Deleted workflow {number}")
    if app.format == "json":
        print_json({"status": "success", "deleted_workflow_ids": chosen})


def _refuse_under_workers(client: TorcClient, workflow_ids: list[int]) -> None:
    for number in workflow_ids:
        if active := client.list_compute_nodes(number, is_active=True):
            raise TorcError(
                f"Workflow {number} has {len(active)} active worker(s), whose results would be lost. "
                f"Stop them first ('torc remote stop {number}'), or use --force. Nothing was deleted."
            )


@workflows.command("list", cls=ListCommand)
@click.option("-a", "--all-users", is_flag=True, help="The workflows of all users.")
@click.option("--archived-only", is_flag=True, help="Only archived workflows.")
@click.option("--include-archived", is_flag=True, help="Archived workflows as well.")
@list_options
@pass_app
def list_(
    app: App,
    all_users: bool,
    archived_only: bool,
    include_archived: bool,
    limit: int | None,
    offset: int,
) -> None:
    """List your workflows.

    \b
    Example:
      torc workflows list
      torc workflows list --all-users
    """
    found = app.client().list_workflows(
        user=None if all_users else app.settings.username,
        is_archived=None if include_archived else archived_only,
        limit=limit,
        offset=offset,
    )
    columns: Columns = {
        "ID": "id",
        "Name": "name",
        **({"User": "user"} if all_users else {}),
        "Description": "description",
        "Created": lambda workflow: moment(workflow["timestamp"]),
    }
    print_items(app, found, columns, "No workflows.")


@workflows.command()
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@pass_app
def get(app: App, workflow_id: int | None) -> None:
    """Show what the server has stored of a workflow, as JSON.

    \b
    Example:
      torc workflows get 42
    """
    print_json(app.client().get_workflow(resolve_workflow_id(app, workflow_id)))


@workflows.command("is-complete")
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@pass_app
def is_complete(app: App, workflow_id: int | None) -> None:
    """Say whether a workflow is complete, and whether it is canceled.

    \b
    Example:
      torc workflows is-complete 42
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    answer = app.client().is_complete(workflow_id)
    if app.format == "json":
        print_json({"workflow_id": workflow_id} | answer)
    else:
        state = (
            "canceled" if answer["is_canceled"] else "complete" if answer["is_complete"] else "not complete"
        )
        click.echo(f"Workflow {workflow_id} is {state}")


@workflows.command()
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@click.option("--force", is_flag=True, help="Go on although input files are missing or jobs are running.")
@click.option("--no-prompts", is_flag=True, help="Don't ask for confirmation.")
@pass_app
def init(app: App, workflow_id: int | None, force: bool, no_prompts: bool) -> None:
    """Initialize a workflow: a new run, in which each job is ready or waits for others.

    The run commands do it themselves for a workflow that never was initialized.

    \b
    Example:
      torc workflows init 42
    """
    from torc_remote.client.lifecycle import initialize_workflow

    workflow_id = resolve_workflow_id(app, workflow_id)
    client = app.client()
    if not client.is_uninitialized(workflow_id):
        question = f"Workflow {workflow_id} is initialized. Forget its progress and start all jobs over?"
        confirm(question, no_prompts or force)
    initialize_workflow(client, workflow_id, force=force)
    _show_message(app, workflow_id, f"Initialized workflow {workflow_id}")


@workflows.command("reset-status")
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@click.option(
    "--failed-only",
    is_flag=True,
    help="Only jobs that failed, were terminated or canceled, with those after them; keep the others.",
)
@click.option("-r", "--reinitialize", is_flag=True, help="Make the jobs ready for the next run as well.")
@click.option("--force", is_flag=True, help="Reset although jobs are running; they may then run twice.")
@click.option("--no-prompts", is_flag=True, help="Don't ask for confirmation.")
@pass_app
def reset_status(
    app: App, workflow_id: int | None, failed_only: bool, reinitialize: bool, force: bool, no_prompts: bool
) -> None:
    """Reset the status of a workflow and its jobs, to run them again.

    \b
    Example:
      torc workflows reset-status 42 --failed-only --reinitialize
    """
    from torc_remote.client.lifecycle import reset_workflow

    workflow_id = resolve_workflow_id(app, workflow_id)
    client = app.client()
    which = "the unsuccessful jobs" if failed_only else "all jobs"
    confirm(f"Reset {which} of workflow {workflow_id}?", no_prompts)
    count = reset_workflow(client, workflow_id, failed_only, reinitialize, force)
    hint = "" if reinitialize or not failed_only else "; --reinitialize makes them ready for the next run"
    _show_message(app, workflow_id, f"Reset {count} job(s) of workflow {workflow_id}{hint}")


def _show_message(app: App, workflow_id: int, message: str) -> None:
    if app.format == "json":
        print_json({"status": "success", "workflow_id": workflow_id, "message": message})
    else:
        click.echo(message)
