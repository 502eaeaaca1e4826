"""An interrupt at a random moment of a command: the exit code, and that nothing is left of the command."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.remote import SandboxFleet
from torc_remote import processes

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("TORC_TEST_INTERRUPTS", "3"))
# Until the program's first line Python itself is interrupted.
_LOADED_SECONDS = 0.05
_MARGIN_SECONDS = 0.1


@pytest.fixture
def tidy(fleet: SandboxFleet, tmp_path: Path) -> Iterator[SandboxFleet]:
    """A fleet whose command has a directory of its own for temporary files."""
    (tmp_path / "tmp").mkdir()
    yield replace(fleet, directory=tmp_path, environment={"TMPDIR": str(tmp_path / "tmp")})


def _started(fleet: SandboxFleet, number: int) -> None:
    fleet.torc("workflows", "reset-status", number, "--reinitialize", "--no-prompts", code=None)
    fleet.torc("remote", "run", number)


def _stopped(fleet: SandboxFleet, number: int) -> None:
    fleet.torc("remote", "stop", number, "--force", code=None)
    fleet.torc("workflows", "reset-status", number, "--reinitialize", "--no-prompts", code=None)


def _with_logs(fleet: SandboxFleet, number: int) -> None:
    for host in ("sandbox1", "sandbox2"):
        (fleet.home(host) / "torc_output").mkdir(exist_ok=True)
        (fleet.home(host) / "torc_output/big.log").write_bytes(random.randbytes(20_000_000))


def _ended(fleet: SandboxFleet, number: int) -> None:
    _started(fleet, number)
    _stopped(fleet, number)


def _nothing(fleet: SandboxFleet, number: int) -> None:
    """The command is tried as things are."""


# what is tried, what comes first once, what comes before each round
COMMANDS: dict[
    str, tuple[tuple[str, ...], Callable[[SandboxFleet, int], None], Callable[[SandboxFleet, int], None]]
] = {
    "status": ((), _nothing, _nothing),
    "install": ((), _nothing, _nothing),
    "run": ((), _nothing, _stopped),
    "stop": ((), _nothing, _started),
    "collect-logs": (("-l", "logs"), _ended, _with_logs),
    "delete-logs": ((), _nothing, _ended),
}


@pytest.mark.parametrize("operation", COMMANDS)
def test_an_interrupt_at_any_moment(tidy: SandboxFleet, operation: str) -> None:
    """The exit code is 130, or the command's own; no process, no archive or part of one and no directory is left."""
    options, first, before = COMMANDS[operation]
    number = tidy.sleeping(["sandbox1", "sandbox2"])
    first(tidy, number)
    before(tidy, number)
    begun = time.monotonic()
    own = tidy.torc("remote", operation, number, *options, code=None).returncode
    seconds = time.monotonic() - begun
    for _ in range(ROUNDS):
        before(tidy, number)
        _interrupt(
            tidy, random.uniform(_LOADED_SECONDS, seconds + _MARGIN_SECONDS), own, operation, number, *options
        )
    _stopped(tidy, number)


def _interrupt(fleet: SandboxFleet, moment: float, own: int, *words: str | int) -> None:
    running = fleet.popen("remote", *words)
    time.sleep(moment)
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGINT)
    said = "\n".join(running.communicate(timeout=60))
    where = f"after {moment:.3f} s: {running.returncode}\n{said}"
    assert running.returncode in (130, own), where
    assert "Traceback" not in said and "this is a fault" not in said.lower(), where
    archives = f"torc-logs-{words[1]}-{fleet.key(int(words[1]))}.*"
    wait_until(lambda: not [*_left(fleet), *Path("/tmp").glob(archives)], 30)


def _left(fleet: SandboxFleet) -> list[object]:
    """Ssh's shared connections stay; they call themselves [mux]."""
    temporary = Path(fleet.environment["TMPDIR"])
    started = processes.processes_with(f"TMPDIR={temporary}")
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in started}
    asking = [pid for pid, line in lines.items() if line.exists() and "[mux]" not in line.read_text()]
    return [*asking, *temporary.iterdir(), *fleet.directory.glob("logs/.*.part")]
