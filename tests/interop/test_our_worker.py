"""Our worker with the real torc-server: what a host gets that the native binary does not fit."""

import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.interop.conftest import StartTorcServer
from tests.interop.fleets import active_nodes, wait_for_states
from tests.support import wait_until
from tests.support.native import Native
from tests.support.workers import Rest, run_worker, worker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.lifecycle import ensure_runnable, requeue_jobs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rest(torc_server: StartTorcServer) -> Rest:
    return Rest(torc_server().url)


@pytest.fixture
def ready(rest: Rest):
    """Create a workflow and initialize it."""

    def make(*args, **more) -> int:
        number = rest.create(*args, **more)
        rest.initialize(number)
        return number

    return make


def test_dependencies_failures_and_results(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready(
        [
            {"name": "prepare", "command": "echo $TORC_JOB_NAME of $TORC_WORKFLOW_ID; echo x > made"},
            {"name": "left", "command": "cat made", "depends_on": ["prepare"]},
            {"name": "right", "command": "exit 3", "depends_on": ["prepare"]},
            {
                "name": "join",
                "command": "true",
                "depends_on": ["left", "right"],
                "cancel_on_blocking_job_failure": False,
            },
            {"name": "after", "command": "true", "depends_on": ["right"]},
        ]
    )
    done = run_worker(rest.url, number, tmp_path)
    assert done.process.returncode == 0
    assert rest.states(number) == {
        "prepare": "completed", "left": "completed", "right": "failed", "join": "completed", "after": "canceled",
    }  # fmt: skip
    found = rest.results(number)
    assert {name: result["return_code"] for name, result in found.items()} == {
        "prepare": 0, "left": 0, "right": 3, "join": 0,
    }  # fmt: skip
    assert {result["status"] for result in found.values()} == {"completed", "failed"}
    assert all(result["exec_time_minutes"] > 0 for result in found.values())
    job = rest.jobs(number)["prepare"]["id"]
    output = tmp_path / f"torc_output/job_stdio/job_wf{number}_j{job}_r1_a1.o"
    assert output.read_text() == f"prepare of {number}\n"


def test_automatic_initialization_begins_the_first_run_as_torc_does(rest: Rest, tmp_path: Path) -> None:
    """By the worker, and by what `torc remote run` does before; it begins none where somebody did."""
    client = TorcClient(Settings(api_url=rest.url))
    by_worker, by_client = (rest.create([{"name": "a", "command": "true"}]) for _ in range(2))
    assert run_worker(rest.url, by_worker, tmp_path).process.returncode == 0
    assert ensure_runnable(client, by_client, lambda text: None)
    assert not ensure_runnable(client, by_client, lambda text: None)
    assert run_worker(rest.url, by_client, tmp_path).process.returncode == 0
    for number in (by_worker, by_client):
        assert client.get_workflow(number)["run_id"] == 1
        assert rest.results(number)["a"]["run_id"] == 1
        assert list(tmp_path.glob(f"torc_output/job_runner_*_wf{number}_r1.log"))


def test_the_compute_node_while_it_works_and_after(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready([{"name": "nap", "command": "until [ -e go ]; do sleep 0.05; done"}])
    with worker(
        rest.url, number, tmp_path, "--num-cpus", "3", "--memory-gb", "2.5", TORC_WORKER_NAME="n1"
    ) as ours:
        wait_for_states(rest, number, {"nap": "running"})
        (node,) = rest.nodes(number)
        assert node["is_active"]
        assert (node["hostname"], node["pid"]) == ("n1", ours.process.pid)
        assert (node["num_cpus"], node["memory_gb"], node["compute_node_type"]) == (3, 2.5, "local")
        assert rest.jobs(number)["nap"]["compute_node_id"] == node["id"]
        (tmp_path / "go").touch()
        assert ours.wait() == 0
    (node,) = rest.nodes(number)
    assert not node["is_active"]
    assert node["duration_seconds"] > 0
    assert rest.results(number)["nap"]["compute_node_id"] == node["id"]


def test_a_stopped_worker_gives_its_jobs_back(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready([{"name": "long", "command": "sleep 300"}])
    with worker(rest.url, number, tmp_path) as ours:
        wait_for_states(rest, number, {"long": "running"})
        ours.process.terminate()
        assert ours.wait() == 143
    assert rest.states(number) == {"long": "ready"}
    assert rest.results(number)["long"]["return_code"] == 143
    assert active_nodes(rest, number) == []


def test_it_leaves_when_the_workflow_is_canceled(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready(
        [
            {"name": "long", "command": "sleep 300"},
            {"name": "next", "command": "true", "depends_on": ["long"]},
        ]
    )
    with worker(rest.url, number, tmp_path) as ours:
        wait_for_states(rest, number, {"long": "running"})
        rest.call("PUT", f"/workflows/{number}/cancel")
        assert ours.wait() == 0
    assert rest.states(number) == {"long": "canceled", "next": "blocked"}
    assert active_nodes(rest, number) == []


def test_claims_respect_the_resources(rest: Rest, ready, tmp_path: Path) -> None:
    command = "echo start >> log; sleep 0.3; echo end >> log"
    number = ready([{"name": f"j{n}", "command": command} for n in range(4)], needs={"num_cpus": 2})
    run_worker(rest.url, number, tmp_path, "--num-cpus", "3")
    assert set(rest.states(number).values()) == {"completed"}
    assert (tmp_path / "log").read_text().split() == ["start", "end"] * 4


def test_max_parallel_jobs(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready(
        [{"name": f"j{n}", "command": "echo start >> log; sleep 0.3; echo end >> log"} for n in range(3)]
    )
    run_worker(rest.url, number, tmp_path, "--max-parallel-jobs", "1")
    assert (tmp_path / "log").read_text().split() == ["start", "end"] * 3


def test_resource_monitoring(rest: Rest, ready, tmp_path: Path) -> None:
    monitoring = {
        "enabled": True,
        "granularity": "time_series",
        "sample_interval_seconds": 1,
        "jobs": {"enabled": True, "granularity": "time_series"},
    }
    hog = "python3 -c 'import time; x = bytearray(50 << 20); end = time.time() + 3\nwhile time.time() < end: pass'"
    number = ready([{"name": "hog", "command": hog}], resource_monitor_config=monitoring)
    run_worker(rest.url, number, tmp_path, TORC_WORKER_NAME="h1")
    result = rest.results(number)["hog"]
    assert result["return_code"] == 0
    assert result["peak_memory_bytes"] > 50 << 20
    assert result["peak_cpu_percent"] > 20
    database = tmp_path / f"torc_output/resource_utilization/resource_metrics_wf{number}_hh1_r1.db"
    samples = (
        sqlite3.connect(database).execute("SELECT max(memory_bytes) FROM job_resource_samples").fetchone()
    )
    assert samples == (result["peak_memory_bytes"],)


def test_native_workers_and_ours_share_a_workflow_each_job_once(
    rest: Rest, ready, native: Native, tmp_path: Path
) -> None:
    first = [{"name": f"a{n}", "command": f"echo a{n} >> {tmp_path}/ran; sleep 0.1"} for n in range(40)]
    then = [
        {"name": f"b{n}", "command": f"echo b{n} >> {tmp_path}/ran; sleep 0.1", "depends_on": [f"a{n}"]}
        for n in range(20)
    ]
    number = ready([*first, *then])
    homes = [tmp_path / name for name in ("native1", "native2", "ours1", "ours2")]
    with (
        worker(rest.url, number, homes[0], command=(str(native.torc),)) as native1,
        worker(rest.url, number, homes[1], command=(str(native.torc),)) as native2,
        worker(rest.url, number, homes[2], TORC_WORKER_NAME="ours1") as ours1,
        worker(rest.url, number, homes[3], TORC_WORKER_NAME="ours2") as ours2,
    ):
        assert [process.wait(60) for process in (native1, native2, ours1, ours2)] == [0, 0, 0, 0]
    assert Counter((tmp_path / "ran").read_text().split()) == Counter(job["name"] for job in [*first, *then])
    assert set(rest.states(number).values()) == {"completed"}
    by_node = Counter(result["compute_node_id"] for result in rest.results(number).values())
    assert sorted(by_node) == sorted(node["id"] for node in rest.nodes(number))  # all four had some
    assert active_nodes(rest, number) == []


def test_it_goes_on_after_the_server_was_away(
    native: Native, torc_server: StartTorcServer, tmp_path: Path
) -> None:
    """The job ends while the server is stopped; its result arrives when the server answers again."""
    server = torc_server()
    rest = Rest(server.url)
    number = rest.create(
        [{"name": "a", "command": "sleep 1"}, {"name": "b", "command": "true", "depends_on": ["a"]}]
    )
    rest.initialize(number)
    with worker(server.url, number, tmp_path) as ours:
        wait_for_states(rest, number, {"a": "running"})
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # long enough for the job to end
        server.process.send_signal(signal.SIGCONT)
        wait_until(lambda: rest.states(number) == {"a": "completed", "b": "completed"}, 60)
        assert ours.wait(60) == 0


def test_a_failed_job_runs_again_beside_the_others(rest: Rest, ready, tmp_path: Path) -> None:
    number = ready(
        [
            {"name": "fails", "command": "test -e good"},
            {"name": "after", "command": "true", "depends_on": ["fails"]},
            {"name": "long", "command": "until [ -e end ]; do sleep 0.1; done"},
        ]
    )
    client = TorcClient(Settings(api_url=rest.url))
    with worker(rest.url, number, tmp_path, "--max-parallel-jobs", "2") as started:
        wait_for_states(rest, number, {"fails": "failed", "after": "canceled", "long": "running"})
        (tmp_path / "good").touch()
        [again] = requeue_jobs(client, [rest.jobs(number)["fails"]["id"]])
        assert again["attempt_id"] == 2
        wait_for_states(rest, number, {"fails": "completed", "after": "completed", "long": "running"})
        (tmp_path / "end").touch()
        assert started.wait() == 0
    assert rest.states(number)["long"] == "completed"
