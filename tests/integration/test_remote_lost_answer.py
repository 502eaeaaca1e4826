"""A start in whose midst the controller or the server died: nobody heard what the host said of the worker before."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.conftest import StartServer
from tests.support import wait_until
from tests.support.faults import jobs, kill_controller, kill_session, record, sleeping_twice, stat
from tests.support.remote import SandboxFleet

TWO = ["sandbox1", "sandbox2"]


@contextmanager
def held_up(fleet: SandboxFleet, host: str, number: int) -> Iterator[None]:
    """Another command, this test, is at work on a worker, so that every other one waits for it."""
    lock = record(fleet.home(host), number).with_name("lock")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    lock.symlink_to(f"{os.getpid()}:{stat(os.getpid())[19]}:{boot}")
    try:
        yield
    finally:
        lock.unlink()


def with_a_lost_worker(fleet: SandboxFleet) -> tuple[int, int]:
    """A workflow whose worker on sandbox1 was killed with its job, that on sandbox2 stopped; its ID, the one's PID."""
    number = sleeping_twice(fleet, TWO)
    lost: int = fleet.hosts("run", number, "--limit", "sandbox1")["sandbox1"]["pid"]
    wait_until(lambda: jobs(fleet, number)[0] == "running", 20)
    fleet.torc("remote", "run", number, "--limit", "sandbox2")
    fleet.torc("remote", "stop", number, "--limit", "sandbox2")
    kill_session(lost)
    return number, lost


def started_anew(fleet: SandboxFleet, number: int, lost: int) -> "subprocess.Popen[str]":
    """A run that has started sandbox1's next worker, and has not come further."""
    about = record(fleet.home("sandbox1"), number)
    running = fleet.popen("-f", "json", "remote", "run", number)
    wait_until(lambda: f"pid={lost}\n" not in about.read_text(), 20)
    return running


def test_the_next_command_tells_the_server(fleet: SandboxFleet) -> None:
    number, lost = with_a_lost_worker(fleet)
    with held_up(fleet, "sandbox2", number):
        running = started_anew(fleet, number, lost)
        kill_controller(running)
    assert jobs(fleet, number)[0] == "running", "although nobody runs it"
    told = fleet.hosts("run", number, "--limit", "sandbox1")["sandbox1"]
    assert (told["state"], told["jobs_requeued"]) == ("already_running", 1)
    assert jobs(fleet, number)[0] == "ready"
    fleet.torc("remote", "stop", number)


def test_deletion_is_told_of_as_well(fleet: SandboxFleet) -> None:
    number, _ = with_a_lost_worker(fleet)
    state = record(fleet.home("sandbox1"), number).parent
    with held_up(fleet, "sandbox2", number):
        running = fleet.popen("remote", "collect-logs", number, "--delete")
        wait_until(lambda: not (state / "record").exists(), 20)
        kill_controller(running)
    assert jobs(fleet, number)[0] == "running", "although nobody runs it"
    told = fleet.hosts("delete-logs", number)["sandbox1"]
    assert (told["state"], told["jobs_requeued"]) == ("absent", 1)
    assert jobs(fleet, number)[0] == "ready"
    assert not state.exists()


def test_after_a_deletion_that_was_told_of_nothing_is_left(fleet: SandboxFleet) -> None:
    for command in (["delete-logs"], ["collect-logs", "--delete"]):
        number, _ = with_a_lost_worker(fleet)
        state = record(fleet.home("sandbox1"), number).parent
        deleted = fleet.hosts(*command, number)["sandbox1"]
        assert deleted["jobs_requeued"] == 1
        assert deleted["state"] in ("deleted", "collected")
        assert not state.exists()


def test_the_next_command_tells_a_server_that_was_down(
    fleet: SandboxFleet, start_server: StartServer
) -> None:
    server = start_server()
    ours = replace(fleet, url=server.url)
    number, lost = with_a_lost_worker(ours)
    with held_up(ours, "sandbox2", number):
        running = started_anew(ours, number, lost)
        server.process.kill()
        server.process.wait()
    out, _ = running.communicate()
    assert "the server could not be told" in json.loads(out)["hosts"][0]["reason"]
    start_server(server.database, port=urlsplit(server.url).port)
    assert ours.hosts("run", number, "--limit", "sandbox1")["sandbox1"]["jobs_requeued"] == 1
    ours.torc("remote", "stop", number)


def test_a_worker_is_not_taken_for_an_earlier_one_of_the_same_number(fleet: SandboxFleet) -> None:
    """The database is new and counts the compute nodes from 1 again."""
    number, lost = with_a_lost_worker(fleet)
    (log,) = (fleet.home("sandbox1") / "torc_output").glob(f"torc_worker_{number}_*.log")
    with log.open("a") as file:
        for node in range(1, 60):
            print(f"[2026-01-01T00:00:00Z INFO  torc] Job started compute_node_id={node} pid=2", file=file)
    with held_up(fleet, "sandbox2", number):
        running = started_anew(fleet, number, lost)
        wait_until(lambda: active(fleet, number) == 2, 20)  # the lost one's and the next one's
    running.communicate()
    assert active(fleet, number) == 2  # the next one's and sandbox2's
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"running"}
    fleet.torc("remote", "stop", number)


def active(fleet: SandboxFleet, number: int) -> int:
    return fleet.torc("compute-nodes", "list", number).stdout.count("yes")
