"""The processes that descend from one of ours: how to find them and how to end them, whatever their session."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

_POLL_SECONDS = 0.05


class Process(NamedTuple):
    """A process beyond doubt: its number may belong to another one later, then the start differs."""

    pid: int
    started: str


def descendants(pid: int) -> set[Process]:
    """The living children of a process, their children, and so on."""
    listed = _living()
    found = {pid}
    while more := {process.pid for process, parent in listed.items() if parent in found} - found:
        found |= more
    return {process for process in listed if process.pid in found - {pid}}


def end_descendants(grace: float) -> None:
    """End all descendants of this process: SIGTERM, and SIGKILL for what is left after ``grace`` seconds.

    What gets SIGTERM may start others that clean up; they have the same time.
    """
    members = descendants(os.getpid())
    _signal(members, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := members & _living().keys()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for process in left:
        _signal({process, *descendants(process.pid)}, signal.SIGKILL)


def kill_children() -> None:
    """Send SIGTERM to the direct children of this process."""
    _signal({process for process, parent in _living().items() if parent == os.getpid()}, signal.SIGTERM)


def _living() -> dict[Process, int]:
    """Every process that is no zombie, and its parent's number."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat=,lstart="]
    environment = os.environ | {"LC_ALL": "C"}
    listed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout
    rows = (line.split(None, 3) for line in listed.splitlines())
    return {Process(int(pid), start): int(parent) for pid, parent, stat, start in rows if stat[0] not in "ZX"}


def _signal(processes: Iterable[Process], number: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
