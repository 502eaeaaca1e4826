"""Which workflow a command means when its ID is left out (torc wire 1.2, "Omitted ID")."""

import sys

import click

from torc_remote.cli.app import App
from torc_remote.errors import TorcError
from torc_remote.text import printable

SHOWN = 50


def resolve_workflow_id(app: App, workflow_id: int | None) -> int:
    """The given ID, the user's only workflow, or the one that the user chooses on the terminal.

    Raises TorcError when there is nobody to ask or nothing to choose from.
    """
    if workflow_id is not None:
        return workflow_id
    if not sys.stdin.isatty():
        raise TorcError("a workflow ID is required when stdin is not a terminal")
    workflows = app.client().list_workflows(user=app.settings.username, is_archived=False, limit=SHOWN)
    if not workflows:
        raise TorcError(f"User {app.settings.username} has no workflow. Create one with 'torc create FILE'.")
    if len(workflows) == 1:
        return int(workflows[0]["id"])
    return _ask({int(workflow["id"]): str(workflow["name"]) for workflow in workflows})


def _ask(names: dict[int, str]) -> int:
    for number, name in names.items():
        click.echo(f"{number:>6}  {printable(name)}", err=True)
    while True:
        chosen: int = click.prompt("Enter workflow ID", type=int, err=True)
        if chosen in names:
            return chosen
        click.echo(f"There is no workflow {chosen} in this list.", err=True)
