"""The commands `torc` and `torc-remote`."""

import os
import sys

import click

from torc_remote import __version__
from torc_remote.cli.app import App
from torc_remote.cli.commands import LazyGroup
from torc_remote.cli.error_report import report
from torc_remote.cli.process import (
    check_output,
    ignore_interrupts,
    prepare_process,
    require_files,
)

# name: (module of torc_remote.cli, short help); in the order of `torc --help`
COMMANDS = {
    "create": ("workflows", "Create a workflow from a spec file."),
    "run": ("run", "Run a workflow's jobs on this machine."),
    "status": ("workflows", "Show how far a workflow is."),
    "cancel": ("workflows", "Cancel a workflow."),
    "delete": ("workflows", "Delete workflows from the server."),
    "remote": ("remote", "Run a workflow on machines reached with ssh."),
    "workflows": ("workflows", "Create, list, initialize and reset workflows."),
    "jobs": ("jobs", "List jobs."),
    "results": ("results", "List the results of jobs."),
    "compute-nodes": ("compute_nodes", "List the workers that registered."),
    "server": ("server", "Run the built-in server."),
    "sandbox": ("sandbox", "Start private ssh hosts on this machine, to try things."),
    "ping": ("ping", "Ask whether the server answers."),
    "completions": ("completions", "Print a script for the shell's completion."),
}


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    from torc_remote.cli.native import GUARD, MARKER

    if not value or ctx.resilient_parsing:
        return
    click.echo(f"{ctx.find_root().info_name} {__version__}")
    if GUARD in os.environ:
        click.echo(MARKER)
    ctx.exit()


_version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)


@click.group(cls=LazyGroup, table=COMMANDS)
@_version_option
def torc() -> None:
    """Run Torc workflows, here or on machines that you reach with ssh.

    \b
    Example:
      torc server run &                  # a small server, on this machine
      torc create workflow.yaml          # prints the workflow's ID, say 1
      torc remote run 1 -w workers.txt   # jobs run on the machines of that file
      torc status 1
    """


def main() -> None:
    """All of `torc`."""
    prepare_process()
    sys.exit(run(torc, "torc", sys.argv[1:]))


def remote_main() -> None:
    """All of `torc-remote`: the group `remote` alone."""
    prepare_process()
    from torc_remote.cli.remote import remote

    handed_over = App(["remote", *sys.argv[1:]])
    sys.exit(run(_version_option(remote), "torc-remote", sys.argv[1:], handed_over))


def run(command: click.Command, name: str, argv: list[str], app: App | None = None) -> int:
    """Run ``command`` with the words ``argv``; the exit code. Whatever goes wrong is told on stderr."""
    try:
        require_files()
        code = command.main(argv, prog_name=name, obj=app or App(argv), standalone_mode=False)
        check_output()
        ignore_interrupts()
    except (Exception, KeyboardInterrupt) as error:
        ignore_interrupts()
        return report(error)
    return code if isinstance(code, int) else 0
