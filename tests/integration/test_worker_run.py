"""The worker against a real server: what runs, what is reported, what it leaves behind."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server, StartServer
from tests.support import wait_until
from tests.support.workers import Rest, old_python, run_worker, worker
from torc_remote.builtin.worker.zipapp_builder import build_zipapp


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url)


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that nobody can listen on while the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _note(name: str) -> dict[str, str]:
    return {"name": name, "command": f"echo {name} >> order.txt"}


DIAMOND = [
    _note("prep"),
    {**_note("left"), "depends_on": ["prep"]},
    {**_note("right"), "depends_on": ["prep"]},
    {**_note("join"), "depends_on": ["left", "right"]},
]


def test_a_diamond_runs_in_order_and_the_node_is_left_inactive(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create(DIAMOND)
    done = run_worker(rest.url, workflow_id, tmp_path, TORC_WORKER_NAME="host a/1")
    assert done.process.returncode == 0, done.log
    order = (tmp_path / "order.txt").read_text().split()
    assert sorted(order) == ["join", "left", "prep", "right"]
    assert (order[0], order[-1]) == ("prep", "join")
    assert set(rest.states(workflow_id).values()) == {"completed"}
    [node] = rest.nodes(workflow_id)
    assert (node["hostname"], node["pid"], node["is_active"]) == ("host a/1", done.process.pid, False)
    assert node["duration_seconds"] > 0
    log_file = tmp_path / f"torc_output/job_runner_host_a_1_wf{workflow_id}_r1.log"
    assert log_file.read_text() == done.log
    start, *rest_of_log = done.log.splitlines()
    assert "] Starting torc job runner version=1.0.0 " in start
    assert f" workflow_id={workflow_id} " in start
    assert f" output_dir=torc_output compute_node_id={node['id']} " in start
    assert sum(f"Job started workflow_id={workflow_id} " in line for line in rest_of_log) == 4
    assert sum("return_code=0 status=completed" in line for line in rest_of_log) == 4
    assert "Job runner completed" in rest_of_log[-1]


def test_a_second_worker_of_the_host_appends_to_the_log(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([_note("only")])
    for _ in range(2):
        assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0
    [log_file] = tmp_path.glob("torc_output/job_runner_*.log")
    assert log_file.read_text().count("Starting torc job runner") == 2


def test_a_failure_is_reported_and_cancels_what_depends_on_it(rest: Rest, tmp_path: Path) -> None:
    jobs = [
        {"name": "bad", "command": "echo out; echo err >&2; exit 3"},
        {"name": "killed", "command": "kill -9 $$"},
        {"name": "after", "command": "true", "depends_on": ["bad"], "cancel_on_blocking_job_failure": True},
        {"name": "anyway", "command": "true", "depends_on": ["bad"], "cancel_on_blocking_job_failure": False},
    ]
    workflow_id = rest.create(jobs)
    assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0
    states = rest.states(workflow_id)
    assert states == {"bad": "failed", "killed": "failed", "after": "canceled", "anyway": "completed"}
    results = rest.results(workflow_id)
    assert {name: result["return_code"] for name, result in results.items()} == {
        "bad": 3,
        "killed": 128 + 9,
        "anyway": 0,
    }
    stdio = tmp_path / "torc_output/job_stdio"
    stem = f"job_wf{workflow_id}_j{rest.jobs(workflow_id)['bad']['id']}_r1_a1"
    assert (stdio / f"{stem}.o").read_text() == "out\n"
    assert (stdio / f"{stem}.e").read_text() == "err\n"


def test_jobs_that_cannot_be_started_fail_with_the_reason_and_others_go_on(
    rest: Rest, tmp_path: Path
) -> None:
    jobs = [
        {"name": "nul", "command": "echo a\0b"},
        {"name": "huge", "command": "true " + "x" * 200_000},
        {"name": "fine", "command": "true"},
    ]
    workflow_id = rest.create(jobs)
    assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0
    assert rest.states(workflow_id) == {"nul": "failed", "huge": "failed", "fine": "completed"}
    assert rest.results(workflow_id)["nul"]["return_code"] == 126
    for name, reason in (("nul", "null byte"), ("huge", "Argument list too long")):
        job_id = rest.jobs(workflow_id)[name]["id"]
        error_file = tmp_path / f"torc_output/job_stdio/job_wf{workflow_id}_j{job_id}_r1_a1.e"
        assert reason in error_file.read_text()


def test_jobs_see_torcs_variables_and_their_own_but_no_secret(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(password="s3cret-pw")
    rest = Rest(server.url, "s3cret-pw")
    job = {"name": "env", "command": "env -0 > env.bin", "env": {"MINE": "1", "TORC_RUN_ID": "99"}}
    workflow_id = rest.create([job], env={"SHARED": "2"}, submission_directory="/from/here")
    secrets = {"TORC_PASSWORD": "s3cret-pw", "TORC_COOKIE_HEADER": "session=s3cret-cookie"}
    done = run_worker(server.url, workflow_id, tmp_path, "-o", "out dir", TORC_USERNAME="tester", **secrets)
    assert done.process.returncode == 0, done.log
    seen = dict(line.split("=", 1) for line in (tmp_path / "env.bin").read_text().split("\0") if line)
    expected = {
        "MINE": "1",
        "SHARED": "2",
        "TORC_WORKFLOW_ID": str(workflow_id),
        "TORC_RUN_ID": "1",
        "TORC_JOB_NAME": "env",
        "TORC_ATTEMPT_ID": "1",
        "TORC_OUTPUT_DIR": "out dir",
        "TORC_API_URL": server.url,
        "TORC_WORKFLOW_SUBMISSION_DIR": "/from/here",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not any("s3cret" in value for value in seen.values())
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"s3cret" not in file.read_bytes(), file


def test_invocation_scripts_are_prefix_or_preamble(rest: Rest, tmp_path: Path) -> None:
    jobs = [
        {"name": "prefix", "command": "sh -c 'echo $WHO > one'", "invocation_script": "env WHO=me"},
        {"name": "preamble", "command": "echo $WHO > two", "invocation_script": "WHO=you\n: more"},
    ]
    workflow_id = rest.create(jobs)
    assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0
    assert ((tmp_path / "one").read_text(), (tmp_path / "two").read_text()) == ("me\n", "you\n")


def test_a_job_that_fails_without_an_input_file_is_explained(rest: Rest, tmp_path: Path) -> None:
    """Its command may have said nothing, as here; one that has its file is left to itself."""
    workflow_id = rest.create([])
    files = [{"workflow_id": workflow_id, "name": name, "path": name} for name in ("here", "missing")]
    created = rest.call("POST", "/bulk_files", {"files": files})["files"]
    jobs = [
        {"workflow_id": workflow_id, "name": f["name"], "command": "exit 3", "input_file_ids": [f["id"]]}
        for f in created
    ]
    rest.call("POST", "/bulk_jobs", {"jobs": jobs})
    rest.initialize(workflow_id)  # by somebody who does not look for the files, as `torc remote run` does
    (tmp_path / "here").touch()
    done = run_worker(rest.url, workflow_id, tmp_path)
    ids = {name: job["id"] for name, job in rest.jobs(workflow_id).items()}
    said = {
        name: (tmp_path / f"torc_output/job_stdio/job_wf{workflow_id}_j{ids[name]}_r1_a1.e").read_text()
        for name in ids
    }
    assert said == {"here": "", "missing": "torc: declared input files are missing here: missing\n"}
    assert f"job_id={ids['missing']}: declared input files are missing here: missing" in done.log


def test_declared_output_files_must_exist(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([])
    body = {
        "files": [{"workflow_id": workflow_id, "name": name, "path": name} for name in ("made", "missed")]
    }
    ids = {file["name"]: file["id"] for file in rest.call("POST", "/bulk_files", body)["files"]}
    jobs = [
        {"workflow_id": workflow_id, "name": name, "command": command, "output_file_ids": [ids[name]]}
        for name, command in (("made", "touch made"), ("missed", "true"))
    ]
    rest.call("POST", "/bulk_jobs", {"jobs": jobs})
    assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0
    assert rest.states(workflow_id) == {"made": "completed", "missed": "failed"}
    assert rest.results(workflow_id)["missed"]["return_code"] == 1
    job_id = rest.jobs(workflow_id)["missed"]["id"]
    error_file = tmp_path / f"torc_output/job_stdio/job_wf{workflow_id}_j{job_id}_r1_a1.e"
    assert "declared output files are missing: missed" in error_file.read_text()
    recorded = rest.call("GET", f"/files/{ids['made']}")["st_mtime"]
    assert recorded == pytest.approx((tmp_path / "made").stat().st_mtime, abs=0.001)


def test_a_required_input_file_must_exist_at_the_start(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([])
    body = {"files": [{"workflow_id": workflow_id, "name": "in", "path": "data.csv"}]}
    [file] = rest.call("POST", "/bulk_files", body)["files"]
    job = {"workflow_id": workflow_id, "name": "a", "command": "true", "input_file_ids": [file["id"]]}
    rest.call("POST", "/bulk_jobs", {"jobs": [job]})
    done = run_worker(rest.url, workflow_id, tmp_path)
    assert done.process.returncode == 1
    assert done.log == "Error: required input files do not exist here: data.csv\n"
    (tmp_path / "data.csv").touch()
    assert run_worker(rest.url, workflow_id, tmp_path).process.returncode == 0


def _peak(directory: Path) -> int:
    """The largest number of jobs at a time, from lines ``+`` at a start and ``-`` at an end."""
    level = peak = 0
    for line in (directory / "marks").read_text().split():
        level += 1 if line == "+" else -1
        peak = max(peak, level)
    return peak


@pytest.mark.parametrize(
    ("needs", "options", "expected"),
    [
        ({}, ["--num-cpus", "3", "--memory-gb", "1"], 3),
        ({"num_cpus": 2}, ["--num-cpus", "5", "--memory-gb", "1"], 2),
        ({"memory": "400m"}, ["--num-cpus", "8", "--memory-gb", "1"], 2),
        ({"num_cpus": 4}, ["--num-cpus", "1", "--max-parallel-jobs", "2"], 2),
    ],
)
def test_as_many_jobs_at_a_time_as_there_is_room_for(
    rest: Rest, tmp_path: Path, needs: dict[str, object], options: list[str], expected: int
) -> None:
    jobs = [
        {"name": f"j{number}", "command": "echo + >> marks; sleep 0.4; echo - >> marks"}
        for number in range(6)
    ]
    workflow_id = rest.create(jobs, needs)
    assert run_worker(rest.url, workflow_id, tmp_path, *options).process.returncode == 0
    assert _peak(tmp_path) == expected


def test_each_gpu_goes_to_one_job_at_a_time(rest: Rest, tmp_path: Path) -> None:
    jobs = [
        {
            "name": f"j{number}",
            "command": "echo $CUDA_VISIBLE_DEVICES $HIP_VISIBLE_DEVICES >> gpus; sleep 0.2",
        }
        for number in range(2)
    ]
    workflow_id = rest.create(jobs, {"num_gpus": 2})
    variables = {"CUDA_VISIBLE_DEVICES": "4,5,6,7"}
    run_worker(rest.url, workflow_id, tmp_path, "--num-cpus", "9", **variables)
    assert sorted((tmp_path / "gpus").read_text().splitlines()) == ["4,5 4,5", "6,7 6,7"]
    assert rest.nodes(workflow_id)[0]["num_gpus"] == 4


def test_the_end_of_a_job_is_noticed_at_once_whatever_the_poll_interval(rest: Rest, tmp_path: Path) -> None:
    chain = [{"name": "j0", "command": "true"}]
    chain += [{"name": f"j{n}", "command": "true", "depends_on": [f"j{n - 1}"]} for n in range(1, 5)]
    workflow_id = rest.create(chain)
    with worker(rest.url, workflow_id, tmp_path, "-p", "60") as started:
        assert started.wait(15) == 0


def test_a_worker_idles_until_another_has_finished(rest: Rest, tmp_path: Path) -> None:
    """Also where the workflow says 90 seconds: torc's client writes that when its user said nothing."""
    workflow_id = rest.create(
        [{"name": "long", "command": "while [ ! -e go ]; do sleep 0.05; done"}],
        compute_node_wait_for_new_jobs_seconds=90,
    )
    with worker(rest.url, workflow_id, tmp_path / "a") as busy:
        wait_until(lambda: rest.states(workflow_id)["long"] == "running")
        with worker(rest.url, workflow_id, tmp_path / "b") as idle:
            wait_until(lambda: len(rest.nodes(workflow_id)) == 2)
            (tmp_path / "a/go").touch()
            assert (busy.wait(), idle.wait()) == (0, 0)
    assert "The workflow is complete" in idle.log


