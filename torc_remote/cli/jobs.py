"""`torc jobs`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import WORKFLOW_ID, ListCommand, TorcGroup, list_options
from torc_remote.cli.output import confirm, print_items, print_json, say
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.text import printable

STATES = (
    "uninitialized",
    "blocked",
    "ready",
    "pending",
    "running",
    "completed",
    "failed",
    "canceled",
    "terminated",
    "disabled",
)
COLUMNS = {"ID": "id", "Name": "name", "Status": "status", "Command": "command"}


@click.group(cls=TorcGroup)
def jobs() -> None:
    """List jobs, and run single ones again.

    \b
    Example:
      torc jobs list 42
      torc jobs reset-status 17 18
    """


@jobs.command("list", cls=ListCommand)
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@click.option(
    "-s", "--status", type=click.Choice(STATES), metavar="STATE", help="Only the jobs in this state."
)
@list_options
@pass_app
def list_(app: App, workflow_id: int | None, status: str | None, limit: int | None, offset: int) -> None:
    """List the jobs of a workflow.

    \b
    Example:
      torc jobs list 42
      torc jobs list 42 --status failed
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    found = app.client().list_jobs(workflow_id, status=status, limit=limit, offset=offset)
    print_items(app, found, COLUMNS, "No jobs.")


@jobs.command("reset-status")
@click.argument("job_ids", type=int, nargs=-1, required=True, metavar="JOB...")
@click.option("--no-prompts", is_flag=True, help="Don't ask for confirmation.")
@pass_app
def reset_status(app: App, job_ids: tuple[int, ...], no_prompts: bool) -> None:
    """Run failed or terminated jobs again, while the workflow's other jobs run on.

    Each gets another attempt, and what was canceled because of it waits for it again.

    \b
    Example:
      torc jobs list 42 --status failed
      torc jobs reset-status 17 18
    """
    from torc_remote.client.lifecycle import requeue_jobs

    confirm(f"Run job {', '.join(map(str, job_ids))} again?", no_prompts)
    done = requeue_jobs(app.client(), job_ids)
    if app.format == "json":
        print_json({"status": "success", "items": done})
        return
    for job in done:
        say(f"Job {job['id']} ({printable(job['name'])}) is ready for attempt {job.get('attempt_id', 1)}")
