"""`torc jobs`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import ListCommand, TorcGroup, list_options
from torc_remote.cli.output import print_items
from torc_remote.cli.selection import resolve_workflow_id

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
    """List jobs.

    \b
    Example:
      torc jobs list 42
    """


@jobs.command("list", cls=ListCommand)
@click.argument("workflow_id", type=int, required=False)
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
