"""``torc server``: the built-in server."""

import contextlib
import os
import secrets
from pathlib import Path

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import TorcGroup
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
    type=click.Path(dir_okay=False, path_type=Path),
    help="File whose first line is the password that clients must send; made if it doesn't exist "
    "[default: TORC_PASSWORD].",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="Another host name under which a server without a password is asked, by a reverse proxy say. "
    "Can be given more than once.",
)
@pass_app
def run(
    app: App,
    host: str,
    port: int,
    database: Path,
    password_file: Path | None,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Serve workflows until interrupted.

    Listens on this machine alone unless told otherwise; any other address needs a password. Without one every
    user of this machine can run commands as you: on a shared machine give --password-file. Once it accepts
    connections it prints TORC_SERVER_PORT=<port>. Remote workers get a token each in place of the password.

    \b
    Example:
      torc server run
      torc server run --host 0.0.0.0 --password-file secret --database ~/torc.db
    """
    password = _read_or_make(password_file) if password_file else app.settings.password or ""
    try:
        from torc_remote.builtin.server.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "uvicorn"):
            raise
        raise TorcError(
            f"The built-in server needs {error.name}, which isn't installed: pip install 'torc-remote[server]'"
        ) from error
    serve(host, port, database, password, password_file, allowed_hosts)


def _read_or_make(path: Path) -> str:
    try:
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(made, "w") as file:
                file.write(secrets.token_urlsafe() + "\n")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The password file {path} can't be read ({error}); give a readable text file."
        ) from error
    if not lines or not lines[0]:
        raise UsageError(f"The password file {path} is empty; write the password on its first line.")
    return lines[0]
