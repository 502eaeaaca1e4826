"""The life of a remote workflow, as a user goes through it."""

import tarfile
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.remote import SandboxFleet

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_a_workflow_runs_on_three_hosts_and_leaves_its_logs(fleet: SandboxFleet) -> None:
    jobs = [{"name": f"job{n}", "command": "echo ran on $TORC_WORKER_NAME; sleep 0.5"} for n in range(6)]
    number = fleet.workflow(jobs, HOSTS)
    started = fleet.torc("remote", "run", number, "--max-parallel-jobs", 1, "-p", 0.5).stdout
    assert f"Found 3 worker(s) for workflow {number}" in started
    assert "Started 3/3 workers" in started
    wait_until(lambda: "complete" in fleet.torc("workflows", "status", number).stdout.splitlines()[2], 30)
    wait_until(lambda: "0/3 workers running" in fleet.torc("remote", "status", number).stdout, 30)
    fleet.torc("remote", "collect-logs", number, "-l", "logs")
    archives = sorted((fleet.directory / "logs").glob(f"torc_logs_{number}_*.tar.gz"))
    assert [archive.name for archive in archives] == [f"torc_logs_{number}_{host}.tar.gz" for host in HOSTS]
    outputs = [name for archive in archives for name in members(archive) if name.endswith(".o")]
    assert len(outputs) == 6
    assert all(any("job_runner_" in name for name in members(archive)) for archive in archives)


def test_status_collect_and_stop_find_the_output_directory_by_themselves(fleet: SandboxFleet) -> None:
    number = fleet.sleeping()
    run = fleet.hosts("run", number, "-o", "somewhere/else")
    status = fleet.hosts("status", number)
    assert {name: host["pid"] for name, host in status.items()} == {n: h["pid"] for n, h in run.items()}
    collected = fleet.hosts("collect-logs", number, "-l", "else")
    assert all(len(members(Path(host["archive"]))) > 1 for host in collected.values())
    stopped = fleet.hosts("stop", number)
    assert {host["state"] for host in stopped.values()} == {"stopped"}
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"exited"}
    assert not [host for host in HOSTS if not (fleet.home(host) / "somewhere/else").is_dir()]


def test_two_addresses_of_one_account_start_one_worker(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(workers=[])
    fleet.torc("remote", "add-workers", number, "sandbox1")
    user = fleet.sandbox.ssh("sandbox1", "id -un").stdout.strip()
    other = f"{user}@sandbox1:{fleet.sandbox.layout.port}"
    refused = fleet.torc("remote", "add-workers", number, other, code=2).stderr
    assert other in refused
    assert "'sandbox1'" in refused
    post_worker(fleet, number, other)
    states = [host["state"] for host in fleet.report("run", number)["hosts"]]
    assert sorted(states) == ["already_running", "registered"]
    pids = {host["pid"] for host in fleet.report("status", number)["hosts"]}
    assert len(pids) == 1
    fleet.torc("remote", "stop", number)


def post_worker(fleet: SandboxFleet, number: int, worker: str) -> None:
    import requests

    requests.post(
        f"{fleet.url}/workflows/{number}/remote_workers", json=[worker], timeout=10
    ).raise_for_status()


@pytest.mark.parametrize("word", ["run", "status", "stop", "collect-logs", "delete-logs"])
def test_no_workers_is_the_contracts_sentence(fleet: SandboxFleet, word: str) -> None:
    number = fleet.workflow([{"name": "a", "command": "true"}])
    said = fleet.torc("remote", word, number, code=1).stderr
    assert said == (
        f"Error: No workers configured for workflow {number}. Use 'torc remote add-workers' or '--workers' flag.\n"
    )
