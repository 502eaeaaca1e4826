"""`torc remote install`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.remote.options import chosen_fleet, fleet_options, optional_workflow

if TYPE_CHECKING:
    from torc_remote.remote.report import HostResult


@click.command(cls=TorcCommand)
@optional_workflow
@click.option(
    "--binary",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A native torc binary; without it the built-in worker is installed",
)
@fleet_options(600)
@pass_app
def install(
    app: App,
    /,
    workflow_id: int | None,
    binary: Path | None,
    **chosen: Any,
) -> None:
    """Put torc into ~/.local/bin on the hosts.

    The built-in worker is one file that needs Python 3.8 or newer there. What is the same already stays.

    \b
    Example:
      torc remote install 42
      torc remote install 42 --binary ~/.cargo/bin/torc
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote.cli.remote.report import show
        from torc_remote.remote import operations

        report = operations.install(fleet, binary)
    show(app, report, _describe, "Installed on {} workers")


def _describe(host: "HostResult") -> str:
    verb = "Unchanged:" if host.state == "unchanged" else "Installed"
    return f"{verb} {host.details.get('executable', 'torc')}"
