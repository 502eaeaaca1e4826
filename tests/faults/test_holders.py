"""Faults 80 to 83: whose a job is."""

import os
import signal

import requests

from tests.remote_support import Fleet
from tests.support import wait_until

MANY = 400


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
