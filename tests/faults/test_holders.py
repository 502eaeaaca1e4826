"""Faults 80 to 83: whose a job is."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.conftest import Server, StartServer
from tests.support import wait_until
from tests.support.remote import SandboxFleet
from tests.support.workers import FakeWorker, Rest, worker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.release import release_compute_node

MANY = 400


def test_81_released_by_mistake(server: Server, tmp_path: Path) -> None:
    """A worker that the server has been told is gone, and is not: its results and claims are refused, so no job counts
    twice; it leaves and its log says why.
    """
    rest = Rest(server.url)
    number = rest.create([{"name": f"job{n}", "command": "touch started; sleep 1"} for n in range(3)])
    client = TorcClient(Settings(api_url=server.url))
    with worker(server.url, number, tmp_path, "--max-parallel-jobs", "1") as alive:
        wait_until((tmp_path / "started").exists, 20)
        (node,) = rest.nodes(number)
        release_compute_node(client, number, node["id"])
        assert alive.wait() == 1
    assert sorted(rest.states(number).values()) == ["ready", "ready", "ready"]
    assert "is not running (status=ready)" in alive.log
    assert f"Error: Compute node {node['id']} is inactive: its worker is thought to be gone" in alive.log


@pytest.mark.slow
def test_80_killed_between_claim_and_start(fleet: SandboxFleet) -> None:
    """A worker is killed when it has claimed many jobs and started few: `stop` gives back the rest, which the workers
    of other hosts run, and does not touch what those have claimed.
    """
    number = fleet.workflow(
        [{"name": f"job{n}", "command": "sleep 300"} for n in range(MANY)], ["sandbox1", "sandbox2"]
    )
    fleet.torc("remote", "run", number, "--limit", "sandbox2", "--max-parallel-jobs", 1)

    def listed(what: str, **query: object) -> list[dict[str, object]]:
        answer = requests.get(f"{fleet.url}/{what}", {"workflow_id": number, **query}, timeout=10)
        found: list[dict[str, object]] = answer.json()["items"]
        return found

    with fleet.popen("remote", "run", number, "--limit", "sandbox1", "--max-parallel-jobs", MANY) as running:
        wait_until(lambda: len(listed("jobs", status="pending")) > MANY // 4, 30)
        os.kill(int(str(listed("compute_nodes")[-1]["pid"])), signal.SIGKILL)
        running.communicate(timeout=60)
    assert listed("jobs", status="pending"), "killed too late"
    fleet.torc("remote", "stop", number, "--limit", "sandbox1")
    assert listed("jobs", status="pending") == []
    assert len(listed("jobs", status="running")) == 1
    fleet.torc("remote", "stop", number)


def test_83_claimed_by_nobody_knows_whom(fleet: SandboxFleet) -> None:
    """torc's own worker dies with jobs that it had claimed and not started, while others work on: "stop" says how many
    may wait for the end of all workers.
    """
    number = fleet.workflow([{"name": f"job{n}", "command": "sleep 300"} for n in range(2)], ["sandbox1"])
    fleet.torc("remote", "run", number, "--max-parallel-jobs", 1)
    FakeWorker(Settings(api_url=fleet.url), number, "native").claim(1)
    stopped = fleet.torc("remote", "stop", number)
    assert "1 job(s) are claimed and not started" in stopped.stderr


def test_82_released_by_mistake_with_a_token(start_server: StartServer, tmp_path: Path) -> None:
    """The same on a server with a password, which takes back the worker's token: the worker leaves at once, ends its
    jobs and says why, also when the workflow was deleted.
    """
    server = start_server(password="the user's own")
    rest = Rest(server.url, "the user's own")
    client = TorcClient(Settings(api_url=server.url, username="tester", password="the user's own"))
    number, deleted = (rest.create([{"name": "a", "command": "sleep 300"}]) for _ in range(2))
    with ExitStack() as stack:
        workers = {}
        for workflow in (number, deleted):
            token = client.create_worker_token(workflow, "h") or ""
            workers[workflow] = stack.enter_context(
                worker(server.url, workflow, tmp_path / str(workflow), TORC_PASSWORD=token)
            )
            wait_until(lambda: rest.states(workflow) == {"a": "running"}, 20)  # noqa: B023 - used at once
        release_compute_node(client, number, rest.nodes(number)[0]["id"])
        client.delete_workflow(deleted)
        assert [one.wait(15) for one in workers.values()] == [1, 1]
    for one in workers.values():
        assert "does not know this worker any more" in one.log.splitlines()[-1]
        assert "it was released or replaced, the workflow was deleted" in one.log
    assert rest.states(number) == {"a": "ready"}


def test_82a_reset_under_a_worker_with_a_token(start_server: StartServer, tmp_path: Path) -> None:
    """A worker with a token of its own leaves when the workflow was reset for another run, and says so."""
    server = start_server(password="the user's own")
    rest = Rest(server.url, "the user's own")
    client = TorcClient(Settings(api_url=server.url, username="tester", password="the user's own"))
    number = rest.create([{"name": "a", "command": "sleep 300"}])
    token = client.create_worker_token(number, "h") or ""
    with worker(server.url, number, tmp_path, TORC_PASSWORD=token) as started:
        wait_until(lambda: rest.states(number) == {"a": "running"}, 20)
        rest.call("POST", f"/workflows/{number}/reset_status?force=true")
        assert started.wait(15) == 1
    assert f"workflow {number} was reset: run 2 needs a new worker" in started.log.splitlines()[-1]
    assert [node["is_active"] for node in rest.nodes(number)] == [False]
