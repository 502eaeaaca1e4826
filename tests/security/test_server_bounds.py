"""Nobody exhausts the built-in server: not with large or slow requests, connections or log lines, nor by a lock."""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import pytest
import requests
from starlette.responses import PlainTextResponse
from starlette.types import Message

from tests.conftest import Server, StartServer
from tests.support import wait_until
from torc_remote.builtin.server.http import connections
from torc_remote.builtin.server.http.bodies import BoundedBodies
from torc_remote.builtin.server.http.logs import OncePerMinute
from torc_remote.builtin.server.store.database import Database
from torc_remote.builtin.server.workflows.status import workflow_status
from torc_remote.client import api
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings

WORKFLOW = {"name": "w", "user": "u"}


def connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((str(address.hostname), address.port), timeout=15)


def test_large_requests_are_refused(server: Server) -> None:
    for path, size in (("/workflows", 3), ("/bulk_jobs", 33)):
        body = b'{"name": "' + b"x" * (size << 20) + b'"}'
        for data in (body, iter([body[:100_000], body[100_000:]])):  # the second without a length
            headers = {"content-type": "application/json"}
            answer = requests.post(f"{server.url}{path}", data=data, headers=headers, timeout=30)
            assert (answer.status_code, "send it in parts" in answer.text) == (413, True)
    with contextlib.suppress(requests.RequestException):  # refused while it is sent
        answer = requests.get(f"{server.url}/ping", headers={"x-long": "x" * 2_000_000}, timeout=5)
        assert answer.status_code == 400
    peak = Path(f"/proc/{server.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) < 300_000  # kB


def test_the_client_sends_in_parts_what_comes_in_bulk(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "PART", 2)
    client = TorcClient(Settings(api_url=server.url, username="u"))
    workflow = client.create_workflow(WORKFLOW)["id"]
    jobs = [{"workflow_id": workflow, "name": f"j{n}", "command": "true"} for n in range(5)]
    assert [job["name"] for job in client.create_jobs(jobs)] == ["j0", "j1", "j2", "j3", "j4"]
    files = [{"workflow_id": workflow, "name": f"f{n}", "path": "p"} for n in range(3)]
    assert len(client.create_files(files)) == 3
    client.add_remote_workers(workflow, ["a", "b", "c"])
    assert client.list_remote_workers(workflow) == ["a", "b", "c"]


@pytest.mark.parametrize("pieces", [1, 20])
def test_a_body_that_comes_too_slowly_is_given_up(pieces: int) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0.5 / pieces)
        return {"type": "http.request", "body": b"{", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    app = BoundedBodies(PlainTextResponse("served"), seconds=0.2)
    asyncio.run(app({"type": "http", "path": "/workflows", "headers": []}, receive, send))
    assert sent[0]["status"] == 408
    assert app._held == 0


def test_silent_and_idle_connections_leave_room(start_server: StartServer) -> None:
    server = start_server()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most[1], most[1]))
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (400, 400))
    session = requests.Session()
    assert session.get(f"{server.url}/ping", timeout=5).ok
    crowd = []
    try:
        for number in range(1000):
            one = connect(server)
            one.sendall(
                [b"", b"GET /torc", b"\x16\x03", b"POST / HTTP/1.1\r\nHost: localhost\r\n"][number % 4]
            )
            crowd.append(one)
        for _ in range(5):
            assert requests.post(f"{server.url}/workflows", json=WORKFLOW, timeout=5).ok
        files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        assert files < 400
        assert server.log.stat().st_size < 2000
        # who has asked for something stays, those that never did go
        assert session.get(f"{server.url}/ping", timeout=5).ok
    finally:
        for one in crowd:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


