"""Our CLI with the real torc-server and native workers on ssh hosts."""

import json
import os
import re
import signal
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.hosts import other_torc
from tests.interop.conftest import StartTorcServer
from tests.interop.fleets import HOSTS, active_nodes, is_alive, native_fleet, running_workers, wait_for_states
from tests.support import wait_until
from tests.support.native import Native
from tests.support.remote import SandboxFleet
from tests.support.workers import Rest
from torc_remote.sandbox import Sandbox

pytestmark = pytest.mark.slow

DIAMOND = [
    {"name": "prepare", "command": "echo prepared on $(pwd)"},
    {"name": "left", "command": "sleep 1", "depends_on": ["prepare"]},
    {"name": "right", "command": "echo wrong >&2; exit 3", "depends_on": ["prepare"]},
    {
        "name": "join",
        "command": "true",
        "depends_on": ["left", "right"],
        "cancel_on_blocking_job_failure": False,
    },
    {"name": "after", "command": "true", "depends_on": ["right"]},
]


@pytest.fixture(scope="module")
def rest(torc_server: StartTorcServer) -> Rest:
    return Rest(torc_server().url)


@pytest.fixture(scope="module")
def fleet(
    sandbox: Sandbox, rest: Rest, native: Native, tmp_path_factory: pytest.TempPathFactory
) -> SandboxFleet:
    return native_fleet(sandbox, rest.url, tmp_path_factory.mktemp("controller"), native)


def test_a_workflow_from_its_creation_to_its_logs(fleet: SandboxFleet, rest: Rest) -> None:
    number = fleet.workflow(DIAMOND, HOSTS)
    assert fleet.torc("remote", "list-workers", number).stdout.split()[-3:] == HOSTS
    ran = fleet.torc("remote", "run", number, "-o", "whole-life", "-p", 0.5, "--num-cpus", 1)
    assert "Started 3/3 workers" in ran.stdout
    assert ran.stderr == ""
    done = {"left": "completed", "right": "failed", "join": "completed", "after": "canceled"}
    wait_for_states(rest, number, {"prepare": "completed", **done})
    assert "complete" in fleet.torc("status", number).stdout
    codes = {result["job_name"]: result["return_code"] for result in results(fleet, number)}
    assert codes == {"prepare": 0, "left": 0, "right": 3, "join": 0}
    wait_until(lambda: not running_workers(fleet, number), 60)
    assert active_nodes(rest, number) == []

    fleet.torc("remote", "collect-logs", number, "-l", "logs")
    archives = [fleet.directory / "logs" / f"torc_logs_{number}_{host}.tar.gz" for host in HOSTS]
    outputs = Counter(name for archive in archives for name in members(archive) if "/job_stdio/" in name)
    assert sum(name.endswith(".e") for name in outputs) == 4
    assert all(any("job_runner_" in name for name in members(archive)) for archive in archives)
    fleet.torc("remote", "delete-logs", number)
    assert not [host for host in HOSTS if (fleet.home(host) / "whole-life").exists()]


def results(fleet: SandboxFleet, number: int) -> list[dict[str, object]]:
    said = fleet.torc("-f", "json", "results", "list", number).stdout
    listed: list[dict[str, object]] = json.loads(said)["items"]
    return listed


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [member.name for member in tar if member.isfile()]


def test_stop_leaves_no_job_running_and_no_node_active_although_two_workers_never_had_a_job(
    fleet: SandboxFleet, rest: Rest
) -> None:
    number = fleet.sleeping()
    started = fleet.hosts("run", number, "-p", 0.5)
    assert {host["state"] for host in started.values()} == {"registered"}
    wait_for_states(rest, number, {"sleep": "running"})
    assert len(active_nodes(rest, number)) == 3
    stopped = fleet.torc("remote", "stop", number)
    assert "3/3 workers stopped" in stopped.stdout
    assert "1 job(s) are ready again" in stopped.stderr
    assert rest.states(number) == {"sleep": "ready"}
    assert rest.results(number)["sleep"]["return_code"] == 143
    assert active_nodes(rest, number) == []
    assert not any(is_alive(host["pid"]) for host in started.values())

    commands = re.findall(r"^ +torc (.*)$", stopped.stderr, re.MULTILINE)
    (run,) = (command.split() for command in commands)
    fleet.torc(*run)
    wait_for_states(rest, number, {"sleep": "running"})
    fleet.torc("remote", "stop", number, "--force")
    assert rest.states(number) == {"sleep": "ready"}
    assert active_nodes(rest, number) == []


def test_an_idle_worker_whose_node_could_be_a_living_ones_is_told(fleet: SandboxFleet, rest: Rest) -> None:
    """Both hosts of the sandbox have one name, and both workers started in the same seconds."""
    big = {"name": "big", "num_cpus": 9999, "memory": "1m", "runtime": "PT1M"}
    jobs = [{"name": "never", "command": "true", "resource_requirements": "big"}]
    number = fleet.workflow(jobs, HOSTS[:2], resource_requirements=[big])
    started = fleet.hosts("run", number, "-p", 0.5)
    wait_until(lambda: len(active_nodes(rest, number)) == 2)
    fleet.torc("remote", "remove-worker", "sandbox2", number)
    told = fleet.hosts("stop", number, code=None)["sandbox1"]
    fleet.torc("remote", "add-workers", number, "--skip-ssh-check", "sandbox2")
    if told["ok"]:  # the two started seconds apart, so their nodes could be told
        assert len(active_nodes(rest, number)) == 1
    else:
        assert "still active" in told["reason"]
        assert len(active_nodes(rest, number)) == 2
    assert is_alive(started["sandbox2"]["pid"])
    assert {host["ok"] for host in fleet.hosts("stop", number).values()} == {True}
    assert active_nodes(rest, number) == []


def test_a_killed_workers_job_and_node_are_released_by_stop(fleet: SandboxFleet, rest: Rest) -> None:
    number = fleet.sleeping(HOSTS[:1])
    pid = fleet.hosts("run", number, "-p", 0.5)["sandbox1"]["pid"]
    wait_for_states(rest, number, {"sleep": "running"})
    os.kill(pid, signal.SIGKILL)
    assert fleet.hosts("status", number)["sandbox1"]["state"] == "exited"
    assert active_nodes(rest, number) != []
    fleet.torc("remote", "stop", number)
    assert rest.states(number) == {"sleep": "ready"}
    assert active_nodes(rest, number) == []


def test_workers_leave_when_the_workflow_is_canceled(fleet: SandboxFleet, rest: Rest) -> None:
    number = fleet.sleeping(HOSTS[:2])
    fleet.torc("remote", "run", number, "-p", 0.5)
    wait_for_states(rest, number, {"sleep": "running"})
    fleet.torc("cancel", number, "--no-prompts")
    assert rest.states(number) == {"sleep": "canceled"}
    wait_until(lambda: active_nodes(rest, number) == [], 60)
    wait_until(lambda: not running_workers(fleet, number), 60)
    over = fleet.torc("remote", "run", number, code=1).stderr
    assert f"Workflow {number} is canceled" in over


def test_a_host_with_another_torc_stops_everything(fleet: SandboxFleet, rest: Rest) -> None:
    number = fleet.sleeping()
    with other_torc(fleet, "sandbox2", "echo torc 0.6.5"):
        refused = fleet.torc("remote", "run", number, code=1)
        assert refused.stderr.startswith(
            "Error: Version check failed on 1 worker(s):\n"
            "  sandbox2: Version mismatch: local=1.0.0, sandbox2=0.6.5\n"
        )
        assert running_workers(fleet, number) == set()
        assert rest.nodes(number) == []
