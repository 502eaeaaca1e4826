"""A host with its worker's token for the server: what it can do when it lies."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Server, StartServer
from tests.support.server_contract import served
from tests.support.workers import Rest, worker
from torc_remote.builtin.server.access.rights import RULES
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError
from torc_remote.client.release import release_compute_node

PASSWORD = "the user's own"
NODE = {
    "hostname": "h", "pid": 7, "start_time": "2026-01-01T00:00:00Z", "num_cpus": 9, "memory_gb": 9.0, "num_gpus": 0,
    "num_nodes": 1, "compute_node_type": "local", "is_active": True,
}  # fmt: skip
FREE = {"num_cpus": 1, "memory_gb": 1.0, "num_gpus": 0, "num_nodes": 1}
FOR_USERS_ALONE = {
    ("POST", "/workflows"), ("GET", "/workflows"), ("DELETE", "/workflows/{workflow_id}"),
    ("PUT", "/workflows/{workflow_id}/cancel"), ("POST", "/workflows/{workflow_id}/process_changed_job_inputs"),
    ("GET", "/tasks/{task_id}"), ("POST", "/bulk_jobs"), ("POST", "/bulk_files"), ("POST", "/bulk_user_data"),
    ("GET", "/user_data"), ("GET", "/user_data/{user_data_id}"), ("PUT", "/user_data/{user_data_id}"),
    ("POST", "/resource_requirements"), ("DELETE", "/compute_nodes/{node_id}"), ("GET", "/results"),
    ("GET", "/results/{result_id}"),
    ("POST", "/results"), ("GET", "/events"), ("POST", "/events"),
    ("GET", "/workflows/{workflow_id}/remote_workers"),
    ("POST", "/workflows/{workflow_id}/remote_workers"), ("POST", "/workflows/{workflow_id}/worker_tokens"),
    ("DELETE", "/workflows/{workflow_id}/remote_workers/{worker:path}"),
}  # fmt: skip
HARMLESS = {("GET", "/ping"), ("GET", "/version")}


@dataclass
class Host:
    """A worker that speaks with its token."""

    server: Server
    token: str
    workflow: int
    node: int = 0

    def ask(self, method: str, path: str, body: object = None, **query: object) -> requests.Response:
        url, auth = self.server.url + path, ("any user", self.token)
        return requests.request(method, url, params=query, json=body, auth=auth, timeout=10)

    def register(self) -> "Host":
        self.node = self.ask("POST", "/compute_nodes", NODE | {"workflow_id": self.workflow}).json()["id"]
        return self

    def work(self) -> int:
        """Claim one job, as torc's own worker does, and start it."""
        answer = self.ask("POST", f"/workflows/{self.workflow}/claim_next_jobs", limit=1, labels="")
        job = int(answer.json()["jobs"][0]["id"])
        assert self.ask("PUT", f"/jobs/{job}/start_job/1/{self.node}").ok
        return job

    def result(self, job: int, node: int) -> dict[str, Any]:
        return {
            "job_id": job, "workflow_id": self.workflow, "run_id": 1, "compute_node_id": node, "return_code": 0,
            "exec_time_minutes": 0.1, "completion_time": "2026-01-01T00:00:00Z", "status": "completed",
        }  # fmt: skip

    def complete(self, job: int, node: int) -> requests.Response:
        entry = {"job_id": job, "status": "completed", "run_id": 1, "result": self.result(job, node)}
        return self.ask("POST", f"/workflows/{self.workflow}/batch_complete_jobs", {"completions": [entry]})


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> Server:
    return start_server(password=PASSWORD)


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url, PASSWORD)


@pytest.fixture
def client(server: Server) -> TorcClient:
    return TorcClient(Settings(api_url=server.url, username="tester", password=PASSWORD))


def ready(rest: Rest) -> int:
    number = rest.create([{"name": f"j{n}", "command": "true"} for n in range(4)])
    rest.initialize(number)
    return number


