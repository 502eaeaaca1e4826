"""`torc cancel`, also as `torc workflows cancel`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import WORKFLOW_ID, TorcCommand
from torc_remote.cli.output import confirm, print_json, say
from torc_remote.cli.selection import resolve_workflow_id


@click.command(cls=TorcCommand)
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