@pytest.mark.slow
def test_the_head_of_a_request_has_a_time_limit(server: Server) -> None:
    late, again = connect(server), connect(server)
    again.sendall(b"GET /torc-service/v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" in again.recv(65536)
    for one in (late, again):
        one.sendall(b"GET /torc-service/v1/ping HTTP/1.1\r\n")

    def drip() -> None:
        for one in (late, again):
            one.sendall(b"x: y\r\n")

    with pytest.raises(AssertionError, match=r"BrokenPipe|ConnectionReset"):
        wait_until(drip, connections.HEAD_SECONDS + 3)


def test_a_locked_database_holds_up_nobody_else(server: Server) -> None:
    requests.post(f"{server.url}/workflows", json=WORKFLOW, timeout=5).raise_for_status()
    other = sqlite3.connect(server.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(60) as pool:
        # more than the threads that serve those who read
        writes = [
            pool.submit(requests.post, f"{server.url}/workflows", json=WORKFLOW, timeout=30)
            for _ in range(50)
        ]
        starts = [
            pool.submit(requests.put, f"{server.url}/jobs/999/start_job/1/1", timeout=30) for _ in range(5)
        ]
        for path in ("/ping", "/workflows/1/status", "/workflows", "/jobs?workflow_id=1"):
            assert requests.get(f"{server.url}{path}", timeout=3).ok
        assert not any(write.done() for write in [*writes, *starts])
        other.execute("ROLLBACK")
        assert {write.result().status_code for write in writes} == {200}
        assert {start.result().status_code for start in starts} == {404}
    other.close()


def test_a_damaged_database_is_told_and_no_traceback(start_server: StartServer) -> None:
    server = start_server()
    other = sqlite3.connect(server.database)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    with server.database.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(2 * 4096)
        file.write(b"\xff" * (size - 2 * 4096))
    for path in ("/workflows/1/status", "/jobs?workflow_id=1"):
        answer = requests.get(f"{server.url}{path}", timeout=10)
        assert answer.status_code == 503, answer.text
        assert "malformed" in answer.json()["error"]["message"]
    assert "Traceback" not in server.log.read_text()


def test_the_thread_that_syncs_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = [OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EMFILE, errno.EIO)]
    synced = threading.Event()

    def fsync(_file: IO[bytes]) -> None:
        if troubles:
            raise troubles.pop()
        synced.set()

    database = Database(tmp_path / "torc.db")
    monkeypatch.setattr(os, "fsync", fsync)
    with database.write() as connection:
        connection.execute("INSERT INTO workflow (name, user, timestamp) VALUES ('w', 'u', '')")
    assert synced.wait(5)
    database.close()
    assert "not safe on the disk (No space left on device); trying again" in caplog.text


def test_a_number_beyond_all_bounds_that_is_stored_does_not_break_the_status(tmp_path: Path) -> None:
    database = Database(tmp_path / "torc.db")
    with database.write() as connection:
        connection.executescript("""
            INSERT INTO workflow (id, name, user, timestamp) VALUES (1, 'w', 'u', '');
            INSERT INTO resource_requirements VALUES (1, 1, 'r', 1, 0, 1, '1m', 'PT1M', 1, 1.0);
            INSERT INTO job (id, workflow_id, name, command, status, resource_requirements_id, result_id)
                VALUES (1, 1, 'a', 'x', 'completed', 1, 1), (2, 1, 'b', 'x', 'completed', 1, 2);
            INSERT INTO result (id, job_id, workflow_id, run_id, attempt_id, compute_node_id, return_code,
                exec_time_minutes, completion_time, status)
                VALUES (1, 1, 1, 1, 1, 1, 0, 1.7e308, '2026-01-01T00:00:00Z', 'completed'),
                       (2, 2, 1, 1, 1, 1, 0, 1.7e308, '2026-01-01T00:00:00Z', 'completed');
            BEGIN;""")
    with database.read() as connection:
        status = workflow_status(connection, 1)
    assert status["total_exec_time_minutes"] == 2e15
    assert status["walltime_seconds"] < 1e18
    database.close()


def test_one_line_a_minute_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    few = OncePerMinute()

    def passes(line: int) -> str:
        record = logging.LogRecord("x", logging.WARNING, "x.py", line, "Invalid %s", ("thing",), None)
        return record.getMessage() if few.filter(record) else ""

    assert [passes(1), passes(1), passes(2), passes(1)] == ["Invalid thing", "", "Invalid thing", ""]
    now = 61.0
    assert passes(1) == "Invalid thing (2 more like this)"


@pytest.mark.slow
def test_a_signal_ends_it_while_others_are_slow(start_server: StartServer) -> None:
    server = start_server()
    head = (
        b"POST /torc-service/v1/workflows HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    silent, slow, half = connect(server), connect(server), connect(server)
    slow.sendall(head + b"Content-Length: 100\r\n\r\n{")
    half.sendall(head)
    requests.get(f"{server.url}/ping", timeout=5)
    server.process.terminate()
    assert server.process.wait(10) == 0
    assert "Traceback" not in server.log.read_text()
    for one in (silent, slow, half):
        one.close()
