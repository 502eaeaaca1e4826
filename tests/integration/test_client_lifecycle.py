"""Steps of several requests, against a real built-in server: workers that are gone, resets, failed creations."""

from typing import Any

import pytest

from tests.conftest import Server
from tests.support.workers import FakeWorker
from torc_remote.client.api import Json, TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError
from torc_remote.client.lifecycle import initialize_workflow, reset_workflow
from torc_remote.client.release import release_compute_node, unassigned_jobs
from torc_remote.errors import TorcError
from torc_remote.spec import create_workflow, parse_spec

SPEC = "name: w\njobs:\n" + "".join(f"- {{name: j{n}, command: sleep 60}}\n" for n in range(4))


@pytest.fixture
def settings(server: Server) -> Settings:
    return Settings(api_url=server.url, username="alice")


@pytest.fixture
def client(settings: Settings) -> TorcClient:
    return TorcClient(settings)


@pytest.fixture
def workflow_id(client: TorcClient) -> int:
    created = create_workflow(client, parse_spec(SPEC, "w.yaml"), "alice")
    initialize_workflow(client, created)
    return created


def states(client: TorcClient, workflow_id: int) -> dict[int, str]:
    return {job["id"]: job["status"] for job in client.list_jobs(workflow_id)}


def test_a_worker_that_is_gone(client: TorcClient, settings: Settings, workflow_id: int) -> None:
    gone, alive = (FakeWorker(settings, workflow_id, name) for name in ("gone", "alive"))
    lost, kept = gone.start(2), alive.start(1)

    released = release_compute_node(client, workflow_id, gone.node_id)

    assert (released.hostname, released.changed) == ("gone", True)
    assert [job["id"] for job in released.requeued] == lost
    assert states(client, workflow_id) | dict.fromkeys(lost, "ready") == states(client, workflow_id)
    assert states(client, workflow_id)[kept[0]] == "running"
    results = client.list_results(workflow_id)
    assert {(result["job_id"], result["return_code"], result["status"]) for result in results} == {
        (job_id, 143, "terminated") for job_id in lost
    }
    assert client.get_compute_node(gone.node_id)["is_active"] is False
    assert client.get_compute_node(alive.node_id)["is_active"] is True

    again = release_compute_node(client, workflow_id, gone.node_id)
    assert (again.requeued, again.changed) == ([], False)
    assert len(client.list_results(workflow_id)) == 2


def test_a_job_that_was_claimed_and_never_started(
    client: TorcClient, settings: Settings, workflow_id: int
) -> None:
    """A worker that told whose it is gives back when it is gone, torc's own when no worker is left."""
    gone, alive = (FakeWorker(settings, workflow_id, name) for name in ("gone", "alive"))
    [held], [unknown] = gone.claim(1, compute_node_id=gone.node_id), gone.claim(1)
    [others] = alive.claim(1, compute_node_id=alive.node_id)
    released = release_compute_node(client, workflow_id, gone.node_id)
    assert [job["id"] for job in released.unclaimed] == [held]
    now = states(client, workflow_id)
    assert (now[held], now[unknown], now[others]) == ("ready", "pending", "pending")
    assert unassigned_jobs(client, workflow_id) == 1
    release_compute_node(client, workflow_id, alive.node_id)
    assert set(states(client, workflow_id).values()) == {"ready"}
    assert unassigned_jobs(client, workflow_id) == 0
    [late] = gone.claim(1)
    assert release_compute_node(client, workflow_id, gone.node_id).changed is False
    assert states(client, workflow_id)[late] == "ready", "a claim from before the holders were known"


def test_a_node_of_another_workflow(client: TorcClient, settings: Settings, workflow_id: int) -> None:
    worker = FakeWorker(settings, workflow_id, "h")
    assert not release_compute_node(client, workflow_id + 1, worker.node_id).changed
    assert not release_compute_node(client, workflow_id, worker.node_id + 1000).changed
    assert not release_compute_node(client, workflow_id, worker.node_id, is_own=lambda node: False).changed
    assert client.get_compute_node(worker.node_id)["is_active"] is True


def test_nothing_is_reset_while_jobs_run(client: TorcClient, settings: Settings, workflow_id: int) -> None:
    [running] = FakeWorker(settings, workflow_id, "h").start(1)
    before = states(client, workflow_id)
    with pytest.raises(TorcError, match=r"1 running job.*torc remote stop"):
        reset_workflow(client, workflow_id, failed_only=False, reinitialize=True, force=False)
    with pytest.raises(TorcError, match="1 running job"):
        initialize_workflow(client, workflow_id)
    assert states(client, workflow_id) == before
    assert before[running] == "running"
    reset_workflow(client, workflow_id, failed_only=False, reinitialize=True, force=True)
    assert set(states(client, workflow_id).values()) == {"ready"}


def test_a_creation_that_fails_leaves_nothing(client: TorcClient, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_spec(
        "name: half\njobs:\n- {name: a, command: x}\n- {name: b, command: x, depends_on: [a]}\n", "w.yaml"
    )
    real = client.create_jobs

    def fail_at_the_second_level(jobs: Any) -> list[Json]:
        if jobs[0]["name"] == "b":
            raise ApiError(500, "disk full")
        return real(jobs)

    monkeypatch.setattr(client, "create_jobs", fail_at_the_second_level)
    with pytest.raises(ApiError, match="disk full"):
        create_workflow(client, spec, "alice")
    assert client.list_workflows(name="half") == []


def test_worker_addresses_with_any_characters(client: TorcClient, workflow_id: int) -> None:
    workers = ["bob@h1:22", "[::1]:2222", "a b/c+d%20"]
    client.add_remote_workers(workflow_id, workers)
    client.add_remote_workers(workflow_id, workers[:1])
    assert client.list_remote_workers(workflow_id) == sorted(workers)
    for worker in workers:
        client.remove_remote_worker(workflow_id, worker)
    assert client.list_remote_workers(workflow_id) == []
    with pytest.raises(ApiError, match="not found") as error:
        client.remove_remote_worker(workflow_id, "h")
    assert error.value.status == 404