def test_a_worker_leaves_after_the_idle_time_that_the_workflow_sets(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create(
        [{"name": "too big", "command": "true"}],
        {"num_cpus": 4000},
        compute_node_wait_for_new_jobs_seconds=1,
    )
    done = run_worker(rest.url, workflow_id, tmp_path)
    assert done.process.returncode == 0
    assert "No jobs claimed for 1 seconds (limit: 1 seconds). Exiting job runner." in done.log
    assert rest.states(workflow_id) == {"too big": "ready"}


def test_a_complete_workflow_ends_the_worker_after_its_startup_line(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([_note("only")])
    run_worker(rest.url, workflow_id, tmp_path / "a")
    done = run_worker(rest.url, workflow_id, tmp_path / "b")
    assert done.process.returncode == 0
    assert "Starting torc job runner" in done.log
    assert not (tmp_path / "b/order.txt").exists()


def test_why_a_worker_cannot_start_is_one_line(
    rest: Rest, start_server: StartServer, tmp_path: Path, refusing_port: int
) -> None:
    nobody = f"http://user:pw@127.0.0.1:{refusing_port}/torc-service/v1"
    cases = {
        nobody: f"connection refused: cannot reach the server at http://127.0.0.1:{refusing_port}/torc-service/v1",
        rest.url: "Workflow not found with ID: 4711 (404)",
        rest.url.removesuffix(
            "/torc-service/v1"
        ): "no torc server there: the URL must end in /torc-service/v1",
        "server.example.com": "the server URL must look like http://localhost:8080/torc-service/v1",
        start_server(password="x1").url: "the server refused the credentials (401 Unauthorized): "
        "check TORC_USERNAME and TORC_PASSWORD",
    }
    for number, (url, reason) in enumerate(cases.items()):
        done = run_worker(url, 4711, tmp_path / str(number), TORC_PASSWORD="wrong-pw")
        assert (done.process.returncode, done.log) == (1, f"Error: {reason}\n")


def test_an_output_directory_that_cannot_be_made_is_named(rest: Rest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_worker(rest.url, rest.create([_note("only")]), tmp_path, "-o", "file/out")
    assert (done.process.returncode, done.log) == (1, "Error: cannot write to file/out: Not a directory\n")


def test_a_reset_workflow_needs_a_new_worker(rest: Rest, tmp_path: Path) -> None:
    jobs = [{"name": "a", "command": "touch a; sleep 60"}, {"name": "b", "command": "true"}]
    workflow_id = rest.create(jobs)
    with worker(rest.url, workflow_id, tmp_path, "--max-parallel-jobs", "1") as started:
        wait_until((tmp_path / "a").exists)
        rest.call("POST", f"/workflows/{workflow_id}/reset_status?force=true")
        os.kill(_job_pid(started.log), 15)
        assert started.wait() == 1
    assert f"Error: workflow {workflow_id} was reset: run 2 needs a new worker" in started.log
    assert rest.states(workflow_id)["b"] == "ready"


def _job_pid(log: str) -> int:
    """The pid in the log's last ``Job started`` line."""
    return int(log.split("Job started")[-1].split("pid=")[1].split()[0])


def test_the_zipapp_runs_a_workflow_on_python_3_8(rest: Rest, tmp_path: Path) -> None:
    """With a limit on memory and monitoring, so that every module is used."""
    build_zipapp(tmp_path / "torc")
    monitoring = {"enabled": True, "granularity": "time_series", "sample_interval_seconds": 0.2}
    workflow_id = rest.create(DIAMOND, resource_monitor_config=monitoring)
    command = (old_python("3.8"), str(tmp_path / "torc"))
    done = run_worker(rest.url, workflow_id, tmp_path / "host", command=command)
    assert done.process.returncode == 0, done.log
    assert set(rest.states(workflow_id).values()) == {"completed"}