def host(server: Server, client: TorcClient, workflow: int, name: str) -> Host:
    token = client.create_worker_token(workflow, name)
    assert token
    return Host(server, token, workflow)


def content(database: Path) -> list[str]:
    with sqlite3.connect(database) as connection:
        return list(connection.iterdump())


def filled(path: str, ids: dict[str, int]) -> str:
    known = {"{status}": "ready", "{run_id}": "1", "{limit}": "9", "{worker:path}": "h", "{path:path}": "sql"}
    for name, value in {**known, **{f"{{{name}}}": str(value) for name, value in ids.items()}}.items():
        path = path.replace(name, value)
    return path


def bodies(ids: dict[str, int], liar: Host) -> Iterator[object]:
    """Whatever some route takes."""
    workflow = {"workflow_id": ids["workflow_id"]}
    result = liar.result(ids["job_id"], ids["compute_node_id"]) | workflow
    yield None
    yield {
        **NODE,
        **workflow,
        **FREE,
        "name": "x",
        "user": "x",
        "path": "/x",
        "host": "x",
        "is_active": False,
        "timestamp": 1,
        "data": {"category": "x"},
    }
    yield {"jobs": [{**workflow, "name": "evil", "command": "touch /tmp/evil"}]}
    yield {"files": [{**workflow, "name": "evil", "path": "x"}]}
    yield {"user_data": [{**workflow, "name": "evil"}]}
    yield ["evil-host"]
    yield result
    yield {"completions": [{"job_id": ids["job_id"], "status": "completed", "run_id": 1, "result": result}]}


def test_every_route_is_for_workers_or_for_users() -> None:
    """A new one has to be thought about."""
    assert served() - RULES.keys() == FOR_USERS_ALONE
    assert RULES.keys() - served() == set()


def test_a_hostile_host_harms_nobody_else(server: Server, rest: Rest, client: TorcClient) -> None:
    """It tries every route, with all ids of another workflow and with those of another host of its own."""
    mine, foreign = ready(rest), ready(rest)
    liar = host(server, client, mine, "liar").register()
    neighbour = host(server, client, mine, "neighbour").register()
    stranger = host(server, client, foreign, "stranger").register()
    own = liar.work()

    for victim in (stranger, neighbour):
        job = victim.work()
        ids = {
            "workflow_id": victim.workflow,
            "job_id": job,
            "compute_node_id": victim.node,
            "node_id": victim.node,
        }
        ids |= {"task_id": 1, "result_id": 1, "user_data_id": 1, "file_id": 1}
        ids |= {"requirements_id": rest.jobs(victim.workflow)["j0"]["resource_requirements_id"]}
        before = content(server.database)
        for method, path in sorted(
            served() - {("POST", "/compute_nodes")} if victim is neighbour else served()
        ):
            for body in bodies(ids, liar):
                query = {"workflow_id": victim.workflow, "compute_node_id": victim.node, "max_retries": 9}
                answer = liar.ask(method, filled(path, ids), body, **query)
                if path == "/{path:path}":
                    assert answer.status_code in (404, 405, 501), (method, path)
                elif (method, path) in FOR_USERS_ALONE:
                    assert answer.status_code == 403, (method, path, answer.text)
                elif victim is stranger and (method, path) not in HARMLESS:
                    assert answer.status_code in (400, 403, 404, 415, 422), (method, path, answer.text)
        assert content(server.database) == before, "something was changed"
        assert victim.complete(job, victim.node).json()["completed"] == [job]

    batch = f"{server.url}/workflows/{mine}/batch_complete_jobs"
    for content_sent in (
        b"{",
        b"[" * 100_000,
        b"[1]",
        b'{"completions": 7}',
        b'{"completions": [{}]}',
        b"\xff",
    ):
        answer = requests.post(
            batch,
            content_sent,
            auth=("x", liar.token),
            headers={"content-type": "application/json"},
            timeout=10,
        )
        assert answer.status_code in (400, 403, 422), content_sent[:20]
    assert liar.complete(own, neighbour.node).status_code == 403
    assert liar.complete(own, liar.node).json()["completed"] == [own]


