"""`torc remote status`."""

from typing import Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.remote.options import (
    chosen_fleet,
    fleet_options,
    optional_workflow,
    output_dir_of_record,
    workers_file,
)


@click.command(cls=TorcCommand)
@optional_workflow
@output_dir_of_record("--output-dir", text="Output directory on remote machines")
@workers_file
@fleet_options(60)
@pass_app
def status(
    app: App,
    /,
    workflow_id: int | None,
    output_dir: str | None,
    **chosen: Any,
) -> None:
    """Show which workers are still running.

    \b
    Example:
      torc remote status 42
      torc -f json remote status 42
    """
    with chosen_fleet(app, workflow_id, **chosen) as fleet:
        from torc_remote.cli.remote.report import show_status
        from torc_remote.remote import operations

        report = operations.status(fleet, output_dir)
    show_status(app, report)
