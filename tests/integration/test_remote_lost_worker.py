"""A worker that was killed, started again."""

import os
import signal

from tests.support import wait_until
from tests.support.faults import alive
from tests.support.remote import SandboxFleet
from tests.support.workers import Rest


def job_pid(fleet: SandboxFleet) -> int:
    """What a job on sandbox1 has written about itself."""
    written = fleet.home("sandbox1") / "job.pid"
    pid = int(wait_until(lambda: written.exists() and written.read_text(), 20))
    written.unlink()
    return pid


def with_a_lost_worker(fleet: SandboxFleet) -> tuple[int, int]:
    """A workflow whose worker on sandbox1 was killed while its job runs on; its ID and the job's PID."""
    number = fleet.workflow([{"name": "left", "command": "echo $$ >job.pid; sleep 300"}], ["sandbox1"])
    lost = fleet.hosts("run", number)["sandbox1"]["pid"]
    job = job_pid(fleet)
    os.kill(lost, signal.SIGKILL)
    wait_until(lambda: fleet.hosts("status", number)["sandbox1"]["state"] == "exited", 20)
    return number, job


def test_start_tells_the_server_about_the_lost_worker_before(fleet: SandboxFleet) -> None:
    number, job = with_a_lost_worker(fleet)
    report = fleet.hosts("run", number)["sandbox1"]
    assert report["jobs_requeued"] == 1
    assert [one["attempt_id"] for one in Rest(fleet.url).jobs(number).values()] == [2]
    assert not alive(job), "the job may run again, so it must not run now"
    fleet.torc("remote", "stop", number)


def test_a_node_of_another_database_is_left_alone(fleet: SandboxFleet) -> None:
    """The record of an ended worker may name numbers that a new database has given to others."""
    number = fleet.sleeping(workers=["sandbox1", "sandbox2"])
    fleet.torc("remote", "run", number, "--limit", "sandbox2")
    fleet.torc("remote", "run", number, "--limit", "sandbox1")
    fleet.torc("remote", "stop", number, "--limit", "sandbox1")
    (log,) = (fleet.home("sandbox1") / "torc_output").glob(f"torc_worker_{number}_*.log")
    with log.open("a") as file:
        for node in range(1, 40):
            print(f"[2099-01-01T00:00:00Z INFO  torc] Job started compute_node_id={node}", file=file)
    fleet.torc("remote", "stop", number, "--limit", "sandbox1")
    assert "yes" in fleet.torc("compute-nodes", "list", number).stdout  # sandbox2's is still active
    fleet.torc("remote", "stop", number)


def test_logs_of_a_lost_worker_stay_while_its_job_writes(fleet: SandboxFleet) -> None:
    """When they go, the server learns which jobs were its own: only the worker's log knew."""
    number, job = with_a_lost_worker(fleet)
    refused = fleet.hosts("collect-logs", number, "--delete", code=1)["sandbox1"]
    assert refused["state"] == "not_deleted"
    assert f"jobs of a worker that was killed are still running there (PID {job}" in refused["reason"]
    os.killpg(os.getpgid(job), signal.SIGKILL)
    assert fleet.hosts("collect-logs", number, "--delete")["sandbox1"]["deleted"]
    assert "ready" in fleet.torc("jobs", "list", number).stdout
    assert "yes" not in fleet.torc("compute-nodes", "list", number).stdout
