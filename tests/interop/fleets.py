"""Sandbox hosts with torc on them, native or ours, and what a server of either kind says about a workflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.native_support import Native
from tests.remote_support import Fleet
from tests.support import wait_until
from tests.worker_support import Rest
from torc_remote.sandbox import Sandbox

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]


def native_fleet(
    sandbox: Sandbox, url: str, directory: Path, native: Native, environment: Mapping[str, str] | None = None
) -> Fleet:
    """Our CLI with this server, as the user "tester", and hosts whose torc is the native one."""
    machines = Fleet(sandbox, url, directory, {"TORC_USERNAME": "tester", **(environment or {})})
    machines.torc("remote", "install", machines.sleeping(), "--binary", native.torc)
    return machines


def active_nodes(rest: Rest, workflow_id: int) -> list[int]:
    """The compute nodes whose workers are alive, as far as the server knows."""
    return [node["id"] for node in rest.nodes(workflow_id) if node["is_active"]]


def wait_for_states(rest: Rest, workflow_id: int, wanted: Mapping[str, str], timeout: float = 60) -> None:
    """Until the jobs of these names are in these states."""

    def reached() -> bool:
        states = rest.states(workflow_id)
        assert {name: states[name] for name in wanted} == wanted
        return True

    wait_until(reached, timeout)


def running_workers(fleet: Fleet, workflow_id: int) -> set[str]:
    """The hosts whose worker `torc remote status` shows as running."""
    hosts: dict[str, dict[str, Any]] = fleet.hosts("status", workflow_id)
    return {name for name, host in hosts.items() if host["state"] == "running"}
