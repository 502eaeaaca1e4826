"""`torc ping`."""

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcCommand
from torc_remote.cli.output import print_json


@click.command(cls=TorcCommand)
@pass_app
def ping(app: App) -> None:
    """Ask whether the server answers.

    \b
    Example:
      torc ping
      torc --url http://server.example.com:8080/torc-service/v1 ping
    """
    app.client().ping()
    answer = "Server is running"
    if app.format == "json":
        print_json({"status": answer})
    else:
        click.echo(answer)
