"""Resource monitoring: the fields of results and nodes, the time series file, the limit on memory."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.support.workers import Record, Rest, run_worker

MIB = 1024**2
# Two processes hold 60 MiB each, one of them computes, for about a second.
BURN = f"""python3 -c '
import os, time
child = os.fork()
block = bytearray(os.urandom(1)) * (60 * {MIB})
end = time.monotonic() + 1.2
while time.monotonic() < end:
    if child:
        time.sleep(0.05)
if child:
    os.wait()
'"""


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url)


def _run(
    rest: Rest, directory: Path, monitoring: Record, command: str = BURN, **needs: str
) -> tuple[int, Record]:
    """Run one job; the workflow's ID and the job's result."""
    jobs = [{"name": "job", "command": command}]
    workflow_id = rest.create(
        jobs, needs, resource_monitor_config={"sample_interval_seconds": 0.2} | monitoring
    )
    done = run_worker(rest.url, workflow_id, directory, TORC_WORKER_NAME="host1")
    assert done.process.returncode == 0, done.log
    return workflow_id, rest.results(workflow_id)["job"]


@pytest.mark.parametrize(
    "monitoring",
    [
        {"jobs": {"enabled": True, "granularity": "summary"}},
        {"jobs": {"enabled": True}},
        {"enabled": True, "granularity": "summary"},
        {"enabled": True, "granularity": "summary", "jobs": None},
    ],
)
def test_a_summary_counts_the_whole_tree_and_writes_no_file(
    rest: Rest, tmp_path: Path, monitoring: Record
) -> None:
    _, result = _run(rest, tmp_path, monitoring)
    assert 120 * MIB < result["peak_memory_bytes"] < 200 * MIB
    assert 0 < result["avg_memory_bytes"] <= result["peak_memory_bytes"]
    assert 3 < result["peak_cpu_percent"] < 160  # a machine under load gives it less than a core
    assert 0 < result["avg_cpu_percent"] <= result["peak_cpu_percent"]
    assert not (tmp_path / "torc_output/resource_utilization").exists()


@pytest.mark.parametrize(
    "monitoring", [{}, {"enabled": False}, {"enabled": True, "jobs": {"enabled": False}}]
)
def test_without_monitoring_the_fields_are_zero(rest: Rest, tmp_path: Path, monitoring: Record) -> None:
    workflow_id, result = _run(rest, tmp_path, monitoring, command="sleep 0.5")
    assert [
        result[f"{kind}_{what}"] for kind in ("peak", "avg") for what in ("cpu_percent", "memory_bytes")
    ] == [
        0,
        0,
        0,
        0,
    ]
    assert "sample_count" not in rest.nodes(workflow_id)[0]


def test_a_time_series_has_torcs_schema_and_agrees_with_the_result(rest: Rest, tmp_path: Path) -> None:
    series = {"enabled": True, "granularity": "time_series"}
    workflow_id, result = _run(
        rest, tmp_path, {"jobs": series, "compute_node": {**series, "cpu": True, "memory": True}}
    )
    path = tmp_path / f"torc_output/resource_utilization/resource_metrics_wf{workflow_id}_hhost1_r1.db"
    with closing(sqlite3.connect(path)) as database:
        assert _columns(database) == SCHEMA
        job_id = result["job_id"]
        assert database.execute("SELECT * FROM job_metadata").fetchall() == [(job_id, "job")]
        samples = database.execute(
            "SELECT DISTINCT job_id, max(memory_bytes), max(cpu_percent), max(num_processes), "
            "min(timestamp) > unixepoch() - 60 FROM job_resource_samples"
        ).fetchall()
        # Samples of one second replace each other, so the file's peak may be lower than the result's.
        [(sampled_job, memory, cpu, count, recent)] = samples
        assert (sampled_job, count, recent) == (job_id, 2, 1)
        assert 120 * MIB < memory <= result["peak_memory_bytes"]
        assert 3 < cpu <= result["peak_cpu_percent"]
        rows, total = database.execute(
            "SELECT count(*), max(total_memory_bytes) FROM system_resource_samples"
        ).fetchone()
        summary = database.execute("SELECT * FROM system_resource_summary").fetchall()
    node = rest.nodes(workflow_id)[0]
    assert rows == node["sample_count"] >= 3
    assert 0 < node["avg_memory_bytes"] <= node["peak_memory_bytes"] < total
    assert 0 < node["avg_cpu_percent"] <= node["peak_cpu_percent"] <= 100
    names = ("sample_count", "peak_cpu_percent", "avg_cpu_percent", "peak_memory_bytes", "avg_memory_bytes")
    assert summary == [(1, *(node[name] for name in names))]


SCHEMA = {
    "job_resource_samples": ["job_id", "timestamp", "cpu_percent", "memory_bytes", "num_processes"],
    "job_metadata": ["job_id", "job_name"],
    "system_resource_samples": ["id", "timestamp", "cpu_percent", "memory_bytes", "total_memory_bytes"],
    "system_resource_summary": [
        "id",
        "sample_count",
        "peak_cpu_percent",
        "avg_cpu_percent",
        "peak_memory_bytes",
        "avg_memory_bytes",
    ],
}


def _columns(database: sqlite3.Connection) -> dict[str, list[str]]:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {
        name: [column[1] for column in database.execute(f"PRAGMA table_info({name})")] for (name,) in tables
    }


def test_a_job_above_its_memory_is_killed(rest: Rest, tmp_path: Path) -> None:
    command = BURN.replace("1.2", "60")
    _, result = _run(rest, tmp_path, {"jobs": {"enabled": True}}, command, memory="50m")
    assert (result["return_code"], result["status"]) == (137, "failed")
    assert result["peak_memory_bytes"] > 50 * MIB


def test_a_job_without_requirements_of_its_own_has_no_limit(rest: Rest, tmp_path: Path) -> None:
    """The server's record of the name default says 1 MiB for all of them."""
    jobs = [{"name": "job", "command": BURN}]
    workflow_id = rest.create(
        jobs, resource_monitor_config={"sample_interval_seconds": 0.2, "jobs": {"enabled": True}}
    )
    run_worker(rest.url, workflow_id, tmp_path)
    assert rest.states(workflow_id) == {"job": "completed"}
    assert rest.results(workflow_id)["job"]["peak_memory_bytes"] > 50 * MIB
