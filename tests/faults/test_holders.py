"""Faults 80 to 83: whose a job is."""

import os
import signal
from pathlib import Path

import requests

from tests.conftest import Server
from tests.remote_support import Fleet
from tests.support import wait_until
from tests.worker_support import Rest, worker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.lifecycle import release_compute_node

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
    assert sorted(rest.states(number).values()) == ["ready", "ready", "terminated"]
    assert "is already complete with status=terminated" in alive.log
    assert f"Error: Compute node {node['id']} is inactive: its worker is thought to be gone" in alive.log


def test_80_killed_between_claim_and_start(fleet: Fleet) -> None:
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
