"""Faults 39 to 44: stop ends the worker and what it runs, and the server learns of it."""

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import wait_until
from tests.support.faults import alive, await_running, busy, canary, jobs, playbook, record, start_worker
from tests.support.remote import SandboxFleet
from torc_remote import processes

STUBBORN = """#!/bin/sh
[ "$1" != --version ] || { echo "torc 1.0.0"; exit; }
trap '' TERM
echo "Starting torc job runner"
while :; do sleep 1; done
"""


@contextmanager
def installed(home: Path, text: str) -> Iterator[None]:
    """Another program in torc's place."""
    torc = home / ".local/bin/torc"
    ours = torc.read_bytes()
    torc.write_text(text)
    try:
        yield
    finally:
        torc.write_bytes(ours)


def sleepers(fleet: SandboxFleet, seconds: str) -> list[str]:
    """The processes `sleep SECONDS…` that live on sandbox1."""
    titles = []
    for pid in processes.processes_with(f"HOME={fleet.home('sandbox1')}"):
        with suppress(OSError):
            titles.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return [title for title in titles if title.startswith(f"sleep {seconds}")]


def test_39_ignores_sigterm(fleet: SandboxFleet) -> None:
    """A worker ignores SIGTERM: stop fails for its host, naming the PID and `--force`, and ends the others; \
`stop --force` ends it."""
    number = fleet.sleeping(["sandbox1", "sandbox2"])
    with installed(fleet.home("sandbox1"), STUBBORN):
        pids = start_worker(fleet, number)
    refused = playbook(fleet, "stop", number, torc_stop_seconds=2)
    assert refused.returncode == 2, refused.stdout
    assert f"PID {pids['sandbox1']} did not end within 2 s. Use --force to end it" in refused.stdout
    assert alive(pids["sandbox1"])
    assert not alive(pids["sandbox2"])
    stopped = fleet.hosts("stop", number, "--force")
    assert {name: host["state"] for name, host in stopped.items()} == {
        "sandbox1": "stopped",
        "sandbox2": "not_running",
    }
    assert not alive(pids["sandbox1"])


def test_40_has_children(fleet: SandboxFleet) -> None:
    """The jobs' processes end with the worker, also those in a session of their own and those that ignore \
SIGTERM; other processes of the account stay."""
    tree = "sleep 63101 & setsid sleep 63102 & (trap '' TERM; sleep 63103) & sh -c 'sleep 63104; :' & wait"
    number = fleet.workflow([{"name": "tree", "command": tree}], ["sandbox1"])
    start_worker(fleet, number)
    wait_until(lambda: len(sleepers(fleet, "6310")) == 4, 20)
    with canary():
        assert "Stopped (PID" in fleet.torc("remote", "stop", number).stdout
    assert not sleepers(fleet, "6310")
    assert jobs(fleet, number) == ["ready"]


def test_41_already_gone(fleet: SandboxFleet) -> None:
    """The worker was killed before: stop says `Not running`, ends the jobs that it left running, which \
are ready again; all is well (exit code 0)."""
    job = {"name": "left", "command": "sleep 64101 & wait"}
    number = fleet.workflow([job, job | {"name": "right"}], ["sandbox1", "sandbox2"])
    pids = start_worker(fleet, number, "--max-parallel-jobs", "1")
    await_running(fleet, number)
    os.kill(pids["sandbox1"], signal.SIGKILL)
    wait_until(lambda: not alive(pids["sandbox1"]))
    stopped = fleet.hosts("stop", number)
    assert {host["jobs_requeued"] for host in stopped.values()} == {1}
    assert not sleepers(fleet, "64101")
    assert jobs(fleet, number) == ["ready", "ready"]
    again = fleet.torc("remote", "stop", number).stdout
    assert "[OK] sandbox1: Not running\n" in again
    assert "0/2 workers stopped" in again


def test_42_pid_file_gone(fleet: SandboxFleet) -> None:
    """The record of a live worker is gone: it is found all the same by its environment, so status shows it, run \
starts no second one, its logs are not deleted under it, and stop ends it."""
    number = fleet.sleeping(["sandbox1"])
    pid = start_worker(fleet, number, "-o", "out of 42")["sandbox1"]
    await_running(fleet, number)
    record(fleet.home("sandbox1"), number).unlink()
    for command, state in (("status", "running"), ("run", "already_running")):
        host = fleet.hosts(command, number)["sandbox1"]
        assert (host["state"], host["pid"]) == (state, pid)
    refused = fleet.torc("remote", "delete-logs", number, code=1).stderr
    assert f"a worker is still running there (PID {pid} of workflow {number})" in refused
    stopped = fleet.hosts("stop", number)["sandbox1"]
    assert (stopped["state"], stopped["pid"], stopped["jobs_requeued"]) == ("stopped", pid, 1)
    assert not alive(pid)


def test_43_stop_twice(fleet: SandboxFleet) -> None:
    """Two stops at the same moment and one later: all exit 0, the worker is ended once and its job is made \
ready once."""
    number = busy(fleet, ["sandbox1"])
    pid = start_worker(fleet, number)["sandbox1"]
    await_running(fleet, number)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: fleet.hosts("stop", number)["sandbox1"], range(2)))
    assert sorted(host["state"] for host in both) == ["not_running", "stopped"]
    assert not alive(pid)
    assert fleet.hosts("stop", number)["sandbox1"]["state"] == "not_running"
    assert sum(host.get("jobs_requeued", 0) for host in both) == 1
    (job,) = json.loads(fleet.torc("-f", "json", "jobs", "list", number).stdout)["items"]
    assert (job["status"], job["attempt_id"]) == ("ready", 2)


def test_44_no_job_stays_running(fleet: SandboxFleet) -> None:
    """After `stop --force`, which gives the worker no time to say goodbye, no job is `running` and no compute node \
active at the server, and stop tells how many jobs are ready again and how to go on."""
    number = busy(fleet, ["sandbox1", "sandbox2"])
    start_worker(fleet, number, "--max-parallel-jobs", "1")
    await_running(fleet, number)
    said = fleet.torc("remote", "stop", number, "--force")
    assert jobs(fleet, number) == ["ready", "ready"]
    assert f"2 job(s) are ready again. To go on:\n    torc remote run {number}\n" in said.stderr
    nodes = fleet.torc("-f", "json", "compute-nodes", "list", number).stdout
    assert nodes.count('"is_active": false') == 2
    assert '"is_active": true' not in nodes
