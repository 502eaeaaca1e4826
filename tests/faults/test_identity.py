"""Faults 31 to 38: is this process our worker?"""

import os
import pwd
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support import wait_until
from tests.support.faults import (
    alive,
    await_running,
    busy,
    canary,
    edit,
    hook_sessions,
    jobs,
    kill_session,
    parent_of,
    record,
    shims,
    start_worker,
    stat,
    stop_after_reboot,
)
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import start

BOTH = ["sandbox1", "sandbox2"]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")


def states(fleet: SandboxFleet, *words: str | int) -> dict[str, str]:
    return {name: host["state"] for name, host in fleet.hosts(*words).items()}


def test_31_pid_reused(fleet: SandboxFleet) -> None:
    """A worker died and its PID belongs to another process of the same user now: status says so, stop leaves \
that process alone and frees the jobs at the server, run starts a new worker."""
    number = busy(fleet, BOTH)
    pids = start_worker(fleet, number, "--max-parallel-jobs", "1")
    await_running(fleet, number)
    kill_session(pids["sandbox1"])
    with canary() as foreign:
        edit(record(fleet.home("sandbox1"), number), pid=foreign)
        status = fleet.torc("remote", "status", number).stdout
        assert f"Not Running: PID {foreign} is another process now" in status
        assert "1/2 workers running" in status
        stopped = fleet.torc("remote", "stop", number, "--force").stdout
        assert (
            f"sandbox1: Not running: PID {foreign} is another process now; nothing was signalled" in stopped
        )
        assert "running" not in jobs(fleet, number)
        again = fleet.hosts("run", number)
        assert {host["state"] for host in again.values()} == {"registered"}
        assert again["sandbox1"]["pid"] != foreign
        fleet.hosts("stop", number, "--force")


@root_only
def test_32_pid_of_another_user(fleet: SandboxFleet) -> None:
    """The recorded PID, or that in a PID file of torc's own, belongs to another user: even root's stop leaves it \
alone, and even when that user runs a worker of the same workflow."""
    number = fleet.sleeping(["sandbox1"])
    pid = start_worker(fleet, number)["sandbox1"]
    kill_session(pid)
    nobody = pwd.getpwnam("nobody").pw_name
    home = fleet.home("sandbox1")
    with canary(user=nobody) as foreign:
        edit(record(home, number), pid=foreign)
        assert states(fleet, "stop", number) == {"sandbox1": "stale"}
    native = home / "torc_output" / f"torc_worker_{number}.pid"
    command = f"exec -a torc sh -c 'sleep 600; :' run {number}"  # the list of processes shows a worker
    record(home, number).unlink()
    with canary("bash", "-c", command, user=nobody) as foreign:
        wait_until(lambda: Path(f"/proc/{foreign}/cmdline").read_bytes().startswith(b"torc\0"))
        native.write_text(f"{foreign}\n")
        assert states(fleet, "stop", number) == {"sandbox1": "stale"}
    native.unlink()


def test_33_reboot(fleet: SandboxFleet) -> None:
    """The machine was booted since the start: whatever has the PID now is left alone, even with the same start \
time, and the jobs that went down with the worker are ready again."""
    number = fleet.sleeping(["sandbox1"])
    pid = start_worker(fleet, number)["sandbox1"]
    await_running(fleet, number)
    kill_session(pid)
    with canary() as foreign:
        edit(
            record(fleet.home("sandbox1"), number),
            **{"pid": foreign, "start": stat(foreign)[19], "boot": "another-boot", "since": 1_000_000_000},
        )
        stop_after_reboot(fleet, number, "sandbox1")
        assert states(fleet, "run", number) == {"sandbox1": "registered"}
    fleet.hosts("stop", number)


def test_34_clock_jump(fleet: SandboxFleet) -> None:
    """The host's clock is set forward or back while the worker runs: it is still known, and stop waits for it \
neither shorter nor longer."""
    hook_sessions(fleet.sandbox)
    slow = "trap 'sleep 1; exit' TERM; sleep 300 & wait"
    number = fleet.workflow([{"name": "slow to end", "command": slow}], ["sandbox1"])
    pid = start_worker(fleet, number)["sandbox1"]
    await_running(fleet, number)
    # each look at the clock finds it an hour further, and all of that a day back
    leaping = """/bin/date "$@" >/dev/null || exit
count=$(cat "$HOME/.leaps" 2>/dev/null || echo 0)
echo $((count + 1)) >"$HOME/.leaps"
echo $(($(/bin/date +%s) - 86400 + 3600 * count))"""
    with shims(fleet.home("sandbox1"), date=leaping):
        running = fleet.hosts("status", number)["sandbox1"]
        assert (running["state"], running["pid"]) == ("running", pid)
        assert states(fleet, "run", number) == {"sandbox1": "already_running"}
        stopped = fleet.hosts("stop", number)["sandbox1"]
        assert (stopped["state"], stopped["pid"]) == ("stopped", pid)
    assert not alive(pid)


