"""Running the server as a process."""

import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from torc_remote.builtin.server.app import create_app
from torc_remote.builtin.server.http import BASE_PATH
from torc_remote.builtin.server.http.connections import BoundedConnection, raise_file_limit
from torc_remote.builtin.server.http.doors import OwnNames, is_local_only
from torc_remote.builtin.server.http.logs import log_to_stderr
from torc_remote.builtin.server.store.database import Database
from torc_remote.errors import TorcError, UsageError

_GRACE_SECONDS = 5
# Longer than any worker's pause between polls: a connection that is closed as a request leaves is an error there.
_IDLE_SECONDS = 3600
# How long a client may leave an answer unread.
_UNREAD_MILLISECONDS = 60_000
# So many connections are accepted at once, before there is a look at how many there are; the others wait.
_ACCEPTED_AT_ONCE = 16
_WAITING = 2048


def serve(
    host: str,
    port: int,
    database: Path,
    password: str = "",
    password_file: Path | None = None,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Serve `database` until SIGTERM or SIGINT; port 0 takes a free one.

    Without a password requests must be for a name of this machine's loopback or of `allowed_hosts`. `password_file`:
    where the password is from, for the line that says how to reach the server.

    Prints ``TORC_SERVER_PORT=<n>`` on stdout once connections are accepted (torc wire 6). Raises UsageError
    for an address that others reach when there is no password, TorcError if the address or the database can't
    be used.
    """
    if not password and not is_local_only(host):
        raise UsageError(
            f"Refusing to listen on {host} without a password, because whoever reaches it could run commands "
            "as you: set TORC_PASSWORD or give --password-file."
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    listener = _listen(host, port)
    raise_file_limit()
    log_to_stderr()
    store = Database(database)
    try:
        config = uvicorn.Config(
            create_app(store, password, None if password else OwnNames(host, *allowed_hosts)),
            # The one whose limits are known: others are taken where they are installed.
            http=BoundedConnection,
            ws="none",
            backlog=_ACCEPTED_AT_ONCE,
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_IDLE_SECONDS,
        )
        _Server(config, host, database, password_file).run([listener])
    finally:
        store.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens."""

    def __init__(self, config: uvicorn.Config, host: str, database: Path, password_file: Path | None) -> None:
        super().__init__(config)
        self._host = host
        self._database = database
        self._password_file = password_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections and announce the port."""
        await super().startup(sockets)
        if not sockets or self.should_exit:
            return
        sockets[0].listen(_WAITING)
        port = sockets[0].getsockname()[1]
        url = f"http://{_reachable_name(self._host)}:{port}{BASE_PATH}"
        print(f"TORC_SERVER_PORT={port}", flush=True)
        export = f"export TORC_API_URL={url}"
        if self._password_file:
            export += f' TORC_PASSWORD="$(cat {shlex.quote(str(self._password_file.absolute()))})"'
        print(f"Serving {self._database}; in another terminal: {export}", file=sys.stderr, flush=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    # uvicorn raises the signal again after its own shutdown: that is a normal end here.
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; the connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
        listener.bind(address)
    except OSError as error:
        raise TorcError(
            f"Can't listen on {host} port {port}: {error.strerror}; choose another --port."
        ) from error
    return listener


def _reachable_name(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