def test_the_database_has_no_token(server: Server, rest: Rest, client: TorcClient) -> None:
    worker = host(server, client, ready(rest), "h")
    assert not any(worker.token in line for line in content(server.database))
    assert worker.ask("GET", "/ping").ok
    assert requests.get(f"{server.url}/ping", auth=("a", worker.token[:-1]), timeout=10).status_code == 401


def test_a_token_ends_with_its_worker(server: Server, rest: Rest, client: TorcClient) -> None:
    """Stopped, gone by itself, deleted with the workflow, or replaced by a new start."""
    number = ready(rest)

    def works(worker: Host) -> bool:
        return worker.ask("GET", f"/workflows/{number}").status_code == 200

    first = host(server, client, number, "h").register()
    unused, second = (host(server, client, number, "h") for _ in range(2))
    assert (works(first), works(unused), works(second)) == (True, False, True)
    second.register()
    assert (works(first), works(second)) == (False, True), "the new worker has registered"
    other = host(server, client, number, "other").register()
    release_compute_node(client, number, second.node)
    assert (works(second), works(other)) == (False, True)

    while rest.states(number).values() != {"completed"} and "ready" in rest.states(number).values():
        job = other.work()
        assert other.complete(job, other.node).json()["completed"] == [job]
    late = host(server, client, number, "late").register()
    for path in (f"/workflows/{number}/reset_status", f"/workflows/{number}/initialize_jobs"):
        rest.call("POST", path)
    assert other.ask("POST", f"/workflows/{number}/claim_next_jobs", limit=9).status_code == 403, (
        "another run"
    )
    record = NODE | {"workflow_id": number, "is_active": False}
    assert other.ask("PUT", f"/compute_nodes/{other.node}", record).ok, "the farewell"
    assert not works(other)

    assert works(late)
    client.delete_workflow(number)
    assert late.ask("GET", "/ping").status_code == 401


def test_a_worker_of_ours_with_a_token(
    server: Server, rest: Rest, client: TorcClient, tmp_path: Path
) -> None:
    """Also several that find the workflow uninitialized at the same moment, when only the first may initialize it."""
    number = rest.create(
        [{"name": "a", "command": "env"}, {"name": "b", "command": "true", "depends_on": ["a"]}]
    )
    hosts = [host(server, client, number, f"h{n}") for n in range(6)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(worker(server.url, number, tmp_path / one.token, TORC_PASSWORD=one.token))
            for one in hosts
        ]
        assert [one.wait() for one in started] == [0] * len(hosts), [one.log for one in started]
    assert set(rest.states(number).values()) == {"completed"}
    assert [node["is_active"] for node in rest.nodes(number)] == [False] * len(hosts)
    assert {one.ask("GET", "/ping").status_code for one in hosts} == {401}


def test_a_server_without_password_has_no_tokens(start_server: StartServer) -> None:
    open_server = start_server()
    number = ready(Rest(open_server.url))
    client = TorcClient(Settings(api_url=open_server.url))
    assert client.create_worker_token(number, "h") is None
    with pytest.raises(ApiError, match="not found"):
        client.create_worker_token(number + 1, "h")


def test_a_password_that_can_not_be_looked_up_is_neither_right_nor_a_traceback(
    start_server: StartServer,
) -> None:
    server = start_server(password=PASSWORD)
    other = sqlite3.connect(server.database)
    other.execute("DROP TABLE worker_token")
    other.close()
    answer = requests.get(f"{server.url}/ping", auth=("u", "wrong"), timeout=10)
    assert (answer.status_code, answer.json()["error"]["error"]) == (503, "ServiceUnavailable")
    assert requests.get(f"{server.url}/ping", auth=("u", PASSWORD), timeout=10).ok
    assert "Traceback" not in server.log.read_text()
