"""What the soak looks at: the workers that live, processes nobody may signal, lines that jobs have written."""

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torc_remote.sandbox import Host, Sandbox

_MARK = b"_TORC_REMOTE_WORKER="

# Says a line, then records elsewhere that it did. HOME ends with the host's name.
_JOB = """\
me="${{HOME##*/}} $TORC_WORKFLOW_ID $TORC_JOB_ID.$$"
for n in 1 2 3 4 5 6 7 8; do
  echo "soak $me $n" && echo "soak $me $n" >>"{directory}/${{HOME##*/}}.$TORC_WORKFLOW_ID"
  sleep 1
done
"""


@dataclass(frozen=True, order=True)
class Process:
    """A process that a worker is or has started: on which host, for which workflow."""

    host: str
    workflow: int
    pid: int
    worker: bool


def processes_of_workers(sandbox: Sandbox) -> list[Process]:
    """All that live on the sandbox's hosts, the shells that wait for workers among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            marks = [value[len(_MARK) :] for value in environment if value.startswith(_MARK)]
            state = Path(os.fsdecode(marks[0])) if marks else Path()
            hosts = sandbox.layout.directory / "hosts"
            if not state.is_relative_to(hosts):
                continue
            workflow = state.name.partition("-")[0]
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            worker = any(words[at : at + 2] == ["run", workflow] for at in (1, 2))
            host = state.relative_to(hosts).parts[0]
            found.append(Process(host, int(workflow), int(entry.name), worker))
    return sorted(found)


def doubles(sandbox: Sandbox) -> set[Process]:
    """Workers that share a host's home and a workflow with another one; nearly always none.

    A worker that is about to run a job looks like two for a moment, until its child is another program.
    """
    workers = [process for process in processes_of_workers(sandbox) if process.worker]
    places = [(worker.host, worker.workflow) for worker in workers]
    return {worker for worker in workers if places.count((worker.host, worker.workflow)) > 1}


class Canaries:
    """One process of the same user on each host that is no worker of ours; every other one looks like one."""

    def __init__(self, hosts: tuple[Host, ...], workflow: int) -> None:
        self._processes = {
            host.name: _canary(host, workflow if index % 2 else None) for index, host in enumerate(hosts)
        }

    def pid(self, host: str) -> int:
        return self._processes[host].pid

    def harmed(self) -> list[str]:
        """The hosts whose canary has ended."""
        return [host for host, process in self._processes.items() if process.poll() is not None]

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


def _canary(host: Host, workflow: int | None) -> "subprocess.Popen[bytes]":
    command = ["sleep", "3600"]
    if workflow is not None:
        torc = host.home / "elsewhere/torc"
        torc.parent.mkdir()
        torc.write_text("read forever\n")
        command = ["/bin/sh", str(torc), "run", str(workflow)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, cwd=host.home, env=os.environ | {"HOME": str(host.home)}
    )


class Ledger:
    """The lines that jobs have written to their stdout, as they recorded it themselves."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._deleted: set[str] = set()

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """Jobs that say a line each second for eight seconds."""
        script = self._directory / "job.sh"
        script.write_text(_JOB.format(directory=self._directory))
        return [{"name": f"speak{index}", "command": f"sh {script}"} for index in range(count)]

    def forget(self, host: str, workflow: int) -> None:
        """Somebody asked to delete, unread, what was written there so far."""
        self._deleted |= self._recorded(f"{host}.{workflow}")

    def missing(self, sandbox: Sandbox, archives: Path) -> list[str]:
        """The lines that are neither in an archive nor on a host any more, although nobody wanted that."""
        written = self._recorded("*.[0-9]*")
        assert written, "no job has written anything"
        return sorted(written - self._deleted - set(_collected(archives)) - set(_left(sandbox)))

    def _recorded(self, files: str) -> set[str]:
        return {line for path in self._directory.glob(files) for line in path.read_text().splitlines()}


def _collected(archives: Path) -> Iterator[str]:
    for archive in archives.glob("torc_logs_*"):
        with tarfile.open(archive) as tar:
            for member in tar:
                if "job_stdio/" in member.name and (file := tar.extractfile(member)):
                    yield from file.read().decode().splitlines()


def _left(sandbox: Sandbox) -> Iterator[str]:
    for host in sandbox.hosts:
        for path in host.home.glob("**/job_stdio/*.o"):
            yield from path.read_text().splitlines()
