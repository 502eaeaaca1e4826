"""``torc server``: the built-in server."""

from pathlib import Path

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.options import TorcGroup
from torc_remote.errors import TorcError, UsageError


@click.group(cls=TorcGroup)
def server() -> None:
    """Run the small server that comes with torc-remote.

    \b
    Example:
      torc server run --port 8080 --database torc.db
    """


@server.command("run")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("torc.db"),
    show_default=True,
    help="SQLite file; made if it doesn't exist.",
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File whose first line is the password that clients must send [default: TORC_PASSWORD].",
)
@pass_app
def run(app: App, host: str, port: int, database: Path, password_file: Path | None) -> None:
    """Serve workflows until interrupted.

    Listens on this machine alone unless told otherwise; any other address needs a password. Once it accepts
    connections it prints TORC_SERVER_PORT=<port>. Remote workers get a token each in place of the password.

    \b
    Example:
      torc server run
      TORC_PASSWORD=... torc server run --host 0.0.0.0 --database ~/torc.db
    """
    password = _first_line(password_file) if password_file else app.settings.password or ""
    try:
        from torc_remote.builtin.server.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn"):
            raise
        raise TorcError(
            f"The built-in server needs {error.name}, which isn't installed: pip install 'torc-remote[server]'"
        ) from error
    serve(host, port, database, password)


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The password file {path} can't be read ({error}); give a readable text file."
        ) from error
    if not lines or not lines[0]:
        raise UsageError(f"The password file {path} is empty; write the password on its first line.")
    return lines[0]
