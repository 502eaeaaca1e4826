"""Telling the server that a worker is gone, and what becomes of the jobs that it had (torc wire 4.2, 4.8).

Only for workers whose processes are proven to be gone. The order of the requests counts, as torc's server checks
neither node nor attempt of what it is told: whatever another controller, or a worker that is not gone after all, does
in between is never undone, and no job is lost when we are interrupted, since whoever comes next goes on from there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus

from torc_remote.client.api import Json, TorcClient
from torc_remote.client.errors import ApiError
from torc_remote.errors import TorcError

TERMINATED_RETURN_CODE = 143  # 128 + SIGTERM
MAX_ATTEMPTS = 3
"""How many workers may die of a job before it counts as the reason."""
EVENTS = "torc-remote"
"""The category of our events at the server."""


@dataclass(frozen=True)
class End:
    """How a worker on ``host`` came to its end, and what its running jobs get.

    They run again, unless they are to ``terminate``. A worker that ``died`` counts against them: one of which
    ``max_attempts`` workers have died is terminated as well.
    """

    host: str = ""
    died: bool = True
    terminate: bool = False
    max_attempts: int = MAX_ATTEMPTS


@dataclass(frozen=True)
class ReleasedNode:
    """A compute node that is inactive now: the jobs that were running on it and are ready again (``requeued``) or
    ``terminated``, and those that its worker had claimed and not started (``unclaimed``).

    ``changed`` tells whether the server had to be told anything.
    """

    node_id: int
    hostname: str = ""
    requeued: list[Json] = field(default_factory=list)
    terminated: list[Json] = field(default_factory=list)
    unclaimed: list[Json] = field(default_factory=list)
    changed: bool = False


def release_compute_node(
    client: TorcClient,
    workflow_id: int,
    node_id: int,
    end: End | None = None,
    is_own: Callable[[Json], bool] = lambda node: True,
) -> ReleasedNode:
    """Tell the server that a worker is gone; doing it again changes nothing.

    First its node is set inactive. With that the built-in server makes ready what the worker had claimed and not
    started. Torc's own doesn't know whose such jobs are; there they become ready once no worker is left that could
    start them. Then each job that was running there is given its ``end``.

    A worker's memory may be older than the server's database, so a node that is unknown, belongs to another
    workflow, or is not the worker's own by what ``is_own`` says of it is left alone. Raises TorcError.
    """
    node = _node_of(client, workflow_id, node_id)
    if not node or not is_own(node):
        return ReleasedNode(node_id)
    jobs = _jobs_on(client, workflow_id, node_id)
    claimed = client.list_jobs(workflow_id, status="pending")
    if claimed or node.get("is_active"):
        since = node.get("duration_seconds") or _seconds_since(node["start_time"])
        client.update_compute_node(node | {"is_active": False, "duration_seconds": since})
    unclaimed = [job for job in claimed if job.get("compute_node_id") == node_id]
    if claimed:
        unclaimed += _give_back_claimed(client, workflow_id, node_id)
    ready, terminated = _Ending(client, node, end or End()).of_all(jobs) if jobs else ([], [])
    changed = bool(ready or terminated or unclaimed or node.get("is_active"))
    return ReleasedNode(node_id, str(node["hostname"]), ready, terminated, unclaimed, changed)


def unassigned_jobs(client: TorcClient, workflow_id: int) -> int:
    """How many jobs are claimed and not started by nobody knows whom, as torc's own server does not note it.

    They are a living worker's, which is about to start them, or a dead one's: those are given back with the last node.
    """
    claimed = client.list_jobs(workflow_id, status="pending")
    if not claimed:
        return 0
    active = {node["id"] for node in client.list_compute_nodes(workflow_id, is_active=True)}
    return sum(job.get("compute_node_id") not in active for job in claimed)


class _Ending:
    """The end of the jobs that a compute node was running."""

    def __init__(self, client: TorcClient, node: Json, end: End) -> None:
        self._client = client
        self._node = node
        self._end = end
        self._workflow_id: int = node["workflow_id"]
        self._run_id: int = client.get_workflow(self._workflow_id)["run_id"]
        self._fenced = self._read_fenced()

    def of_all(self, jobs: Iterable[Json]) -> tuple[list[Json], list[Json]]:
        """The jobs that are ready again and those that are terminated; what others have ended meanwhile is neither."""
        ready, terminated = [], []
        for job in filter(None, map(self._still_running, jobs)):
            if self._is_to_end(job):
                if self._terminate(job):
                    terminated.append(job)
            elif self._requeue(job):
                ready.append(job)
        return ready, terminated

    def _is_to_end(self, job: Json) -> bool:
        """Whether the job runs no more. One whose attempt somebody has fenced can't be completed, only run again."""
        wanted = self._end.terminate or (self._end.died and self._died_often(job))
        return wanted and (job["id"], _attempt(job)) not in self._fenced

    def _died_often(self, job: Json) -> bool:
        deaths = self._deaths.get(job["id"], set()) | {_attempt(job)}
        return len(deaths) >= self._end.max_attempts

    def _terminate(self, job: Json) -> bool:
        """Complete the job, for good: what depends on it is canceled."""
        entry = {"job_id": job["id"], "status": "terminated", "run_id": self._run_id}
        answer = self._client.batch_complete_jobs(self._workflow_id, [entry | {"result": self._result(job)}])
        if answer["completed"]:
            self._note(job, "job_terminated")
        elif self._still_running(job):
            reasons = "; ".join(str(error["message"]) for error in answer["errors"])
            raise TorcError(
                f"The server still lists a job of a stopped worker as running ({job['name']}): {reasons}"
            )
        return bool(answer["completed"])

    def _requeue(self, job: Json) -> bool:
        """Make the job ready again, which only one of several controllers can.

        It is never completed on the way: what depends on it would stay canceled.
        """
        if not self._fence(job):
            return False
        self._note(job, "job_requeued")
        try:
            self._client.retry_job(job["id"], self._run_id, _attempt(job) + 1, self._node["id"])
        except ApiError:
            if self._still_running(job):
                raise
            return False
        return True

    def _fence(self, job: Json) -> bool:
        """Give the attempt a result, so that its worker's own comes too late if it is not gone after all."""
        if (job["id"], _attempt(job)) in self._fenced:
            return True
        try:
            self._client.create_result(self._result(job))
        except ApiError:
            if not self._still_running(job):
                return False
            self._fenced = self._read_fenced()
            if (job["id"], _attempt(job)) not in self._fenced:
                raise
        return True

    def _still_running(self, seen: Json) -> Json | None:
        """The job as it is now, if this node still has this attempt of it."""
        job = self._client.get_job(seen["id"])
        here = job.get("compute_node_id", self._node["id"]) == self._node["id"]
        return job if job["status"] == "running" and here and _attempt(job) == _attempt(seen) else None

    def _note(self, job: Json, what: str) -> None:
        """An event, also when it is the second one of an attempt: readers count attempts."""
        data = {
            "category": EVENTS,
            "event_type": what,
            "job_id": job["id"],
            "job_name": job["name"],
            "run_id": self._run_id,
            "attempt_id": _attempt(job),
            "compute_node_id": self._node["id"],
            "host": self._end.host or self._node["hostname"],
            "reason": "died" if self._end.died else "stopped",
        }
        self._client.create_event(self._workflow_id, data)

    @cached_property
    def _deaths(self) -> dict[int, set[int]]:
        """By job, the attempts of this run whose workers have died."""
        deaths: dict[int, set[int]] = {}
        for event in self._client.list_events(self._workflow_id, category=EVENTS):
            data = event["data"]
            if data.get("run_id") == self._run_id and data.get("reason") == "died":
                deaths.setdefault(data["job_id"], set()).add(data["attempt_id"])
        return deaths

    def _read_fenced(self) -> set[tuple[int, int]]:
        """The attempts of jobs on this node that have a result already: another controller was here, and died."""
        results = self._client.list_results(
            self._workflow_id, compute_node_id=self._node["id"], run_id=self._run_id, all_runs=True
        )
        return {(result["job_id"], _attempt(result)) for result in results}

    def _result(self, job: Json) -> Json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        ran = _seconds_since(job["start_time"]) if job.get("start_time") else 0.0
        return {
            "job_id": job["id"],
            "workflow_id": self._workflow_id,
            "run_id": self._run_id,
            "attempt_id": _attempt(job),
            "compute_node_id": self._node["id"],
            "return_code": TERMINATED_RETURN_CODE,
            "exec_time_minutes": ran / 60,
            "completion_time": now,
            "status": "terminated",
        }


