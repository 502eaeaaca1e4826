"""How a worker is made to leave: cancellation, signals, with and without a server that answers."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Server, StartServer
from tests.support import wait_until
from tests.support.workers import Rest, WorkerProcess, session_members, worker

# A tree: a child, one in a process group of its own, and one that ignores SIGTERM and stays behind its parent.
TREE = "sleep 61 & timeout 62 sleep 62 & (trap '' TERM; sleep 63; sleep 63) & touch started; wait"


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url)


def _wait_for(started: WorkerProcess, name: str = "started") -> None:
    wait_until((started.directory / name).exists)


def test_cancel_kills_the_whole_tree_within_a_poll_interval(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([{"name": "tree", "command": TREE}, {"name": "never", "command": "true"}])
    with worker(rest.url, workflow_id, tmp_path, "--max-parallel-jobs", "1", "-p", "1") as started:
        _wait_for(started)
        canceled = time.monotonic()
        rest.call("PUT", f"/workflows/{workflow_id}/cancel")
        assert started.wait(5) == 0
        assert time.monotonic() - canceled < 2
        assert session_members(started.process.pid) == []
    assert rest.states(workflow_id) == {"tree": "canceled", "never": "ready"}
    assert rest.results(workflow_id) == {}
    assert [node["is_active"] for node in rest.nodes(workflow_id)] == [False]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_jobs_and_gives_them_back(
    rest: Rest, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    jobs = [
        {"name": "plain", "command": "touch started; sleep 60"},
        {"name": "polite", "command": "trap 'echo saved > state; exit 0' TERM; touch armed; sleep 60 & wait"},
        {"name": "next", "command": "touch next"},
    ]
    workflow_id = rest.create(jobs)
    with worker(rest.url, workflow_id, tmp_path, "--max-parallel-jobs", "2") as started:
        _wait_for(started)
        _wait_for(started, "armed")
        started.process.send_signal(number)
        assert started.wait(5) == code
        assert session_members(started.process.pid) == []
    assert rest.states(workflow_id) == {"plain": "ready", "polite": "completed", "next": "ready"}
    assert rest.results(workflow_id)["plain"]["return_code"] == 128 + signal.SIGTERM
    assert (tmp_path / "state").exists()
    assert not (tmp_path / "next").exists()
    assert [node["is_active"] for node in rest.nodes(workflow_id)] == [False]
    assert "had_terminations=true" in started.log.splitlines()[-1]


def test_a_signal_to_the_whole_session_reports_the_same(rest: Rest, tmp_path: Path) -> None:
    """Whoever stops a session may hit a job before the worker; the job is ready again all the same."""
    workflow_id = rest.create([{"name": "job", "command": "echo $$ > started; exec sleep 60"}])
    with worker(rest.url, workflow_id, tmp_path) as started:
        job = wait_until(lambda: int((tmp_path / "started").read_text() or 0))
        os.kill(job, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{job}").exists())  # the worker has taken note of its end
        started.process.terminate()
        assert started.wait(5) == 143
    assert rest.states(workflow_id) == {"job": "ready"}


def test_what_ignores_sigterm_is_killed_by_a_second_signal(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([{"name": "tree", "command": TREE}])
    with worker(rest.url, workflow_id, tmp_path) as started:
        _wait_for(started)
        started.process.terminate()
        wait_until(lambda: "Job completed" in started.log)
        assert started.process.poll() is None  # one process of the tree is left
        started.process.terminate()
        assert started.wait(5) == 143
        assert session_members(started.process.pid) == []
    assert rest.states(workflow_id) == {"tree": "ready"}


def test_what_ignores_sigterm_is_killed_after_the_grace_time(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create(
        [{"name": "deaf", "command": "trap '' TERM; touch started; sleep 60; sleep 60"}]
    )
    with worker(rest.url, workflow_id, tmp_path) as started:
        _wait_for(started)
        signaled = time.monotonic()
        started.process.terminate()
        assert started.wait(15) == 143
        assert time.monotonic() - signaled > 9
        assert session_members(started.process.pid) == []
    assert rest.results(workflow_id)["deaf"]["return_code"] == 128 + signal.SIGKILL
    assert rest.states(workflow_id) == {"deaf": "ready"}


def test_jobs_end_at_once_although_the_server_hangs(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    rest = Rest(server.url)
    workflow_id = rest.create(
        [{"name": "job", "command": "trap 'touch told' TERM; touch started; sleep 60 & wait"}]
    )
    with worker(rest.url, workflow_id, tmp_path) as started:
        _wait_for(started)
        server.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: _has_unread_request(rest.url))
            started.process.terminate()
            wait_until((tmp_path / "told").exists, 3)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert started.wait() == 143
    assert rest.states(workflow_id) == {"job": "ready"}


def _has_unread_request(url: str) -> bool:
    """Whether bytes lie in a connection of the server's that it has not read."""
    port = int(url.split(":")[2].split("/")[0])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[4].split(":")[1] != "00000000" for row in rows)


def test_a_worker_whose_server_is_gone_leaves_within_seconds(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    rest = Rest(server.url)
    workflow_id = rest.create([{"name": "job", "command": "touch started; sleep 60"}])
    with worker(rest.url, workflow_id, tmp_path) as started:
        _wait_for(started)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: "cannot reach the server" in started.log)
        started.process.terminate()
        assert started.wait(9) == 143
        assert session_members(started.process.pid) == []
    assert "1 results could not be delivered" in started.log


def test_a_hangup_is_ignored_under_nohup(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create(
        [{"name": "job", "command": "touch started; while [ ! -e go ]; do sleep 0.1; done"}]
    )
    command = ("nohup", sys.executable, "-m", "torc_remote.builtin.worker")
    with worker(rest.url, workflow_id, tmp_path, command=command) as started:
        _wait_for(started)
        started.process.send_signal(signal.SIGHUP)
        (tmp_path / "go").touch()
        assert started.wait(10) == 0
    assert rest.states(workflow_id) == {"job": "completed"}
