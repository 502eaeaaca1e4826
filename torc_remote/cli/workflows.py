"""`torc workflows`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.cancel import cancel
from torc_remote.cli.create import create
from torc_remote.cli.delete import delete
from torc_remote.cli.options import WORKFLOW_ID, ListCommand, TorcGroup, list_options
from torc_remote.cli.output import Columns, confirm, moment, print_items, print_json
from torc_remote.cli.selection import resolve_workflow_id
from torc_remote.cli.status import status


@click.group(cls=TorcGroup)
def workflows() -> None:
    """Create, list, initialize and reset workflows.

    \b
    Example:
      torc workflows list
      torc workflows init 42
    """


for command in (create, status, cancel, delete):
    workflows.add_command(command)


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
    _say(app, workflow_id, f"Initialized workflow {workflow_id}")


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
    _say(app, workflow_id, f"Reset {count} job(s) of workflow {workflow_id}{hint}")


def _say(app: App, workflow_id: int, message: str) -> None:
    if app.format == "json":
        print_json({"status": "success", "workflow_id": workflow_id, "message": message})
    else:
        click.echo(message)
