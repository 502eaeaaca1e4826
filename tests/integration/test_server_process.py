"""The built-in server as a process: starting, ending, surviving a kill, refusing strangers."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

TORC = Path(sys.executable).with_name("torc")
FREE = {"num_cpus": 2, "memory_gb": 1.0, "num_gpus": 0, "num_nodes": 1}


def post(url, path, body=None, **more):
    answer = requests.post(f"{url}{path}", json=body, timeout=30, **more)
    assert answer.ok, answer.text
    return answer.json()


def make_workflow(url, jobs):
    """An initialized workflow of `jobs` jobs; returns its id and the ids of the jobs."""
    workflow = post(url, "/workflows", {"name": "w", "user": "alice"})["id"]
    bodies = [{"workflow_id": workflow, "name": f"job{n}", "command": "true"} for n in range(jobs)]
    ids = [job["id"] for job in post(url, "/bulk_jobs", {"jobs": bodies})["jobs"]]
    post(url, f"/workflows/{workflow}/reset_status")
    post(url, f"/workflows/{workflow}/initialize_jobs")
    return workflow, ids


def make_node(url, workflow):
    body = {
        **FREE,
        "workflow_id": workflow,
        "hostname": "h",
        "pid": 1,
        "start_time": "2026-01-01T00:00:00+00:00",
    }
    return post(url, "/compute_nodes", {**body, "compute_node_type": "local", "is_active": True})["id"]


def completion(workflow, job, node, return_code=0):
    status = "failed" if return_code else "completed"
    result = {"job_id": job, "workflow_id": workflow, "run_id": 1, "compute_node_id": node, "status": status}
    result |= {
        "return_code": return_code,
        "exec_time_minutes": 0.1,
        "completion_time": "2026-01-01T00:01:00Z",
    }
    return {"job_id": job, "status": status, "run_id": 1, "result": result}


def refused(*arguments, env=None):
    """Runs `torc server run` where it must refuse to; returns its exit code and stderr."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    command = [TORC, "server", "run", "--port", "0", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**environment, **(env or {})}
    )
    assert "Traceback" not in done.stderr
    assert "TORC_SERVER_PORT" not in done.stdout
    return done.returncode, done.stderr


def test_it_tells_its_port_and_what_to_export(server):
    assert requests.get(f"{server.url}/ping", timeout=5).json() == {"status": "ok"}
    assert f"export TORC_API_URL={server.url}\n" in server.log.read_text()


def test_the_first_word_of_its_version_is_ours(server):
    answer = requests.get(f"{server.url}/version", timeout=5)
    assert answer.json() == {"version": "1.0.0 (torc-remote)", "api_version": "0.23.0", "git_hash": "unknown"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(start_server, number):
    server = start_server()
    session = requests.Session()  # an idle connection must not hold it up
    session.get(f"{server.url}/ping", timeout=5)
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.log.read_text()


def test_what_was_answered_survives_a_kill(start_server, tmp_path):
    database = tmp_path / "torc.db"
    server = start_server(database)
    workflow, jobs = make_workflow(server.url, 400)
    node = make_node(server.url, workflow)
    answered = []
    halfway = threading.Event()

    def complete_all():
        while jobs_claimed := claim(server.url, workflow):
            for job in jobs_claimed:
                requests.put(f"{server.url}/jobs/{job}/start_job/1/{node}", timeout=5).raise_for_status()
                body = {"completions": [completion(workflow, job, node)]}
                answered.extend(
                    post(server.url, f"/workflows/{workflow}/batch_complete_jobs", body)["completed"]
                )
                if len(answered) > 50:
                    halfway.set()

    with ThreadPoolExecutor() as pool:
        work = pool.submit(complete_all)
        assert halfway.wait(30)
        server.process.kill()
        server.process.wait(10)
        # whether before an answer or in the midst of one
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            work.result(30)
    again = start_server(database)
    items = requests.get(f"{again.url}/jobs?workflow_id={workflow}&status=completed", timeout=5).json()[
        "items"
    ]
    assert {job["id"] for job in items} >= set(answered)
    assert len(items) < len(jobs)
    results = requests.get(f"{again.url}/results?workflow_id={workflow}", timeout=5).json()["items"]
    assert {result["job_id"] for result in results} == {job["id"] for job in items}


def claim(url, workflow, limit=2):
    answer = post(url, f"/workflows/{workflow}/claim_jobs_based_on_resources/{limit}", FREE)
    return [job["id"] for job in answer["jobs"]]


def claim_next(url, workflow):
    return [job["id"] for job in post(url, f"/workflows/{workflow}/claim_next_jobs?limit=1&labels=")["jobs"]]


def test_ten_workers_get_each_job_once(server):
    workflow, jobs = make_workflow(server.url, 300)

    def work(number):
        got = []
        while len(got) <= len(jobs) and (new := (claim if number % 2 else claim_next)(server.url, workflow)):
            got += new
        return got

    with ThreadPoolExecutor(10) as pool:
        claimed = [job for got in pool.map(work, range(10)) for job in got]
    assert sorted(claimed) == jobs


def test_a_password_guards_everything(start_server):
    server = start_server(password="s3cret")
    for auth in (None, ("alice", "wrong"), ("alice", "")):
        answer = requests.get(f"{server.url}/ping", auth=auth, timeout=5)
        assert (answer.status_code, answer.text) == (401, "Unauthorized")
        assert answer.headers["www-authenticate"] == 'Basic realm="Torc"'
    body = {"name": "w", "user": "mallory"}
    workflow = post(server.url, "/workflows", body, auth=("alice", "s3cret"))
    assert workflow["user"] == "alice"
    for header in ("Basic", "Basic !!!", "Basic 4pi6", "Bearer s3cret"):
        answer = requests.get(f"{server.url}/ping", headers={"authorization": header}, timeout=5)
        assert answer.status_code == 401
    assert "s3cret" not in server.log.read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_are_served_only_with_a_password(host, tmp_path):
    code, text = refused("--host", host, "--database", tmp_path / "torc.db")
    assert code == 2
    assert "without a password" in text
    assert "--password-file" in text


def test_the_password_may_come_from_a_file(tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    code, text = refused("--host", "0.0.0.0", "--password-file", empty, "--database", tmp_path / "torc.db")
    assert code == 2
    assert "is empty" in text


def test_a_second_server_on_one_database_is_refused(server):
    code, text = refused("--database", server.database)
    assert code == 1
    assert f"Another server is using {server.database}" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("PRAGMA user_version = 99; CREATE TABLE t (a);", "has schema version 99, this server needs 4"),
        ("CREATE TABLE workflow (id);", "has schema version 0, this server needs 4"),
    ],
)
def test_a_database_of_another_program_is_refused(tmp_path, content, reason):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.executescript(content)
    connection.close()
    before = path.read_bytes()
    code, text = refused("--database", path)
    assert code == 1
    assert reason in text
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary, " * 100)
    code, text = refused("--database", path)
    assert code == 1
    assert "can't be used as the server's database" in text


def test_a_taken_port_is_refused(server, tmp_path):
    port = server.url.split(":")[2].split("/")[0]
    done = subprocess.run(
        [TORC, "server", "run", "--port", port, "--database", tmp_path / "torc.db"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"Can't listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_packages_it_says_what_to_install(tmp_path):
    (tmp_path / "fastapi.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'fastapi'\", name='fastapi')"
    )
    code, text = refused("--database", tmp_path / "torc.db", env={"PYTHONPATH": str(tmp_path)})
    assert code == 1
    assert "pip install 'torc-remote[server]'" in text
