"""A host can't have another host's jobs terminated."""

import pytest
import requests

from tests.fault_support import await_running, jobs
from tests.remote_support import Fleet
from tests.security.test_answers import answering, lying

LIE = """\
text=$(cat)
mark=$(printf '%s\\n' "$text" | sed -n 's/^torc_mark=//p')
printf '%s %s\\n' "$mark" "node_names=sandbox1 {uname}" "$mark" "nodes=node {node} 2099-01-01T00:00:00Z"
printf '%s\\n' "$text" | /bin/sh -s
"""


def running(fleet: Fleet, workers: list[str]) -> tuple[int, dict[str, object]]:
    """A workflow whose job runs on sandbox1, under whatever address; its ID and the node."""
    number = fleet.sleeping(workers)
    fleet.torc("remote", "run", number, "--limit", workers[0])
    await_running(fleet, number)
    (node,) = requests.get(f"{fleet.url}/compute_nodes", params={"workflow_id": number}, timeout=10).json()[
        "items"
    ]
    return number, node


def still_runs(fleet: Fleet, number: int) -> None:
    assert jobs(fleet, number) == ["running"]
    nodes = requests.get(f"{fleet.url}/compute_nodes", params={"workflow_id": number}, timeout=10).json()[
        "items"
    ]
    assert nodes[0]["is_active"]
    fleet.torc("remote", "stop", number)


def test_the_jobs_of_a_worker_that_is_not_asked(fleet: Fleet) -> None:
    number, node = running(fleet, ["sandbox1", "sandbox3"])
    named = ["node_names=sandbox1", f"nodes=node {node['id']} 2099-01-01T00:00:00Z"]
    idle = ["nodes=idle sandbox1 2020-01-01T00:00:00Z 2099-01-01T00:00:00Z"]
    with lying(fleet, {"sandbox3": answering("state=stopped", "pid=7", *named, *idle)}):
        liar = fleet.hosts("stop", number, "--limit", "sandbox3", code=1)["sandbox3"]
    assert not liar["ok"]
    assert "bears the name 'sandbox1' of another worker of this workflow" in liar["reason"]
    still_runs(fleet, number)


@pytest.mark.slow
def test_the_jobs_of_a_worker_whose_host_says_that_it_runs(fleet: Fleet) -> None:
    """Where the workers' addresses tell nothing of their names."""
    addresses = {host.name: host.address for host in fleet.sandbox.hosts}
    number, node = running(fleet, [addresses["sandbox1"], addresses["sandbox3"]])
    with lying(fleet, {"sandbox3": LIE.format(uname="x", node=node["id"])}):
        hosts = fleet.hosts("run", number, code=1)
    assert hosts[addresses["sandbox1"]]["state"] == "already_running"
    assert (
        f"compute node {node['id']} is claimed by {addresses['sandbox1']} as well"
        in hosts[addresses["sandbox3"]]["reason"]
    )
    still_runs(fleet, number)