def test_35_two_hosts_with_one_home(tmp_path: Path, start_server: StartServer) -> None:
    """Two machines share a home by NFS: each has its own worker, status, stop and archive, and the logs of the \
one are not deleted under the other's worker."""
    with start(2, tmp_path / "sandbox") as sandbox:
        hook_sessions(sandbox)
        first, second = (host.home for host in sandbox.hosts)
        second.rmdir()
        second.symlink_to(first)
        fleet = SandboxFleet(sandbox, start_server().url, tmp_path)
        number = busy(fleet, BOTH)
        fleet.torc("remote", "install", number, "--limit", "sandbox1")
        other_name = '[ "$*" = -n ] && echo "$TORC_WORKER_NAME" || exec /bin/uname "$@"'
        with shims(first, uname=other_name):
            pids = start_worker(fleet, number, "--max-parallel-jobs", "1")
            assert len(set(pids.values())) == 2
            assert {name: host["pid"] for name, host in fleet.hosts("status", number).items()} == pids
            fleet.hosts("stop", number, "--limit", "sandbox1")
            assert states(fleet, "status", number) == {"sandbox1": "exited", "sandbox2": "running"}
            refused = fleet.torc("remote", "delete-logs", number, "--limit", "sandbox1", code=1).stderr
            assert "a worker is still running there" in refused
            assert "on sandbox2" in refused
            assert (first / "torc_output").is_dir()
            collected = fleet.hosts("collect-logs", number)
            assert len({host["archive"] for host in collected.values()}) == 2
            fleet.hosts("stop", number)


@pytest.mark.slow
def test_36_two_servers_with_the_same_workflow_id(
    fleet: SandboxFleet, start_server: StartServer, tmp_path: Path
) -> None:
    """Workflows of two servers have one ID: both get their worker on a host, each server's commands see their \
own alone, and neither's logs overwrite the other's."""
    spoken = [
        {"name": "speak", "command": "echo said by $WHO; sleep 300", "env": {"WHO": name}} for name in "ab"
    ]
    fleets = [replace(fleet, url=start_server().url, directory=tmp_path / name) for name in "ab"]
    for each in fleets:
        each.directory.mkdir()
    numbers = [each.workflow([job], ["sandbox1"]) for each, job in zip(fleets, spoken, strict=True)]
    assert numbers[0] == numbers[1]
    pids = [start_worker(each, numbers[0], "-o", "shared")["sandbox1"] for each in fleets]
    assert pids[0] != pids[1]
    for each in fleets:
        await_running(each, numbers[0])
    assert fleets[0].hosts("stop", numbers[0])["sandbox1"]["pid"] == pids[0]
    running = fleets[1].hosts("status", numbers[0])["sandbox1"]
    assert (running["state"], running["pid"]) == ("running", pids[1])
    fleets[0].hosts("delete-logs", numbers[0], code=1)
    fleets[1].hosts("stop", numbers[0])
    for each, name in zip(fleets, "ab", strict=True):
        archive = each.hosts("collect-logs", numbers[0], "--delete")["sandbox1"]["archive"]
        shutil.unpack_archive(archive, each.directory / "out")
        outputs = [path.read_text() for path in (each.directory / "out").rglob("*.o")]
        assert outputs == [f"said by {name}\n"]
    assert not (fleet.home("sandbox1") / "shared").exists()


def test_37_started_by_torcs_own_remote_run(fleet: SandboxFleet) -> None:
    """A worker that torc's own `remote run` started is recognised by its PID file: run starts no second one, \
status shows it, stop ends it and frees its jobs."""
    number = fleet.sleeping(["sandbox1"])
    fleet.torc("workflows", "init", number)
    launch = (
        f"mkdir -p torc_output; nohup ~/.local/bin/torc --url {shlex.quote(fleet.url)} run {number} --output-dir "
        f"torc_output > torc_output/torc_worker_{number}.log 2>&1 & echo $! > torc_output/torc_worker_{number}.pid"
    )
    done = fleet.sandbox.ssh("sandbox1", f"bash -c {shlex.quote(launch)}")
    assert done.returncode == 0, done.stderr
    pid = int((fleet.home("sandbox1") / f"torc_output/torc_worker_{number}.pid").read_text())
    await_running(fleet, number)
    for command, state in (("status", "running"), ("run", "already_running")):
        host = fleet.hosts(command, number)["sandbox1"]
        assert (host["state"], host["pid"]) == (state, pid)
    stopped = fleet.hosts("stop", number)["sandbox1"]
    assert (stopped["state"], stopped["pid"]) == ("stopped", pid)
    assert not alive(pid)
    assert jobs(fleet, number) == ["ready"]


def test_38_zombie(fleet: SandboxFleet) -> None:
    """The worker died and nobody has reaped it: a zombie counts as ended, so run starts a new worker, and what \
the old one's parent writes later does not concern that."""
    number = fleet.sleeping(["sandbox1"])
    pid = start_worker(fleet, number)["sandbox1"]
    parent = parent_of(pid)
    os.kill(parent, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stat(pid)[0] == "Z")
    assert "Not Running: ended, nobody saw how" in fleet.torc("remote", "status", number).stdout
    assert states(fleet, "stop", number)["sandbox1"] in ("not_running", "stopped")
    new = start_worker(fleet, number)["sandbox1"]
    os.kill(parent, signal.SIGCONT)
    wait_until(lambda: not alive(parent))
    running = fleet.hosts("status", number)["sandbox1"]
    assert (running["state"], running["pid"]) == ("running", new)
    fleet.hosts("stop", number)
