"""`torc delete`, also as `torc workflows delete`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.output import confirm, print_json
from torc_remote.cli.selection import resolve_workflow_id


@click.command(cls=TorcCommand)
@click.argument("workflow_ids", type=int, nargs=-1)
@click.option("--no-prompts", "--force", is_flag=True, help="Don't ask for confirmation.")
@pass_app
def delete(app: App, workflow_ids: tuple[int, ...], no_prompts: bool) -> None:
    """Delete workflows with their jobs and results from the server.

    Files on the workers' machines stay: see 'torc remote delete-logs'.

    \b
    Example:
      torc delete 42
      torc delete 42 43 --no-prompts
    """
    chosen = list(dict.fromkeys(workflow_ids)) or [resolve_workflow_id(app, None)]
    client = app.client()
    names = [f"{number} ({client.get_workflow(number)['name']})" for number in chosen]
    confirm(f"Delete workflow {', '.join(names)} with all jobs and results?", no_prompts)
    for number in chosen:
        client.delete_workflow(number)
        if app.format != "json":
            click.echo(f"Deleted workflow {number}")
    if app.format == "json":
        print_json({"status": "success", "deleted_workflow_ids": chosen})
