"""Whose worker a host has: this server's, that of a copy of its database, or one of a run that is over."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.faults import alive
from tests.support.host_scripts import WORKER, ScriptHost, installed_shells, script_host

NAME = os.uname().nodename
# It registers now, and runs its first job in the workflow's first run.
REGISTERED = WORKER.replace("2026-11-22T18:46:53Z", "$(date -u +%Y-%m-%dT%H:%M:%SZ)").replace(
    "compute_node_id=7", "run_id=1 compute_node_id=7"
)
IDLE = REGISTERED.replace(
    ' Starting torc job runner run_id=1 compute_node_id=7"',
    ' Starting job runner"; echo "[$(date -u +%Y-%m-%dT%H:%M:%SZ) INFO  torc] Starting torc job runner '
    f'hostname={NAME} x=1"',
)
SHELLS = [
    name if name in ("dash", "mksh") else pytest.param(name, marks=pytest.mark.slow)
    for name in installed_shells()
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path / "home", REGISTERED) as host:
        yield host


def node(number: int, name: str = NAME, ago: int = 0) -> str:
    started = datetime.now(UTC).timestamp() - ago
    return f"node {number} {started:.0f} {datetime.fromtimestamp(started, UTC):%Y-%m-%dT%H:%M:%SZ} {name}"


def known(*nodes: str, run: int = 1) -> str:
    return "\n".join([f"run {run}", *nodes])


def started(host: ScriptHost) -> int:
    pid = int(host.start()["pid"])
    host.verify()
    return pid


@pytest.mark.parametrize("shell", SHELLS)
def test_a_worker_of_a_copied_database_is_left_alone(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    pid = started(host)
    own = known(node(6), node(7, ago=2), node(8))
    others = {
        "no node": known(),
        "another number": known(node(6), node(8)),
        "another host": known(node(6), node(7, "elsewhere")),
        "an older one": known(node(6), node(7, ago=3600)),
        "a younger one": known(node(6), node(7, ago=-3600)),
    }
    for answers in (host.status(known=own), host.status(), host.status(known=known(node(9)))):
        assert answers["state"] == "running"
    for what, said in others.items():
        status = host.status(known=said)
        assert status["state"] == "foreign", what
        assert status["reason"] == (
            f"the worker there (PID {pid}) belongs to another server with a copy of this workflow"
        )
        assert host.start(known=said)["state"] == "foreign", what
        assert host.stop(known=said)["state"] == "foreign", what
        assert host.stop(force=True, known=said)["state"] == "foreign", what
        assert alive(pid)
    assert host.start(known=own)["state"] == "already_running"
    assert host.stop(known=own)["state"] == "stopped"


def test_a_worker_without_a_job_is_known_by_its_name_and_time(host: ScriptHost) -> None:
    (host.home / ".local/bin/torc").write_text(IDLE)
    host.start()
    wait_until(lambda: "x=1" in next((host.home / "torc_output").glob("*.log")).read_text())
    assert host.status(known=known(node(6), node(7, ago=0)))["state"] == "running"
    for said in (known(node(7, "elsewhere")), known(node(7, ago=3600)), known()):
        assert host.status(known=said)["state"] == "foreign"


def test_a_worker_that_has_not_registered_is_nobody_elses(host: ScriptHost) -> None:
    (host.home / ".local/bin/torc").write_text("#!/bin/sh\nsleep 611\n")
    host.start()
    assert host.status(known=known())["state"] == "running"
    assert host.stop(known=known())["state"] == "stopped"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_worker_of_a_run_that_is_over_gives_way(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    first = started(host)
    assert host.start(known=known(node(7, ago=2), run=1))["state"] == "already_running"
    assert host.start(known=known(node(7, ago=2), run=0))["state"] == "already_running", (
        "asked before a reset"
    )
    second = host.start(known=known(node(7, ago=2), run=2))
    assert second["state"] == "started"
    assert second["reason"] == f"in place of the worker of run 1 (PID {first})"
    assert second["nodes"].startswith("node 7 "), "the server has to be told"
    assert int(second["pid"]) != first
    assert not alive(first)
    assert alive(int(second["pid"]))


def test_who_started_a_worker_knows_its_run_where_it_says_nothing(host: ScriptHost) -> None:
    (host.home / ".local/bin/torc").write_text(REGISTERED.replace("run_id=1 ", ""))
    first = int(host.start(known=known(run=3))["pid"])
    host.verify()
    assert host.start(known=known(node(7, ago=2), run=3))["state"] == "already_running"
    assert host.start(known=known(node(7, ago=2), run=4))["state"] == "started"
    assert not alive(first)


def test_a_worker_that_does_not_give_way_is_told_of(host: ScriptHost) -> None:
    host.edits = {"monotonic) + 15": "monotonic) + 1", "monotonic) + 5": "monotonic) + 1"}
    pid = started(host)
    host.edits |= {'kill "-$1" "$member"': ":", 'kill -TERM "$r_pid"': ":"}  # it takes no signal
    refused = host.start(known=known(node(7, ago=2), run=2))
    assert refused["state"] == "busy"
    assert f"(PID {pid}), which should give way to one of run 2, does not end" in refused["msg"]
    os.kill(pid, signal.SIGKILL)
