"""`torc run`: the built-in worker on this machine."""

import os
from pathlib import Path

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.errors import TorcError, UsageError

_SPEC_SUFFIXES = (".yaml", ".yml", ".json", ".json5")
_COUNT = click.IntRange(min=1)
_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(cls=TorcCommand)
@click.argument("workflow", metavar="ID|SPEC|-")
@click.option("-o", "--output-dir", help="Directory for logs and job output.  [default: torc_output]")
@click.option("-p", "--poll-interval", type=_POSITIVE, help="Seconds between two polls.  [default: 5.0]")
@click.option("--max-parallel-jobs", type=_COUNT, help="Claim by number instead of by resources.")
@click.option("--num-cpus", type=_COUNT, help="CPUs to use.  [default: all]")
@click.option("--memory-gb", type=_POSITIVE, help="Memory to use, in GiB.  [default: all]")
@click.option("--num-gpus", type=click.IntRange(min=0), help="GPUs to use.  [default: all]")
@pass_app
def run(app: App, /, workflow: str, **chosen: object) -> None:
    """Run a workflow's jobs on this machine until it is complete or canceled.

    The workflow is the ID of one that exists, or a spec file (- for stdin) from which it is created first.
    Commands run in the current directory. Ctrl-C ends the jobs and reports them. A spec that asks for what only
    torc's own server and workers do goes to a native torc on PATH, if the server is a torc-server.

    \b
    Example:
      torc run 42 --output-dir /data/torc_output
      torc run workflow.yaml --max-parallel-jobs 4
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    click.get_current_context().exit(_work(app, _workflow_id(app, workflow, given), given))


def _workflow_id(app: App, workflow: str, given: dict[str, object]) -> int:
    if workflow != "-" and not workflow.endswith(_SPEC_SUFFIXES) and not Path(workflow).exists():
        if not workflow.isdecimal():
            raise UsageError(f"'{workflow}' is neither the ID of a workflow nor a spec file that exists.")
        return int(workflow)
    from torc_remote.cli.native import load_spec_or_hand_over
    from torc_remote.spec import create_workflow

    options = (f"--{name.replace('_', '-')}={value}" for name, value in given.items())
    spec = load_spec_or_hand_over(app, workflow, ["run", workflow, *options])
    workflow_id = create_workflow(app.client(), spec, app.settings.username)
    click.echo(f"Created workflow {workflow_id}", err=True)
    return workflow_id


def _work(app: App, workflow_id: int, given: dict[str, object]) -> int:
    from torc_remote.builtin.worker.connection import Connection, Credentials
    from torc_remote.builtin.worker.errors import WorkerError
    from torc_remote.builtin.worker.logs import log_to_stderr
    from torc_remote.builtin.worker.resources import detect
    from torc_remote.builtin.worker.worker import Options, run_worker, worker_name

    settings = app.settings
    values = vars(settings.run) | given
    credentials = Credentials(settings.username, settings.password, settings.cookie_header)
    detected = {name: values.pop(name) for name in ("num_cpus", "memory_gb", "num_gpus")}
    options = Options(workflow_id, worker_name(), detect(os.environ, **detected), **values)
    try:
        with log_to_stderr():
            connection = Connection(
                settings.api_url, credentials, settings.tls_ca_cert, settings.tls_insecure
            )
            return run_worker(connection, options)
    except WorkerError as error:
        raise TorcError(str(error)) from error
