"""A worker that was killed, started again."""

import os
import signal

from tests.remote_support import Fleet
from tests.support import wait_until


def test_start_tells_the_server_about_the_lost_worker_before(fleet: Fleet) -> None:
    number = fleet.sleeping(workers=["sandbox1"])
    lost = fleet.hosts("run", number)["sandbox1"]["pid"]
    wait_until(lambda: "running" in fleet.torc("jobs", "list", number).stdout, 20)
    os.kill(lost, signal.SIGKILL)
    wait_until(lambda: fleet.hosts("status", number)["sandbox1"]["state"] == "exited", 20)
    report = fleet.hosts("run", number)["sandbox1"]
    assert report["jobs_terminated"] == 1
    assert "running" not in fleet.torc("jobs", "list", number).stdout
    fleet.torc("remote", "stop", number)


def test_a_node_of_another_database_is_left_alone(fleet: Fleet) -> None:
    """The record of an ended worker may name numbers that a new database has given to others."""
    number = fleet.sleeping(workers=["sandbox1", "sandbox2"])
    fleet.torc("remote", "run", number, "--limit", "sandbox2")
    fleet.torc("remote", "run", number, "--limit", "sandbox1")
    fleet.torc("remote", "stop", number, "--limit", "sandbox1")
    (log,) = (fleet.home("sandbox1") / "torc_output").glob(f"torc_worker_{number}_*.log")
    with log.open("a") as file:
        for node in range(1, 40):
            file.write(f"compute_node_id={node}\n")
    fleet.torc("remote", "stop", number, "--limit", "sandbox1")
    assert "yes" in fleet.torc("compute-nodes", "list", number).stdout  # sandbox2's is still active
    fleet.torc("remote", "stop", number)
