"""`torc create`, also as `torc workflows create`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.output import print_json, say


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
    from torc_remote.cli.handover import load_spec_or_hand_over
    from torc_remote.client.lifecycle import inputs_elsewhere
    from torc_remote.spec import create_workflow

    options = ["--no-resource-monitoring"] * no_resource_monitoring
    spec = load_spec_or_hand_over(app, file, ["create", file, *options])
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
