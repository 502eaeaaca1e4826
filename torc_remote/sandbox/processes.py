"""What /proc tells of TCP sockets and processes.

Processes that end meanwhile or that we may not look into are left out.
"""

import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_LISTEN = "0A"
_ENDED = b"ZX"


class TcpSocket(NamedTuple):
    """One IPv4 socket: both ends as (address, port), its state, and the inode that its holders have open."""

    local: tuple[str, int]
    remote: tuple[str, int]
    listening: bool
    inode: int


def tcp_sockets() -> list[TcpSocket]:
    """All IPv4 TCP sockets of this network namespace that still belong to a process."""
    rows = (line.split() for line in (_PROC / "net/tcp").read_text().splitlines()[1:])
    sockets = (
        TcpSocket(_endpoint(row[1]), _endpoint(row[2]), row[3] == _LISTEN, int(row[9])) for row in rows
    )
    return [entry for entry in sockets if entry.inode]


def _endpoint(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)


def socket_holders(inodes: Iterable[int]) -> set[int]:
    """The processes that have one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return {pid for pid in _pids() if not wanted.isdisjoint(_open_files(pid))}


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                yield str(entry.readlink())


def processes_with(mark: str) -> set[int]:
    """The processes that were started with ``NAME=value`` in their environment."""
    return {pid for pid in _pids() if mark.encode() in _read(pid, "environ").split(b"\0")}


def with_descendants(pids: Iterable[int]) -> set[int]:
    """These processes and all that descend from them, less those that have ended but were not waited for."""
    parents = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    found = set(pids)
    while more := {pid for pid, (_, parent) in parents.items() if parent in found} - found:
        found |= more
    return {pid for pid in found if pid in parents and parents[pid][0] not in _ENDED}


def _stat(pid: int) -> tuple[bytes, int] | None:
    """State and parent: the two fields after the name, which may have blanks and brackets itself."""
    match = re.search(rb".*\) (\S) (\d+) ", _read(pid, "stat"), re.DOTALL)
    return (match[1], int(match[2])) if match else None


def titles() -> Iterator[str]:
    """Every process's command line, words joined with blanks."""
    for pid in _pids():
        yield _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each; those that are gone or not ours are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
