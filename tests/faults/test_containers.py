"""Faults 33 and 38 once more, where they are real: containers that are restarted, or have no init."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server
from tests.support import wait_until
from tests.support.containers import SYSTEMS, Container, build_images, container
from tests.support.faults import await_running, stop_after_reboot
from tests.support.remote import SandboxFleet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    build_images(SYSTEMS)


def fleet_of(machine: Container, server: Server, directory: Path) -> SandboxFleet:
    """The CLI with the container as its only host, which has torc installed."""
    host: Any = machine
    fleet = SandboxFleet(host, server.url, directory)
    fleet.torc("remote", "install", fleet.sleeping())
    return fleet


def test_33a_reboot_of_a_container(server: Server, tmp_path: Path) -> None:
    """The machine goes down with its worker and comes back: status says that it was rebooted, stop frees the job, \
run starts a new worker, whose number the one before may have had."""
    with container() as machine:
        fleet = fleet_of(machine, server, tmp_path)
        number = fleet.sleeping()
        assert fleet.hosts("run", number)["container"]["state"] == "registered"
        await_running(fleet, number)
        machine.reboot()
        stop_after_reboot(fleet, number, "container")
        assert fleet.hosts("run", number)["container"]["state"] == "registered"
        await_running(fleet, number)
        assert fleet.hosts("stop", number)["container"]["state"] == "stopped"


def test_38a_zombie_without_init(server: Server, tmp_path: Path) -> None:
    """On a machine whose first process reaps nobody, each worker that ends stays a zombie: stop does not wait for \
it, status counts it as ended, run starts a new worker."""
    with container("sh", "-c", "/init & exec sleep infinity") as machine:
        fleet = fleet_of(machine, server, tmp_path)
        number = fleet.sleeping()

        def state(pid: int) -> str:
            return machine.sh(f"ps -o stat= -p {pid}")[:1]

        first = fleet.hosts("run", number)["container"]["pid"]
        await_running(fleet, number)
        parent = int(machine.sh(f"ps -o ppid= -p {first}"))
        assert fleet.hosts("stop", number)["container"]["state"] == "stopped"
        wait_until(lambda: state(parent) == "Z")

        second = fleet.hosts("run", number)["container"]["pid"]
        await_running(fleet, number)
        machine.sh(f"kill -9 $(ps -o ppid= -p {second}) {second}")
        wait_until(lambda: state(second) == "Z")
        assert "Not Running: ended, nobody saw how" in fleet.torc("remote", "status", number).stdout
        assert fleet.hosts("stop", number)["container"]["state"] in ("stopped", "not_running")
        assert fleet.hosts("run", number)["container"]["state"] == "registered"
        assert fleet.hosts("stop", number)["container"]["state"] == "stopped"
