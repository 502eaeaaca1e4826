"""Faults 73 to 79: launches that take too long or are cut off, what a worker is known by, directories of others."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from sqlite3 import connect
from urllib.parse import urlsplit

import pytest

from tests.conftest import Server, StartServer
from tests.faults.hosts import forget_home, needs_root, worker_pids
from tests.support import wait_until
from tests.support.faults import (
    alive,
    await_running,
    hook_sessions,
    jobs,
    kill_controller,
    playbook,
    record,
    shims,
)
from tests.support.proxy import proxy
from tests.support.remote import SandboxFleet
from torc_remote import processes
from torc_remote.client.play_settings import server_key

HOST = "sandbox1"


@pytest.fixture(autouse=True)
def clean_host(fleet: SandboxFleet) -> Iterator[None]:
    hook_sessions(fleet.sandbox)
    yield
    home = f"HOME={fleet.home(HOST)}"
    processes.signal_all(processes.processes_with(home) - fleet.sandbox.sshd_pids(), signal.SIGKILL)
    wait_until(lambda: not processes.processes_with(home) - fleet.sandbox.sshd_pids())
    forget_home(fleet, HOST)


def state_dir(fleet: SandboxFleet, number: int) -> Path:
    return record(fleet.home(HOST), number).parent


@pytest.mark.slow
def test_73_launch_slower_than_we_wait(fleet: SandboxFleet) -> None:
    """It is withdrawn and the report says so. What was held up starts nothing later, and the next run starts one."""
    number = fleet.sleeping([HOST])
    with shims(fleet.home(HOST), setsid='sleep 33\nexec /usr/bin/setsid "$@"'):
        failed = fleet.hosts("run", number, code=1)[HOST]
    assert "nothing will start later" in failed["reason"]
    started = fleet.hosts("run", number)[HOST]
    wait_until(lambda: not any("setsid" in name for name in _names(fleet)), 30)
    assert worker_pids(fleet, number) == {started["pid"]}


def _names(fleet: SandboxFleet) -> list[str]:
    pids = processes.processes_with(f"HOME={fleet.home(HOST)}")
    return [Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace") for pid in pids]


@pytest.mark.slow
def test_73b_slow_launch(fleet: SandboxFleet) -> None:
    """As long as there is hope it is waited for; one worker runs in the end."""
    number = fleet.sleeping([HOST])
    with shims(fleet.home(HOST), setsid='sleep 6\nexec /usr/bin/setsid "$@"'):
        started = fleet.hosts("run", number)[HOST]
    assert fleet.hosts("run", number)[HOST]["state"] == "already_running"
    assert worker_pids(fleet, number) == {started["pid"]}


def test_73c_command_killed_while_the_launch_is_under_way(fleet: SandboxFleet) -> None:
    """The next run waits for what was begun or takes it back; one worker runs in the end."""
    number = fleet.sleeping([HOST])
    with shims(fleet.home(HOST), setsid='sleep 2\nexec /usr/bin/setsid "$@"'):
        running = fleet.popen("remote", "run", number)
        wait_until(lambda: any(".shims/setsid" in name for name in _names(fleet)), 30)
        kill_controller(running)
    fleet.torc("remote", "run", number)
    wait_until(lambda: not any("setsid" in name for name in _names(fleet)), 10)
    assert len(worker_pids(fleet, number)) == 1


def test_74_lock_that_a_dead_command_left(fleet: SandboxFleet) -> None:
    """It is in nobody's way, whatever else was left beside it; and it is gone after the next command."""
    number = fleet.sleeping([HOST])
    fleet.torc("remote", "run", number)
    state = state_dir(fleet, number)
    (state / "lock").symlink_to("999999:1:dead")
    (state / "lock.999999_1_dead").symlink_to("999998:1:dead")
    (state / "lock.break").mkdir()
    (state / "ticket.999999-1").mkdir()
    assert fleet.hosts("stop", number)[HOST]["state"] == "stopped"
    assert not [*state.glob("lock*"), *state.glob("ticket*")]


@pytest.mark.slow
def test_75_process_that_a_job_left_in_a_session_of_its_own(fleet: SandboxFleet) -> None:
    """Stop ends it with the worker. Where only the worker died, status names it, delete-logs refuses, stop ends it."""
    daemon = "setsid sh -c 'exec sleep 7654 >&- 2>&- <&-' & sleep 300"
    number = fleet.workflow([{"name": "a", "command": daemon}], [HOST])

    def left() -> list[str]:
        return [name for name in _names(fleet) if name == "sleep\x007654\x00"]

    for force in ([], ["--force"]):
        fleet.torc("remote", "run", number)
        wait_until(left, 20)
        fleet.torc("remote", "stop", number, *force)
        assert not left()
    worker = fleet.hosts("run", number)[HOST]["pid"]
    wait_until(left, 20)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(worker))
    assert "processes of its jobs are still running" in fleet.hosts("status", number)[HOST]["reason"]
    refused = fleet.hosts("delete-logs", number, code=1)[HOST]
    assert "jobs of a worker that was killed are still running there" in refused["reason"]
    fleet.torc("remote", "stop", number)
    assert not left()


def test_76_server_behind_a_tunnel(fleet: SandboxFleet) -> None:
    """Its workers are the same by either address: status finds them, run starts no second one, stop stops them."""
    number = fleet.sleeping([HOST])
    pid = fleet.hosts("run", number)[HOST]["pid"]
    with proxy(fleet.url) as between:
        tunnel = replace(fleet, environment={"TORC_API_URL": between.url})
        assert tunnel.hosts("status", number)[HOST]["pid"] == pid
        assert tunnel.hosts("run", number)[HOST]["state"] == "already_running"
        assert worker_pids(fleet, number) == {pid}
        assert tunnel.hosts("stop", number)[HOST]["state"] == "stopped"
    assert not worker_pids(fleet, number)


