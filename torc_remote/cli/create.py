"""`torc create`, also as `torc workflows create`."""

import os
import tempfile

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.output import print_json
from torc_remote.errors import TorcError


@click.command(cls=TorcCommand)
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
    from torc_remote.spec import UnsupportedSpecError, create_workflow, parse_spec, read_spec

    text = read_spec(file)
    try:
        spec = parse_spec(text, "stdin" if file == "-" else file)
    except UnsupportedSpecError:
        _hand_over(app, file, text, no_resource_monitoring)
        raise
    if no_resource_monitoring:
        spec = spec.without_monitoring()
    workflow_id = create_workflow(app.client(), spec, app.settings.username)
    message = f"Created workflow {workflow_id}"
    if app.format == "json":
        print_json({"workflow_id": workflow_id, "status": "success", "message": message})
    else:
        click.echo(message)


def _hand_over(app: App, file: str, text: str, no_resource_monitoring: bool) -> None:
    """Let a native torc create the workflow; returns if there is none, or no torc-server to create it on."""
    from torc_remote.cli.handover import MARKER, become_native, find_native
    from torc_remote.client.handoff import client_environment

    try:
        ours = MARKER in str(app.client().version().get("version"))
    except TorcError:
        return
    native = None if ours else find_native()
    if native is None:
        return
    if file == "-":
        with tempfile.TemporaryFile() as again:
            again.write(text.encode())
            again.seek(0)
            os.dup2(again.fileno(), 0)
    words = ["--format", app.format, "create", file]
    words += ["--no-resource-monitoring"] * no_resource_monitoring
    words += ["--skip-version-check"] * app.skip_version_check
    become_native(native, words, client_environment(app.settings))
