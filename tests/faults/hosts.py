"""What the tests of faults do to hosts: another ssh configuration, another torc, a look at their processes."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.remote import SandboxFleet
from torc_remote import processes

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a file system to try this with")


def with_ssh_config(fleet: SandboxFleet, text: str, name: str = "faulty") -> SandboxFleet:
    """The fleet with an ssh configuration that begins with ``text``, as a user's own would."""
    config = fleet.directory / f"ssh_config.{name}"
    config.write_text(f"{text}\n{fleet.sandbox.layout.ssh_config.read_text()}")
    return dataclasses.replace(fleet, environment={"TORC_REMOTE_SSH_CONFIG": str(config)})


@contextmanager
def other_torc(fleet: SandboxFleet, host: str, script: str) -> Iterator[None]:
    """A host whose torc is a shell script; it finds the real one as ``$real``."""
    torc = fleet.home(host) / ".local/bin/torc"
    real = fleet.home(host) / ".local/real/torc"
    real.parent.mkdir()
    torc.rename(real)
    torc.write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
    torc.chmod(0o755)
    try:
        yield
    finally:
        real.rename(torc)
        real.parent.rmdir()


@contextmanager
def handshakes(fleet: SandboxFleet) -> Iterator[dict[str, int]]:
    """The handshakes that each host of the sandbox sees in the block; known when it ends."""
    gained: dict[str, int] = {}
    before = fleet.sandbox.handshakes()
    yield gained
    gained.update({host: count - before[host] for host, count in fleet.sandbox.handshakes().items()})


def worker_pids(fleet: SandboxFleet, number: int) -> set[int]:
    """The worker processes of a workflow: `torc run NUMBER`, not the shell that waits for it."""
    return {
        pid
        for pid in processes.processes_with(f"TORC_API_URL={fleet.url}")
        if any(words(pid)[at : at + 2] == ["run", str(number)] for at in (1, 2))
    }


def words(pid: int) -> list[str]:
    """A process's command line."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return []


def connections(fleet: SandboxFleet, *hosts: str) -> int:
    """How many ssh clients hold a connection to these hosts."""
    layout = fleet.sandbox.layout
    ends = {(host.address, layout.port) for host in layout.hosts if host.name in hosts}
    return sum(entry.remote in ends for entry in processes.tcp_sockets())


def forget_home(fleet: SandboxFleet, host: str) -> None:
    """Remove what workers left on a host."""
    for name in ("torc_output", ".local/state"):
        shutil.rmtree(fleet.home(host) / name, ignore_errors=True)
