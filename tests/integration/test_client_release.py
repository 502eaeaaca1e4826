"""Two controllers at one dead worker, and one that died at it.

The same tests run against torc's own server (tests/interop/test_requeue.py).
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from tests.support.workers import FakeWorker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError
from torc_remote.client.lifecycle import initialize_workflow
from torc_remote.client.release import EVENTS, End, release_compute_node
from torc_remote.spec import create_workflow, parse_spec

COUNT = 6
SPEC = "name: w\njobs:\n" + "".join(f"- {{name: j{n}, command: sleep 60}}\n" for n in range(COUNT))


class HasUrl(Protocol):
    """A server, whichever."""

    @property
    def url(self) -> str: ...


@pytest.fixture
def settings(server: HasUrl) -> Settings:
    return Settings(api_url=server.url, username="tester")


def lost(settings: Settings) -> tuple[TorcClient, int, int]:
    """A client, a workflow, and the compute node that has started all of its jobs."""
    client = TorcClient(settings)
    number = create_workflow(client, parse_spec(SPEC, "w.yaml"), "tester")
    initialize_workflow(client, number)
    worker = FakeWorker(settings, number, "gone")
    assert len(worker.start(COUNT)) == COUNT
    return client, number, worker.node_id


def attempts(client: TorcClient, number: int) -> list[tuple[str, int]]:
    return [(job["status"], job["attempt_id"]) for job in client.list_jobs(number)]


def test_two_controllers_at_once(settings: Settings) -> None:
    """No attempt is counted twice, by the server or as a death."""
    client, number, node = lost(settings)
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: release_compute_node(TorcClient(settings), number, node), range(4)))
    assert sum(len(one.requeued) for one in several) == COUNT
    assert attempts(client, number) == [("ready", 2)] * COUNT
    FakeWorker(settings, number, "next").start(COUNT)
    nodes = client.list_compute_nodes(number, hostname="next")
    again = release_compute_node(client, number, nodes[0]["id"], End(max_attempts=3))
    assert (len(again.requeued), len(again.terminated)) == (COUNT, 0)


@pytest.mark.parametrize("step", ["create_result", "create_event", "retry_job"])
def test_a_controller_that_died_at_it(settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Whoever comes next goes on from there, with whatever was done."""
    client, number, node = lost(settings)
    real = getattr(client, step)
    calls = []

    def dies(*words: object) -> object:
        calls.append(words)
        if len(calls) == 3:
            raise ApiError(503, "the controller dies here")
        return real(*words)

    monkeypatch.setattr(client, step, dies)
    with pytest.raises(ApiError, match="dies here"):
        release_compute_node(client, number, node)
    monkeypatch.undo()
    release_compute_node(client, number, node, End(terminate=True))
    found = attempts(client, number)
    fenced = 2 if step == "create_result" else 3
    assert found[:fenced] == [("ready", 2)] * fenced, "a fenced attempt can only be run again"
    assert found[fenced:] == [("terminated", 1)] * (COUNT - fenced)
    noted = {event["data"]["job_id"] for event in client.list_events(number, category=EVENTS)}
    assert len(noted) == COUNT
