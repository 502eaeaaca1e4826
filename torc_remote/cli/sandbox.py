"""`torc sandbox`: private ssh hosts on this machine."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcGroup
from torc_remote.cli.output import print_json, say, table
from torc_remote.errors import UsageError

if TYPE_CHECKING:
    from torc_remote.sandbox import Sandbox

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="The sandbox's directory. [default: torc-remote/sandbox in $XDG_STATE_HOME or ~/.local/state]",
)


@click.group(cls=TorcGroup)
def sandbox() -> None:
    """Start private ssh hosts on this machine, to try things.

    Each host is an sshd of your own account on a loopback address, with its own home and its own name.
    Neither root nor containers are needed, nobody but you can log in, and your ssh configuration and keys
    stay as they are.

    \b
    Example:
      eval "$(torc sandbox start --hosts 3)"
      torc remote run 1 -w ~/.local/state/torc-remote/sandbox/workers.txt
      torc sandbox stop
    """


@sandbox.command()
@click.option("--hosts", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many hosts.")
@_directory
@pass_app
def start(app: App, hosts: int, directory: Path | None) -> None:
    """Start the hosts sandbox1, sandbox2, ...

    Prints how to use them, as shell commands. --dir names a new or an empty directory; `stop` removes it
    with all that the hosts have in it.

    \b
    Example:
      torc sandbox start --hosts 3
      eval "$(torc sandbox start --hosts 10 --dir /tmp/sandbox)"
    """
    from torc_remote import sandbox as library

    started = library.start(hosts, directory)
    if app.format == "json":
        print_json(_facts(started))
        return
    layout = started.layout
    click.echo(f"# {hosts} hosts listen on port {layout.port}; worker file: {layout.worker_file}")
    click.echo(f"# try: ssh -F {layout.ssh_config} {started.hosts[0].name} hostname")
    for name, value in started.environment.items():
        click.echo(f"export {name}={value}")


@sandbox.command("list")
@pass_app
def list_(app: App) -> None:
    """List the running sandboxes and their hosts.

    \b
    Example:
      torc sandbox list
      torc sandbox list -f json
    """
    from torc_remote import sandbox as library

    found = library.running()
    if app.format == "json":
        print_json([_facts(entry) for entry in found])
    elif not found:
        click.echo("No sandbox runs.", err=True)
    else:
        for entry in found:
            _print_hosts(entry)


@sandbox.command()
@_directory
@pass_app
def stop(app: App, directory: Path | None) -> None:
    """End the hosts and all that runs on them.

    The directory is removed with the hosts' homes. Where no sandbox is, nothing happens.

    \b
    Example:
      torc sandbox stop
      torc sandbox stop --dir /tmp/sandbox
    """
    from torc_remote import sandbox as library

    directory = directory or library.default_directory()
    found = library.find(directory)
    if found:
        found.stop()
    elif directory.is_dir() and any(directory.iterdir()):
        raise UsageError(f"{directory} is no sandbox, so it stays as it is")
    if app.format == "json":
        hosts = [host.name for host in found.hosts] if found else []
        print_json({"directory": str(directory), "stopped": hosts})
    elif found:
        click.echo(f"Stopped the sandbox of {len(found.hosts)} hosts in {directory}.")
    else:
        click.echo(f"No sandbox in {directory}.")


def _facts(entry: "Sandbox") -> dict[str, Any]:
    listening = entry.listening()
    return {
        "directory": str(entry.layout.directory),
        "worker_file": str(entry.layout.worker_file),
        "ssh_config": str(entry.layout.ssh_config),
        "environment": entry.environment,
        "port": entry.layout.port,
        "hosts": [
            {
                "name": host.name,
                "address": host.address,
                "port": entry.layout.port,
                "state": "running" if host.name in listening else "down",
                "home": str(host.home),
            }
            for host in entry.hosts
        ],
    }


def _print_hosts(entry: "Sandbox") -> None:
    facts = _facts(entry)
    rows = [[str(host[name]) for name in ("name", "address", "port", "state")] for host in facts["hosts"]]
    say(f"{facts['directory']} (export TORC_REMOTE_SSH_CONFIG={facts['ssh_config']})")
    click.echo(textwrap.indent(table(["Host", "Address", "Port", "State"], rows, None), "  "))
