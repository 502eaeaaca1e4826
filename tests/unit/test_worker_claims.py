"""What the worker does where an answer was lost or a request refused; the rest is tested with a real server."""

from typing import Any

import pytest

from tests.support import wait_until
from torc_remote.builtin.worker.claims import Claims
from torc_remote.builtin.worker.errors import RefusedError, UnavailableError, WorkerError
from torc_remote.builtin.worker.job import Setting
from torc_remote.builtin.worker.outage import Outage
from torc_remote.builtin.worker.outbox import Outbox
from torc_remote.builtin.worker.resources import Pool, Requirements, Resources

SETTING = Setting(1, 1, "out", "http://h/v1")
LOST = UnavailableError("lost")


class Script:
    """Stands for the Api: gives prepared answers in order, each for the method and the end of the path it names."""

    def __init__(self, *answers: tuple[str, str, Any]) -> None:
        self.answers = list(answers)
        self.bodies: list[Any] = []
        self.queries: list[Any] = []

    def _answer(self, method: str, path: str, body: object = None, query: object = None) -> Any:
        expected, end, answer = self.answers.pop(0)
        assert method == expected
        assert path.endswith(end), path
        self.bodies.append(body)
        self.queries.append(query)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get(self, path: str, query: object = None) -> Any:
        return self._answer("GET", path)

    def post(self, path: str, body: object = None, query: object = None) -> Any:
        return self._answer("POST", path, body, query)

    def put(self, path: str, body: object = None) -> Any:
        return self._answer("PUT", path, body)


def _claims(script: Script) -> Claims:
    return Claims(script, {"id": 1, "run_id": 1}, 5, None)  # type: ignore[arg-type]  # speaks like the Api


POOL = Pool(Resources(2, 4.0))
CLAIM = "/workflows/1/claim_jobs_based_on_resources/2"


def test_a_claim_names_the_compute_node_and_no_job_twice() -> None:
    script = Script(("POST", CLAIM, {"jobs": [{"id": 7}]}), ("POST", CLAIM, {"jobs": [{"id": 7}, {"id": 8}]}))
    claims = _claims(script)
    for _ in range(2):
        claims.claim(POOL, 0)
    assert claims.waiting == [{"id": 7}, {"id": 8}]
    assert [query["compute_node_id"] for query in script.queries] == [5, 5]


def test_after_a_lost_answer_nothing_is_made_ready() -> None:
    """Torc's server takes that for jobs that others run, too."""
    script = Script(("POST", CLAIM, LOST), ("POST", CLAIM, {"jobs": []}))
    claims = _claims(script)
    with pytest.raises(UnavailableError):
        claims.claim(POOL, 0)
    claims.claim(POOL, 0)
    assert script.answers == []


RUN = ("GET", "/workflows/1", {"run_id": 1})


@pytest.mark.parametrize(
    ("answers", "ours"),
    [
        ([("GET", "/jobs/3", {"status": "running", "compute_node_id": 5})], True),
        ([("GET", "/jobs/3", {"status": "running", "compute_node_id": 6})], False),
        ([("GET", "/jobs/3", {"status": "canceled"})], False),
        ([("GET", "/jobs/3", {"status": "pending"}), RUN, ("PUT", "/jobs/3/start_job/1/5", {})], True),
        (
            [
                ("GET", "/jobs/3", {"status": "pending"}),
                RUN,
                ("PUT", "/start_job/1/5", RefusedError(422, "no")),
                RUN,
            ],
            False,
        ),
    ],
)
def test_a_start_whose_answer_was_lost_is_looked_up(answers: list[Any], ours: bool) -> None:
    script = Script(("PUT", "/jobs/3/start_job/1/5", LOST), *answers)
    claims = _claims(script)
    with pytest.raises(UnavailableError):
        claims.confirm({"id": 3})
    assert claims.confirm({"id": 3}) is ours
    assert script.answers == []


def test_jobs_of_a_new_run_are_given_back_to_it() -> None:
    script = Script(
        ("PUT", "/jobs/3/start_job/1/5", RefusedError(422, "run")),
        ("GET", "/workflows/1", {"run_id": 2}),
        ("PUT", "/jobs/3/manage_status_change/ready/2?compute_node_id=5", {}),
    )
    claims = _claims(script)
    with pytest.raises(WorkerError, match="run 2 needs a new worker"):
        claims.confirm({"id": 3})
    claims.give_back(3)
    assert script.answers == []


def test_unreadable_requirements_count_as_one_cpu_and_are_read_once() -> None:
    script = Script(
        ("GET", "/resource_requirements/2", {"name": "odd", "memory": "much"}),
        ("GET", "/resource_requirements/3", RefusedError(404, "none")),
    )
    claims = _claims(script)
    for record in (2, 2, 3, 3, None):
        assert claims.requirements({"id": 1, "resource_requirements_id": record}) == Requirements()


def test_one_bad_result_does_not_hold_back_the_others() -> None:
    batch = "/workflows/1/batch_complete_jobs"
    script = Script(
        ("POST", batch, LOST),
        ("POST", batch, RefusedError(422, "bad")),
        ("POST", batch, {"completed": [1], "errors": []}),
        ("POST", batch, RefusedError(422, "bad")),
        ("POST", batch, {"completed": [], "errors": [{"job_id": 3, "message": "is already complete"}]}),
    )
    outbox = Outbox(script, SETTING, 5)  # type: ignore[arg-type]  # speaks like the Api
    for job_id in (1, 2, 3):
        outbox.add({"id": job_id}, 4, "canceled", 60.0, {})
    with pytest.raises(UnavailableError):
        outbox.deliver()
    assert len(outbox) == 3
    outbox.deliver()
    assert (len(outbox), script.answers) == (0, [])
    sent = [[entry["job_id"] for entry in body["completions"]] for body in script.bodies]
    assert sent == [[1, 2, 3], [1, 2, 3], [1], [2], [3]]
    result = script.bodies[0]["completions"][0]["result"]
    assert (result["exec_time_minutes"], result["return_code"], result["compute_node_id"]) == (1.0, 4, 5)


def test_the_pauses_of_an_outage_grow_and_differ() -> None:
    outage = Outage(1000)
    pauses = [outage.failed(LOST) for _ in range(20)]
    assert 0.1 < pauses[0] <= 0.25
    assert all(15 <= pause <= 30 for pause in pauses[-10:])
    assert len(set(pauses[-10:])) == 10
    assert outage.active
    assert not outage.hopeless
    outage.over()
    assert not outage.active
    assert outage.failed(LOST) <= 0.25


def test_an_outage_beyond_the_patience_is_hopeless() -> None:
    outage = Outage(0)
    outage.failed(LOST)
    assert wait_until(lambda: outage.hopeless)
