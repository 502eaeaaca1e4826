"""`torc compute-nodes`: the workers as the server knows them."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import WORKFLOW_ID, ListCommand, TorcGroup, list_options
from torc_remote.cli.output import Columns, moment, print_items
from torc_remote.cli.selection import resolve_workflow_id

COLUMNS: Columns = {
    "ID": "id",
    "Host": "hostname",
    "Active": "is_active",
    "CPUs": "num_cpus",
    "GPUs": "num_gpus",
    "Memory GB": lambda node: f"{node['memory_gb']:.1f}",
    "Started": lambda node: moment(node["start_time"]),
}


@click.group(cls=TorcGroup)
def compute_nodes() -> None:
    """List the workers that registered with the server.

    \b
    Example:
      torc compute-nodes list 42
    """


@compute_nodes.command("list", cls=ListCommand)
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@list_options
@pass_app
def list_(app: App, workflow_id: int | None, limit: int | None, offset: int) -> None:
    """List the workers that registered for a workflow, also those that left.

    \b
    Example:
      torc compute-nodes list 42
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    found = app.client().list_compute_nodes(workflow_id, limit=limit, offset=offset)
    print_items(app, found, COLUMNS, "No workers have registered.")
