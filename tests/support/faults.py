"""What the fault tests share: records on hosts, processes that must not be harmed, hosts that lie."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support import wait_until
from tests.support.remote import SandboxFleet
from torc_remote import processes
from torc_remote.sandbox import Sandbox

COLLECTIONS = Path(__file__).parents[2] / "collections"


def record(home: Path, workflow: int) -> Path:
    """The record of a workflow's worker on a host; there is one."""
    (found,) = (home / ".local/state/torc-remote").glob(f"*/{workflow}-*/record")
    return found


def edit(path: Path, **values: object) -> None:
    """Replace values in a record, or leave out those that are None."""
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    kept = [(key, values.get(key, value)) for key, _, value in lines]
    path.write_text("".join(f"{key}={value}\n" for key, value in kept if value is not None))


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    return bool(processes.with_descendants([pid]) & {pid})


def parent_of(pid: int) -> int:
    return int(stat(pid)[1])


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def kill_controller(running: "subprocess.Popen[str]") -> None:
    """End a command of the CLI with all that it has started, as when the laptop's battery is empty."""
    processes.signal_all(processes.with_descendants([running.pid]), signal.SIGKILL)
    running.communicate()


@contextmanager
def stopped(sandbox: Sandbox, host: str) -> Iterator[None]:
    """The host takes connections, but answers nothing."""
    pids = sandbox.sshd_pids(host)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def kill_session(pid: int) -> None:
    """End a worker, its jobs and its parent, as a machine that goes down does."""
    session = stat(pid)[3]
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            if entry.read_text().rpartition(") ")[2].split()[3] == session:
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue
    wait_until(lambda: not alive(pid))


@contextmanager
def canary(*command: str, user: str | None = None) -> Iterator[int]:
    """A process that nobody may signal; fails the test when somebody has."""
    process = subprocess.Popen(command or ("sleep", "600"), user=user)
    try:
        yield process.pid
        assert process.poll() is None, "a foreign process was ended"
    finally:
        process.kill()
        process.wait()


def start_worker(fleet: SandboxFleet, number: int, *options: str) -> dict[str, int]:
    """Run the workflow; the workers' pids by host."""
    return {name: host["pid"] for name, host in fleet.hosts("run", number, *options).items()}


def busy(fleet: SandboxFleet, hosts: list[str]) -> int:
    """A workflow with a long job for each host; `--max-parallel-jobs 1` lets each have one."""
    each = [{"name": f"sleep{index}", "command": "sleep 300"} for index, _ in enumerate(hosts)]
    return fleet.workflow(each, hosts)


def sleeping_twice(fleet: SandboxFleet, hosts: list[str]) -> int:
    """A workflow that is not complete when the worker that runs its first job has been killed."""
    after = {"depends_on": ["first"], "cancel_on_blocking_job_failure": False}
    return fleet.workflow(
        [{"name": "first", "command": "sleep 300"}, {"name": "second", "command": "sleep 300", **after}],
        hosts,
    )


def jobs(fleet: SandboxFleet, number: int) -> list[str]:
    """The states of a workflow's jobs at the server."""
    answer = requests.get(f"{fleet.url}/jobs", params={"workflow_id": number}, timeout=10).json()
    return [job["status"] for job in answer["items"]]


def await_running(fleet: SandboxFleet, number: int) -> None:
    """Return once every job of the workflow runs."""
    wait_until(lambda: set(jobs(fleet, number)) == {"running"}, 30)


def stop_after_reboot(fleet: SandboxFleet, number: int, host: str) -> None:
    """Status tells of the reboot, and stop lets the job that went down with the worker run again."""
    said = fleet.torc("remote", "status", number).stdout
    assert "Not Running: the machine was rebooted since it was started" in said
    stopped = fleet.hosts("stop", number)[host]
    assert (stopped["state"], stopped["jobs_requeued"]) == ("stale", 1)
    assert jobs(fleet, number) == ["ready"]


def hook_sessions(sandbox: Sandbox) -> None:
    """Let each session of a sandbox read `~/.host`, in which a test makes the host another one."""
    session = sandbox.layout.directory / "session"
    hook = 'if [ -r "$HOME/.host" ]; then . "$HOME/.host"; fi\n'
    text = session.read_text()
    if hook not in text:
        session.write_text(text.replace('if [ -z "$command" ]', hook + 'if [ -z "$command" ]', 1))


@contextmanager
def shims(home: Path, **programs: str) -> Iterator[None]:
    """Programs that a hooked host finds before its own: their texts by name."""
    directory, host = home / ".shims", home / ".host"
    directory.mkdir()
    for name, text in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)
    host.write_text("PATH=$HOME/.shims:$PATH\n")
    try:
        yield
    finally:
        host.unlink()
        for name in programs:
            (directory / name).unlink()
        directory.rmdir()


def playbook(
    fleet: SandboxFleet, name: str, number: int, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the collection by hand, as an admin does."""
    inventory = fleet.directory / "torc.yml"
    inventory.write_text("plugin: torc.remote.torc_workers\n")
    extra = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    return subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", inventory, f"torc.remote.{name}", "-e", f"torc_workflow_id={number}", *extra),
        ],
        env={**fleet.env(), "ANSIBLE_COLLECTIONS_PATH": os.fspath(COLLECTIONS)},
        cwd=fleet.directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
