"""Fixtures with real processes behind them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.remote import SandboxFleet, end_leftovers
from torc_remote.sandbox import Sandbox, start

# A shell lets its background jobs ignore SIGINT, and what they start inherits that, also what the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of the screen is the terminal's: libraries that tests import may have set these."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A command that a test runs in this process ends by ignoring interrupts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Three ssh hosts for the whole session: sandbox1, sandbox2, sandbox3."""
    with start(3, tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@dataclass(frozen=True)
class Server:
    """A built-in server in its own process; `url` includes the base path."""

    url: str
    process: subprocess.Popen[bytes]
    database: Path
    log: Path


StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Starts built-in servers: ``start_server(database=None, password="", port=0, options=())``.

    They end with the module.
    """
    started: list[Server] = []

    def start_one(
        database: Path | None = None, password: str = "", port: int = 0, options: Sequence[str] = ()
    ) -> Server:
        directory = tmp_path_factory.mktemp("server")
        started.append(_start_server(directory, database or directory / "torc.db", password, port, options))
        return started[-1]

    yield start_one
    for server in started:
        server.process.terminate()
        server.process.wait(10)


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    """One built-in server for the module."""
    return start_server()


def _start_server(
    directory: Path, database: Path, password: str, port: int, options: Sequence[str]
) -> Server:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    if password:
        environment["TORC_PASSWORD"] = password
    torc = Path(sys.executable).with_name("torc")
    command = [torc, "server", "run", "--port", str(port), *options, "--database"]
    out, log = directory / "server.out", directory / "server.log"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen([*command, str(database)], stdout=stdout, stderr=stderr, env=environment)

    def announced_port() -> str:
        if process.poll() is not None:
            pytest.fail(f"the server left with {process.returncode}: {log.read_text()}")
        announced = re.search(r"^TORC_SERVER_PORT=(\d+)$", out.read_text(), re.MULTILINE)
        return announced[1] if announced else ""

    url = f"http://127.0.0.1:{wait_until(announced_port, 20)}/torc-service/v1"
    return Server(url, process, database, log)


@pytest.fixture(scope="module")
def fleet(sandbox: Sandbox, server: Server, tmp_path_factory: pytest.TempPathFactory) -> SandboxFleet:
    """The CLI with a server of the module's own and the session's three hosts, which have torc installed.

    Their homes are empty otherwise: each module's server counts its workflows from 1.
    """
    end_leftovers(sandbox)
    for path in (path for host in sandbox.hosts for path in host.home.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    machines = SandboxFleet(sandbox, server.url, tmp_path_factory.mktemp("controller"))
    machines.torc("remote", "install", machines.sleeping())
    return machines