def _attempt(record: Json) -> int:
    return int(record.get("attempt_id", 1))


def _node_of(client: TorcClient, workflow_id: int, node_id: int) -> Json | None:
    try:
        node = client.get_compute_node(node_id)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    return node if node["workflow_id"] == workflow_id else None


def _give_back_claimed(client: TorcClient, workflow_id: int, node_id: int) -> list[Json]:
    """Give back what nobody can start any more, through the node that is gone.

    `ready` would do it too, but takes running and completed jobs as well; to start a job takes a pending one alone, and
    a retry only this attempt. So what another client does at the same time is never undone.
    """
    claimed = client.list_jobs(workflow_id, status="pending")
    if not claimed or client.list_compute_nodes(workflow_id, is_active=True, limit=1):
        return []
    run_id = client.get_workflow(workflow_id)["run_id"]
    return [job for job in claimed if _through_a_dead_node(client, job, run_id, node_id)]


def _through_a_dead_node(client: TorcClient, job: Json, run_id: int, node_id: int) -> bool:
    try:
        client.start_job(job["id"], run_id, node_id)
        client.retry_job(job["id"], run_id, _attempt(job) + 1)
    except ApiError:
        if client.get_job(job["id"])["status"] == "pending":
            raise
        return False  # somebody else was quicker
    return True


def _jobs_on(client: TorcClient, workflow_id: int, node_id: int) -> list[Json]:
    """The jobs that run on this node, whatever the server makes of the filter."""
    jobs = client.list_jobs(workflow_id, status="running", active_compute_node_id=node_id)
    return [job for job in jobs if job.get("compute_node_id", node_id) == node_id]


def _seconds_since(timestamp: str) -> float:
    """From an RFC 3339 time of another machine until now; 0 where its clock is ahead of ours."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())
