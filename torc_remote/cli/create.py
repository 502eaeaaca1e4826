"""`torc create`, also as `torc workflows create`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcCommand
from torc_remote.cli.output import print_json


@click.command(cls=TorcCommand)
@click.argument("file")
@click.option(
    "--no-resource-monitoring", is_flag=True, help="Don't measure the jobs, whatever the spec says."
)
@pass_app
def create(app: App, file: str, no_resource_monitoring: bool) -> None:
    """Create a workflow from a spec FILE in YAML or JSON; - reads stdin.

    Prints the workflow's ID. Nothing runs yet: see 'torc run' and 'torc remote run'.

    \b
    Example:
      torc create workflow.yaml
      torc -f json create workflow.json
    """
    from torc_remote.spec import create_workflow, load_spec

    spec = load_spec(file)
    if no_resource_monitoring:
        spec = spec.without_monitoring()
    workflow_id = create_workflow(app.client(), spec, app.settings.username)
    message = f"Created workflow {workflow_id}"
    if app.format == "json":
        print_json({"workflow_id": workflow_id, "status": "success", "message": message})
    else:
        click.echo(message)
