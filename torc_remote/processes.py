"""The processes of this machine: how to find them, by descent, mark or socket, and how to end them.

Those that end meanwhile or that we may not look into are left out. A psutil.Process is one beyond doubt: its number
may belong to another later, which then differs in its start.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import psutil
from psutil import Process

_POLL_SECONDS = 0.05
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


class TcpSocket(NamedTuple):
    """One IPv4 socket: both ends as (address, port), whether it listens, and the process that has it open.

    ``pid`` is None where we may not see the process.
    """

    local: tuple[str, int]
    remote: tuple[str, int] | None
    listening: bool
    pid: int | None


def tcp_sockets() -> list[TcpSocket]:
    """The IPv4 TCP sockets of this network namespace: those that listen, and those of processes that we may see."""
    return [
        TcpSocket(_place(entry.laddr), _place(entry.raddr) if entry.raddr else None, listening, entry.pid)
        for entry in psutil.net_connections("tcp4")
        if (listening := entry.status == psutil.CONN_LISTEN) or entry.pid is not None
    ]


def _place(end: Any) -> tuple[str, int]:
    return end.ip, end.port


def descendants(pid: int) -> set[Process]:
    """The living children of a process, their children, and so on."""
    listed = _living()
    return {process for process in listed if process.pid in _family(listed, {pid}) - {pid}}


def with_descendants(pids: Iterable[int], program: str = "") -> set[int]:
    """The numbers of these processes and of all that descend from them, less those that have ended.

    With ``program`` only those count, also as parents, whose program's name begins so.
    """
    listed = _living(program)
    return _family(listed, set(pids)) & {process.pid for process in listed}


def processes_with(mark: str) -> set[int]:
    """The processes that were started with ``NAME=value`` in their environment."""
    name, _, value = mark.partition("=")
    return {process.pid for process in _all() if _environment(process).get(name) == value}


def titles() -> Iterator[str]:
    """Every process's command line, words joined with blanks."""
    for process in _all():
        with suppress(psutil.Error):
            yield " ".join(process.cmdline())


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
    _signal(Process().children(), signal.SIGTERM)


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each; those that are gone or not ours are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _all() -> Iterator[Process]:
    for pid in psutil.pids():
        with suppress(psutil.Error):
            yield Process(pid)


def _living(program: str = "") -> dict[Process, int]:
    """Every process that is no zombie, of a program whose name begins so, and its parent's number."""
    living = {}
    for process in _all():
        with suppress(psutil.Error), process.oneshot():
            if process.status() not in _ENDED and process.name().startswith(program):
                living[process] = process.ppid()
    return living


def _family(listed: dict[Process, int], pids: set[int]) -> set[int]:
    found = set(pids)
    while more := {process.pid for process, parent in listed.items() if parent in found} - found:
        found |= more
    return found


def _environment(process: Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _signal(processes: Iterable[Process], number: int) -> None:
    """Without psutil's look at each before: a child that sees its parent end first takes that for another reason."""
    signal_all([process.pid for process in processes], number)
