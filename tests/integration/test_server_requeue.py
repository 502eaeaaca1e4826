"""What a controller asks of a server when a worker is gone: fence the attempt, run the job again, note it.

The same tests run against torc's own server (tests/interop/test_contract.py).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
import requests

from tests.support.server_contract import NODE, RESULT, Caller
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError

CALLERS = 8


class HasUrl(Protocol):
    """A server, whichever."""

    @property
    def url(self) -> str: ...


@dataclass
class Running:
    """A job `a` that a worker runs, on which `b` depends."""

    call: Caller
    client: TorcClient
    workflow: int
    job: int
    below: int
    node: int

    def result(self, status: str = "terminated", node: int | None = None, attempt: int = 1) -> dict[str, Any]:
        ids = {"job_id": self.job, "workflow_id": self.workflow, "compute_node_id": node or self.node}
        return {**RESULT, **ids, "attempt_id": attempt, "status": status, "return_code": 143}

    def refused_result(self, result: dict[str, Any]) -> None:
        self.call("POST", "/results", result, expect=500)

    def late(self, attempt: int = 1) -> requests.Response:
        """The completion of a worker that is not gone after all."""
        entry = {"job_id": self.job, "status": "completed", "run_id": 1}
        entry |= {"result": self.result("completed", attempt=attempt)}
        url = f"{self.call.url}/workflows/{self.workflow}/batch_complete_jobs"
        return requests.post(url, json={"completions": [entry]}, timeout=5)

    def retry(self, seen: int) -> dict[str, Any]:
        return self.client.retry_job(self.job, 1, seen + 1, self.node)

    def start_again(self) -> int:
        """A worker takes the job; its node."""
        other = self.call("POST", "/compute_nodes", {**NODE, "workflow_id": self.workflow})["id"]
        claimed = self.call("POST", f"/workflows/{self.workflow}/claim_next_jobs", limit=9, labels="")["jobs"]
        assert [job["id"] for job in claimed] == [self.job]
        self.call("PUT", f"/jobs/{self.job}/start_job/1/{other}")
        return int(other)

    @property
    def states(self) -> list[str]:
        return [str(self.client.get_job(job)["status"]) for job in (self.job, self.below)]

    @property
    def attempt(self) -> int:
        return int(self.client.get_job(self.job)["attempt_id"])


@pytest.fixture
def running(server: HasUrl) -> Running:
    call = Caller(server.url)
    workflow = call("POST", "/workflows", {"name": "w", "user": "tester"})["id"]

    def created(name: str, *needed: int) -> int:
        body = {"workflow_id": workflow, "name": name, "command": "true", "depends_on_job_ids": [*needed]}
        return int(call("POST", "/bulk_jobs", {"jobs": [body]})["jobs"][0]["id"])

    job = created("a")
    below = created("b", job)
    call("POST", f"/workflows/{workflow}/reset_status")
    call("POST", f"/workflows/{workflow}/initialize_jobs")
    client = TorcClient(Settings(api_url=server.url, username="tester"))
    started = Running(call, client, workflow, job, below, 0)
    started.node = started.start_again()
    return started


def test_a_dead_workers_job_runs_again(running: Running) -> None:
    """Fenced and ready once more, while what depends on it waits; then it ends as any other."""
    fence = running.client.create_result(running.result())
    assert fence == {**running.result(), "id": fence["id"]}
    assert running.states == ["running", "blocked"], "a result alone ends nothing"
    again = running.retry(1)
    assert (again["status"], again["attempt_id"], again["origin"]) == ("ready", 2, "retry")
    assert "compute_node_id" not in again
    assert "start_time" not in again
    assert running.states == ["ready", "blocked"]
    running.node = running.start_again()
    assert running.late(2).json() == {"completed": [running.job], "errors": []}
    assert running.states[0] == "completed"
    kept = running.client.list_results(running.workflow, job_id=running.job, all_runs=True)
    assert [(result["attempt_id"], result["status"]) for result in kept] == [
        (1, "terminated"),
        (2, "completed"),
    ]
    shown = running.client.list_results(running.workflow)
    assert [(result["job_name"], result["attempt_id"]) for result in shown] == [("a", 2)]


def test_a_fenced_attempt_can_not_be_completed(running: Running) -> None:
    """Neither before nor after the retry, nor when another worker runs the next one. Torc refuses all of a batch."""
    fence = running.client.create_result(running.result())
    (shown,) = running.client.list_results(running.workflow)
    assert (shown["id"], shown["status"]) == (fence["id"], "terminated")
    for step in (lambda: None, lambda: running.retry(1), running.start_again):
        step()
        before = running.states
        answer = running.late()
        assert answer.status_code == 500 or answer.json()["completed"] == [], answer.text
        assert running.states == before
    assert running.attempt == 2
    assert len(running.client.list_results(running.workflow, all_runs=True)) == 1


def test_an_attempt_has_one_result(running: Running) -> None:
    """So of two controllers one is told no, and looks again."""
    running.client.create_result(running.result())
    running.refused_result(running.result())
    running.retry(1)
    running.refused_result(running.result())


def test_without_an_attempt_the_first_is_meant(running: Running) -> None:
    result = running.result()
    del result["attempt_id"]
    running.client.create_result(result)
    running.refused_result(running.result())


def test_results_of_what_is_not_there(running: Running) -> None:
    running.call("POST", "/results", {**running.result(), "workflow_id": 10**9}, expect=404)
    with pytest.raises(ApiError) as raised:
        running.client.create_result({**running.result(), "job_id": 10**9})
    assert raised.value.status in (404, 500)
    assert running.client.list_results(running.workflow, all_runs=True) == []


def test_only_one_of_many_retries(running: Running) -> None:
    """It is a compare-and-set on the attempt that was seen."""

    def retry(_number: int) -> int:
        try:
            running.retry(1)
        except ApiError as error:
            return error.status
        return 200

    with ThreadPoolExecutor(CALLERS) as callers:
        assert sorted(callers.map(retry, range(CALLERS))) == [200] + [422] * (CALLERS - 1)
    assert running.attempt == 2
    running.start_again()
    with pytest.raises(ApiError, match=r"attempt_id=2 >= max_retries=2|is held by") as raised:
        running.retry(1)
    assert raised.value.status == 422


def test_what_can_not_be_retried(running: Running) -> None:
    retry = f"/jobs/{running.job}/retry"
    running.call("POST", f"{retry}/2", max_retries=9, expect=422)
    running.call("POST", f"/jobs/{running.below}/retry/1", max_retries=9, expect=422)
    running.call("POST", f"/jobs/{10**9}/retry/1", max_retries=9, expect=404)
    assert requests.post(f"{running.call.url}{retry}/1", timeout=5).status_code == 400
    running.call("PUT", f"/workflows/{running.workflow}/cancel")
    with pytest.raises(ApiError, match=r"(?i)status is canceled, must be running, failed, or terminated"):
        running.retry(1)


def test_a_job_that_failed_or_was_terminated_runs_again(running: Running) -> None:
    for attempt, status in ((1, "failed"), (2, "terminated")):
        result = running.result(status, attempt=attempt)
        running.call("POST", f"/jobs/{running.job}/complete_job/{status}/1", result)
        running.client.retry_job(running.job, 1, attempt + 1)
        running.node = running.start_again()
    assert running.attempt == 3


def test_a_retry_is_an_event(running: Running) -> None:
    before = running.client.list_events(running.workflow)
    running.retry(1)
    (event,) = running.client.list_events(running.workflow)[len(before) :]
    wanted = {"event_type": "job_retried", "job_id": running.job, "job_name": "a", "run_id": 1}
    wanted |= {"previous_attempt": 1, "new_attempt": 2}
    assert event["data"].items() >= wanted.items()


def test_events(running: Running) -> None:
    noted = {
        "category": "requeue",
        "job_id": running.job,
        "attempt_id": 1,
        "host": "gpu2",
        "reason": "killed",
    }
    first = running.client.create_event(running.workflow, noted)
    assert (first["workflow_id"], first["data"]) == (running.workflow, noted)
    assert first["timestamp"] > 1.7e12, "the server's time in milliseconds, not the body's"
    for data in ({"category": "other"}, None, "text", [1, {"category": "requeue"}]):
        body = {"workflow_id": running.workflow, "timestamp": 0, "data": data}
        assert running.call("POST", "/events", body)["data"] == data
    listed = running.call("GET", "/events", workflow_id=running.workflow, category="requeue")
    assert listed["items"] == [first]
    assert (listed["count"], listed["total_count"], listed["has_more"]) == (1, 1, False)
    newest = running.call("GET", "/events", workflow_id=running.workflow, limit=1, reverse_sort=True)
    assert newest["items"][0]["data"] == [1, {"category": "requeue"}]
    assert newest["has_more"]
    late = running.client.list_events(running.workflow, after_timestamp=newest["items"][0]["timestamp"])
    assert late == []
    assert first in running.client.list_events(running.workflow, after_timestamp=first["timestamp"] - 1)


def test_events_of_an_unknown_workflow(running: Running) -> None:
    running.call("GET", "/events", workflow_id=10**9, expect=404)
    running.call("POST", "/events", {"workflow_id": 10**9, "timestamp": 0, "data": {}}, expect=404)
    answer = requests.post(f"{running.call.url}/events", json={"workflow_id": running.workflow}, timeout=5)
    assert answer.status_code == 422
