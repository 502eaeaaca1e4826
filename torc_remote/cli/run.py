"""`torc run`: the built-in worker on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.worker_options import given_options, worker_options
from torc_remote.errors import TorcError, UsageError

_SPEC_SUFFIXES = (".yaml", ".yml", ".json", ".json5")


@click.command(cls=TorcCommand)
@click.argument("workflow", metavar="ID|SPEC|-")
@worker_options
@pass_app
def run(app: App, /, workflow: str, **given: Any) -> None:
    """Run a workflow's jobs on this machine until it is complete or canceled.

    The workflow is the ID of one that exists, or a spec file (- for stdin) from which it is created first.
    Commands run in the current directory. Ctrl-C ends the jobs and reports them. A spec that asks for what only
    torc's own server and workers do goes to a native torc on PATH, if the server is a torc-server.

    \b
    Example:
      torc run 42 --output-dir /data/torc_output
      torc run workflow.yaml --max-parallel-jobs 4
    """
    chosen = given_options(given)
    click.get_current_context().exit(_work(app, _workflow_id(app, workflow, chosen), chosen))


def _workflow_id(app: App, workflow: str, chosen: Mapping[str, Any]) -> int:
    if workflow != "-" and not workflow.endswith(_SPEC_SUFFIXES) and not Path(workflow).exists():
        if not workflow.isdecimal():
            raise UsageError(f"'{workflow}' is neither the ID of a workflow nor a spec file that exists.")
        return int(workflow)
    from torc_remote.cli.native import load_spec_or_run_native
    from torc_remote.spec import create_workflow

    options = (f"--{name.replace('_', '-')}={value}" for name, value in chosen.items())
    spec = load_spec_or_run_native(app, workflow, ["run", workflow, *options])
    workflow_id = create_workflow(app.client(), spec, app.settings.username)
    click.echo(f"Created workflow {workflow_id}", err=True)
    return workflow_id


def _work(app: App, workflow_id: int, chosen: Mapping[str, Any]) -> int:
    from torc_remote.builtin.worker.connection import Connection, Credentials
    from torc_remote.builtin.worker.errors import WorkerError
    from torc_remote.builtin.worker.logs import log_to_stderr
    from torc_remote.builtin.worker.worker import options_here, run_worker

    settings = app.settings
    credentials = Credentials(settings.username, settings.password, settings.cookie_header)
    try:
        with log_to_stderr():
            connection = Connection(
                settings.api_url, credentials, settings.tls_ca_cert, settings.tls_insecure
            )
            return run_worker(connection, options_here(workflow_id, settings.run._replace(**chosen)))
    except WorkerError as error:
        raise TorcError(str(error)) from error
