"""A built-in server of the benchmark's own."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.tools import TORC


@contextmanager
def running_server(directory: Path) -> Iterator[str]:
    """Start the server with a database in ``directory``; its URL. It ends with the context."""
    out = directory / "server.out"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    command = [str(TORC), "server", "run", "--port", "0", "--database", str(directory / "torc.db")]
    with out.open("wb") as stdout, (directory / "server.log").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
    try:
        yield f"http://127.0.0.1:{_port(process, out)}/torc-service/v1"
    finally:
        process.terminate()
        process.wait(10)


def _port(process: "subprocess.Popen[bytes]", out: Path) -> str:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"^TORC_SERVER_PORT=(\d+)$", out.read_text(), re.MULTILINE):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {out.with_suffix('.log').read_text()}")
