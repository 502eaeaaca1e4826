"""Many workers at once, and servers that go away."""

from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Server, StartServer
from tests.support import wait_until
from tests.support.workers import Rest, worker

WORKERS = 10
JOBS = 500


def test_ten_workers_run_each_of_five_hundred_jobs_exactly_once(server: Server, tmp_path: Path) -> None:
    """Counted by what the jobs do: each makes a file of its own and would fail where that exists."""
    rest = Rest(server.url)
    marks = tmp_path / "marks"
    marks.mkdir()
    jobs = [{"name": f"j{number}", "command": f"echo $PPID >> {marks}/{number}"} for number in range(JOBS)]
    workflow_id = rest.create(jobs)
    rest.initialize(workflow_id)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                worker(
                    server.url,
                    workflow_id,
                    tmp_path / f"w{number}",
                    "--num-cpus",
                    "2",
                    TORC_WORKER_NAME=f"w{number}",
                )
            )
            for number in range(WORKERS)
        ]
        codes = [started.wait(90) for started in workers]
    assert codes == [0] * WORKERS
    assert set(rest.states(workflow_id).values()) == {"completed"}
    runs = {int(mark.name): mark.read_text().split() for mark in marks.iterdir()}
    assert sorted(runs) == list(range(JOBS))
    assert Counter(map(len, runs.values())) == {1: JOBS}
    used = {pids[0] for pids in runs.values()}
    assert len(used) > 1, "one worker did it all"
    assert used <= {str(started.process.pid) for started in workers}


def test_a_killed_server_that_comes_back_has_every_result(start_server: StartServer, tmp_path: Path) -> None:
    """Killed hard again and again in the middle of short jobs, with two workers."""
    server = start_server()
    rest = Rest(server.url)
    port = int(server.url.split(":")[2].split("/")[0])
    marks = tmp_path / "marks"
    marks.mkdir()
    jobs = [
        {"name": f"j{number}", "command": f"echo x >> {marks}/{number}; sleep 0.05"} for number in range(150)
    ]
    workflow_id = rest.create(jobs)
    rest.initialize(workflow_id)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(worker(server.url, workflow_id, tmp_path / f"w{number}", "--num-cpus", "2"))
            for number in range(2)
        ]
        for target in (20, 60, 100):
            wait_until(partial(_has, marks, target), 30)
            server.process.kill()
            server.process.wait()
            server = start_server(server.database, port=port)
        assert [started.wait(60) for started in workers] == [0, 0]
    assert set(rest.states(workflow_id).values()) == {"completed"}
    assert {mark.read_text() for mark in marks.iterdir()} == {"x\n"}
    assert len(list(marks.iterdir())) == len(rest.results(workflow_id)) == 150
    assert [node["is_active"] for node in rest.nodes(workflow_id)] == [False, False]
    assert any("The server answers again" in started.log for started in workers)


def _has(directory: Path, number: int) -> bool:
    return len(list(directory.iterdir())) >= number


def test_jobs_go_on_while_the_server_is_away(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    rest = Rest(server.url)
    port = int(server.url.split(":")[2].split("/")[0])
    job = {"name": "job", "command": "touch started; while [ ! -e go ]; do sleep 0.05; done; exit 7"}
    workflow_id = rest.create([job])
    with worker(server.url, workflow_id, tmp_path) as started:
        wait_until((tmp_path / "started").exists)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: "trying again" in started.log)
        (tmp_path / "go").touch()
        wait_until(lambda: "return_code=7" in started.log)
        start_server(server.database, port=port)
        assert started.wait() == 0
    assert rest.results(workflow_id)["job"]["return_code"] == 7


def test_a_server_that_stays_away_is_given_up_when_no_job_runs(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    rest = Rest(server.url)
    workflow_id = rest.create(
        [{"name": "job", "command": "touch started; while [ ! -e go ]; do sleep 0.05; done"}],
        compute_node_wait_for_healthy_database_minutes=0,
    )
    with worker(server.url, workflow_id, tmp_path) as started:
        wait_until((tmp_path / "started").exists)
        server.process.kill()
        server.process.wait()
        wait_until(lambda: "trying again" in started.log)
        with pytest.raises(AssertionError):
            wait_until(lambda: started.process.poll() is not None, 2)
        (tmp_path / "go").touch()
        assert started.wait() == 1
    assert "Error: the server has been away for too long: connection refused" in started.log
    assert "1 results could not be delivered" in started.log
