"""The real torc: its programs, and servers in processes of their own."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.native import Native, TorcServer, cache_directory, crate_directory, native_environment

StartTorcServer = Callable[..., TorcServer]


@pytest.fixture(scope="session")
def native() -> Native:
    """The real torc; skips the test where it is not installed."""
    programs = cache_directory() / "bin"
    torc, server, htpasswd = (programs / name for name in ("torc", "torc-server", "torc-htpasswd"))
    if not all(program.exists() for program in (torc, server, htpasswd)):
        pytest.skip(f"no torc in {programs}; scripts/install-torc builds it, with cargo")
    return Native(torc, server, htpasswd)


@pytest.fixture(scope="session")
def crate(native: Native) -> Path:
    """The source of torc, which has its example specs; not to be changed."""
    directory = crate_directory()
    if directory is None:
        pytest.skip(
            f"cargo's registry lost torc's source; remove {cache_directory()}, then scripts/install-torc"
        )
    return directory


@pytest.fixture(scope="module")
def torc_server(native: Native, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTorcServer]:
    """Starts real servers: ``torc_server("--require-auth", ...)``; they end with the module.

    They look for completed jobs every second. With ``--https`` the URL is an https one.
    """
    started: list[TorcServer] = []

    def start_one(*options: str | Path) -> TorcServer:
        started.append(_start(native, tmp_path_factory.mktemp("torc-server"), options))
        return started[-1]

    yield start_one
    for server in started:
        server.process.terminate()
        server.process.wait(10)


def _start(native: Native, directory: Path, options: tuple[str | Path, ...]) -> TorcServer:
    database, out, log = (directory / name for name in ("torc.db", "server.out", "server.log"))
    command = [native.server, "run", "--host", "127.0.0.1", "--port", "0", "--database", database, "-c", "1"]
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *options],
            cwd=directory,  # it reads a .env there
            env=native_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )

    def announced_port() -> str:
        if process.poll() is not None:
            pytest.fail(f"torc-server left with {process.returncode}: {log.read_text()}")
        announced = re.search(r"^TORC_SERVER_PORT=(\d+)$", out.read_text(), re.MULTILINE)
        return announced[1] if announced else ""

    scheme = "https" if "--https" in options else "http"
    url = f"{scheme}://127.0.0.1:{wait_until(announced_port, 20)}/torc-service/v1"
    return TorcServer(url, process, database, log)
