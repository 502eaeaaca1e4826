"""`torc delete`, also as `torc workflows delete`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.output import confirm, print_json
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.client.api import TorcClient
from torc_remote.errors import TorcError


@click.command(cls=TorcCommand)
@click.argument("workflow_ids", type=int, nargs=-1)
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
