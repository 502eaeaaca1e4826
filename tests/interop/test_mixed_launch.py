"""Workers that torc's own `remote run` started, under our commands, and ours under torc's.

What torc can't do with workers that ours started: its `status` and `stop` know a worker by the file torc_worker_ID.pid
in the output directory, which ours don't leave there: a number alone proves nothing, and torc signals whatever process
has it. (`status` then looks for a command line that has an option between `torc` and `run`, as torc's own has.) So
torc says that they don't run and leaves them alone, in which both agree. Its `collect-logs` and `delete-logs` look at
nothing but the directory and do their work.
"""

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import StartTorcServer
from tests.interop.fleets import (
    HOSTS,
    NativeCli,
    active_nodes,
    is_alive,
    native_cli,
    native_fleet,
    torc_on_path,
    wait_for_states,
)
from tests.support import wait_until
from tests.support.native import Native
from tests.support.remote import SandboxFleet
from tests.support.workers import Rest
from torc_remote.sandbox import Sandbox

pytestmark = pytest.mark.slow

SLEEP = [{"name": "sleep", "command": "sleep 300"}]


@pytest.fixture(scope="module")
def rest(torc_server: StartTorcServer) -> Rest:
    return Rest(torc_server().url)


@pytest.fixture(scope="module")
def fleet(
    sandbox: Sandbox, rest: Rest, native: Native, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxFleet]:
    with torc_on_path(sandbox):
        yield native_fleet(sandbox, rest.url, tmp_path_factory.mktemp("ours"), native)


@pytest.fixture(scope="module")
def torc(fleet: SandboxFleet, native: Native, tmp_path_factory: pytest.TempPathFactory) -> NativeCli:
    return native_cli(native, fleet.url, tmp_path_factory.mktemp("native"), fleet.sandbox)


def started_by_torc(torc: NativeCli, rest: Rest, *options: str) -> int:
    """A workflow with one job and native workers on two hosts, so that one has nothing to do; its ID."""
    number = torc.create(SLEEP)
    torc("remote", "add-workers", number, *HOSTS[:2])
    assert "Started 2/2 workers" in torc("remote", "run", number, "-p", "0.5", *options).stdout
    wait_for_states(rest, number, {"sleep": "running"})
    wait_until(lambda: len(active_nodes(rest, number)) == 2)
    return number


def native_pids(fleet: SandboxFleet, number: int, output: str = "torc_output") -> dict[str, int]:
    files = {host: fleet.home(host) / output / f"torc_worker_{number}.pid" for host in HOSTS[:2]}
    return {host: int(file.read_text()) for host, file in files.items()}


def test_our_commands_handle_workers_that_torc_started(
    fleet: SandboxFleet, torc: NativeCli, rest: Rest
) -> None:
    number = started_by_torc(torc, rest)
    status = fleet.hosts("status", number)
    assert {host["state"] for host in status.values()} == {"running"}
    assert {name: host["pid"] for name, host in status.items()} == native_pids(fleet, number)
    again = fleet.hosts("run", number)
    assert {host["state"] for host in again.values()} == {"already_running"}
    assert len(rest.nodes(number)) == 2

    collected = fleet.hosts("collect-logs", number, "-l", "native")
    names = [name for host in collected.values() for name in members(Path(host["archive"]))]
    assert sum(f"torc_worker_{number}.log" in name for name in names) == 2
    assert sum(name.endswith(".o") for name in names) == 1
    refused = fleet.hosts("delete-logs", number, code=1)
    assert not any(host["ok"] for host in refused.values())

    stopped = fleet.hosts("stop", number)
    assert {host["state"] for host in stopped.values()} == {"stopped"}
    assert rest.states(number) == {"sleep": "ready"}
    assert active_nodes(rest, number) == []
    assert not any(map(is_alive, native_pids(fleet, number).values()))
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"exited"}
    fleet.torc("remote", "delete-logs", number)
    assert not [name for host in HOSTS for name in fleet.home(host).glob(f"torc_output/*worker_{number}*")]


def members(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_torcs_choice_of_a_directory_is_to_be_named_again(
    fleet: SandboxFleet, torc: NativeCli, rest: Rest
) -> None:
    """Torc keeps no record of it."""
    number = started_by_torc(torc, rest, "-o", "elsewhere")
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"none"}
    there = ("--output-dir", "elsewhere")
    assert {host["state"] for host in fleet.hosts("status", number, *there).values()} == {"running"}
    assert {host["state"] for host in fleet.hosts("stop", number, "--force", *there).values()} == {"stopped"}
    assert rest.states(number) == {"sleep": "ready"}
    assert active_nodes(rest, number) == []


def test_another_process_with_the_number_in_torcs_file_is_not_signalled(
    fleet: SandboxFleet, torc: NativeCli
) -> None:
    number = torc.create(SLEEP)
    torc("remote", "add-workers", number, "sandbox1", "--skip-ssh-check")
    output = fleet.home("sandbox1") / "torc_output"
    output.mkdir(exist_ok=True)
    with subprocess.Popen(["sleep", "300"]) as bystander:
        (output / f"torc_worker_{number}.pid").write_text(f"{bystander.pid}\n")
        assert fleet.hosts("status", number)["sandbox1"]["state"] == "stale"
        for force in ([], ["--force"]):
            assert fleet.hosts("stop", number, *force)["sandbox1"]["state"] == "stale"
        assert bystander.poll() is None
        bystander.kill()


def test_torcs_commands_on_workers_that_ours_started(
    fleet: SandboxFleet, torc: NativeCli, rest: Rest
) -> None:
    number = fleet.sleeping(HOSTS[:2])
    fleet.torc("remote", "run", number, "-p", 0.5)
    wait_for_states(rest, number, {"sleep": "running"})
    # sandbox hosts share a machine, on which another test's `torc ... run` of the same number may be found for a while
    wait_until(lambda: "0/2 workers running" in torc("remote", "status", number).stdout, 120)
    assert torc("remote", "stop", number).stdout.count("No worker found (no PID file)") == 2
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"running"}

    fleet.torc("remote", "stop", number)
    assert "Collected logs from 2/2 workers" in torc("remote", "collect-logs", number, "-l", "ours").stdout
    archives = [torc.directory / "ours" / f"torc_logs_{number}_{host}.tar.gz" for host in HOSTS[:2]]
    assert all(any("job_runner_" in name for name in members(archive)) for archive in archives)
    assert "Deleted logs from 2/2 workers" in torc("remote", "delete-logs", number).stdout
    assert not [host for host in HOSTS[:2] if (fleet.home(host) / "torc_output").exists()]
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"exited"}
    fleet.torc("remote", "collect-logs", number)


def test_torc_starts_our_worker_where_its_own_does_not_fit(
    fleet: SandboxFleet, torc: NativeCli, rest: Rest
) -> None:
    """Our worker tells torc's own version, so torc's `remote run` takes it; and here its `stop` is a graceful one."""
    number = torc.create(SLEEP)
    torc("remote", "add-workers", number, *HOSTS[:2])
    fleet.torc("remote", "install", number)
    try:
        assert "Started 2/2 workers" in torc("remote", "run", number, "-p", "0.5").stdout
        wait_for_states(rest, number, {"sleep": "running"})
        assert "2/2 workers running" in torc("remote", "status", number).stdout
        assert {host["state"] for host in fleet.hosts("status", number).values()} == {"running"}
        torc("remote", "stop", number)
        wait_until(lambda: active_nodes(rest, number) == [], 20)
        assert rest.states(number) == {"sleep": "ready"}
    finally:
        fleet.torc("remote", "install", number, "--binary", torc.native.torc)