@pytest.mark.slow
def test_77_new_database_behind_the_same_url(
    fleet: SandboxFleet, start_server: StartServer, tmp_path: Path
) -> None:
    """Its workflow is another one, although it has the number of the old one: run starts a worker for it."""
    first = start_server(tmp_path / "first.db")
    ours = replace(fleet, url=first.url)
    old = ours.sleeping([HOST])
    pid = ours.hosts("run", old)[HOST]["pid"]
    await_running(ours, old)
    first.process.terminate()
    first.process.wait(10)
    start_server(tmp_path / "second.db", port=urlsplit(first.url).port or 0)
    new = ours.workflow([{"name": "new", "command": "touch ran"}], [HOST])
    assert new == old
    assert ours.hosts("status", new)[HOST]["state"] == "none"
    assert ours.hosts("run", new)[HOST]["pid"] != pid
    wait_until(lambda: jobs(ours, new) == ["completed"], 20)
    assert (fleet.home(HOST) / "ran").exists()
    ours.torc("remote", "stop", new)


def test_77a_copied_database(
    fleet: SandboxFleet, server: Server, start_server: StartServer, tmp_path: Path
) -> None:
    """Two servers have copies of one database: of the other's worker on a host status, run and stop say whose it is, \
and leave it alone; by hand as well."""
    number = fleet.sleeping([HOST])
    copied = tmp_path / "copy.db"
    with closing(connect(server.database)) as source, closing(connect(copied)) as target:
        source.backup(target)
    other = replace(fleet, url=start_server(copied).url, directory=tmp_path)
    pid = other.hosts("run", number)[HOST]["pid"]
    whose = f"the worker there (PID {pid}) belongs to another server with a copy of this workflow"
    assert f"Not Running: {whose}\n0/1 workers running" in fleet.torc("remote", "status", number).stdout
    said = fleet.torc("remote", "run", number, code=1).stderr
    assert f"  [FAILED] {HOST}: {whose}. Stop it from there first\n" in said
    said = fleet.torc("remote", "stop", number, "--force").stdout
    assert f"  [OK] {HOST}: Not running: {whose}; nothing was signalled\n0/1 workers stopped" in said
    assert whose in playbook(fleet, "stop", number).stdout
    assert alive(pid)
    assert other.hosts("run", number)[HOST]["state"] == "already_running"
    assert other.hosts("stop", number)[HOST]["state"] == "stopped"
    assert fleet.hosts("run", number)[HOST]["state"] == "registered"
    fleet.torc("remote", "stop", number)


def test_77b_worker_of_a_run_that_is_over(fleet: SandboxFleet) -> None:
    """A workflow was reset and its workers have not noticed yet: run does not take them for the new run's, but puts \
new ones in their place."""
    number = fleet.sleeping([HOST])
    old = fleet.hosts("run", number, "--poll-interval", 60)[HOST]["pid"]
    await_running(fleet, number)
    fleet.torc("cancel", number, "--no-prompts")
    fleet.torc("workflows", "reset-status", number, "--reinitialize", "--no-prompts")
    said = fleet.torc("remote", "run", number).stdout
    (new,) = worker_pids(fleet, number)
    assert f"  [OK] {HOST}: Started (PID {new}), in place of the worker of run 1 (PID {old})\n" in said
    await_running(fleet, number)
    fleet.torc("remote", "stop", number)


@pytest.mark.slow
def test_78_worker_of_an_earlier_version(fleet: SandboxFleet) -> None:
    """It is found under the name that the server's URL gave it: status, run and stop see it, and logs are collected."""
    number = fleet.sleeping([HOST])
    (fleet.home(HOST) / "torc_output").mkdir()
    started = playbook(fleet, "start_worker", number, torc_workflow_key=server_key(fleet.url))
    assert started.returncode == 0, started.stdout
    (pid,) = worker_pids(fleet, number)
    assert record(fleet.home(HOST), number).parent.name == f"{number}-{server_key(fleet.url)}"
    assert fleet.hosts("status", number)[HOST]["pid"] == pid
    assert fleet.hosts("run", number)[HOST]["state"] == "already_running"
    assert fleet.hosts("stop", number)[HOST]["state"] == "stopped"
    assert fleet.hosts("run", number)[HOST]["state"] == "registered"
    assert record(fleet.home(HOST), number).parent.name == f"{number}-{fleet.key(number)}"
    fleet.torc("remote", "stop", number)
    assert fleet.hosts("collect-logs", number, "--delete")[HOST]["deleted"]


@needs_root
def test_79_output_directory_of_another_user(fleet: SandboxFleet) -> None:
    """Nothing is started, nothing is written there, and the reason says whose it is and what to do."""
    number = fleet.sleeping([HOST])
    theirs = fleet.home(HOST) / "shared"
    theirs.mkdir()
    theirs.chmod(0o1777)
    os.chown(theirs, 12345, 12345)
    failed = fleet.hosts("run", number, "--output-dir", theirs, code=1)[HOST]
    assert "belongs to another user (UID 12345)" in failed["reason"]
    assert "--output-dir" in failed["reason"]
    assert not list(theirs.iterdir())
    assert not worker_pids(fleet, number)
    assert fleet.hosts("run", number, "--output-dir", theirs / "mine")[HOST]["state"] == "registered"
