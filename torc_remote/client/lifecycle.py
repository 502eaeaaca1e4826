"""What takes several requests and must be done alike by the CLI, the worker's start and the playbooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from torc_remote import __version__
from torc_remote.client.api import Json, TorcClient
from torc_remote.client.errors import ApiError
from torc_remote.errors import TorcError

TERMINATED_RETURN_CODE = 143  # 128 + SIGTERM
SHOWN_FILES = 5


@dataclass(frozen=True)
class ReleasedNode:
    """A compute node that is inactive now; ``terminated`` holds the jobs that were running on it.

    ``requeued`` holds jobs that a worker had claimed and not started; ``changed`` tells whether the server had
    to be told anything.
    """

    node_id: int
    hostname: str
    terminated: list[Json]
    requeued: list[Json]
    changed: bool


def initialize_workflow(client: TorcClient, workflow_id: int, force: bool = False) -> None:
    """Start a new run: every job becomes ready, or blocked by others (torc wire 3.5).

    Input files are looked for here, relative to the current directory, as torc does. Raises TorcError,
    before anything is changed, when the workflow is archived, and, unless ``force``, when it has running jobs
    or lacks files or user data.
    """
    if client.get_workflow(workflow_id).get("is_archived"):
        raise TorcError(f"Workflow {workflow_id} is archived.")
    if not force:
        _refuse_while_jobs_run(client, workflow_id)
        _refuse_missing_data(client, workflow_id)
    client.reset_workflow_status(workflow_id, force)
    client.reset_job_status(workflow_id)
    _record_file_times(client, workflow_id)
    client.initialize_jobs(workflow_id)


def reset_workflow(
    client: TorcClient, workflow_id: int, failed_only: bool, reinitialize: bool, force: bool
) -> int:
    """Reset the workflow and its jobs (all, or those that ended badly); the number of jobs reset.

    The server resets jobs whatever is running, and a second worker would then start them again (torc wire
    4.8): so we look first, and raise TorcError unless ``force``.
    """
    if not force:
        _refuse_while_jobs_run(client, workflow_id)
    client.reset_workflow_status(workflow_id, force)
    count = int(client.reset_job_status(workflow_id, failed_only)["updated_count"])
    if reinitialize:
        client.initialize_jobs(workflow_id, only_uninitialized=True)
    return count


def requeue_jobs(client: TorcClient, job_ids: Sequence[int]) -> list[Json]:
    """Make jobs that ended badly ready for another attempt, while others run on; the jobs as they are then.

    What was canceled because of them waits for them again. Not by initialization: torc's server makes running jobs
    ready by that as well. Raises TorcError, before anything is changed, for a job that did not end badly.
    """
    jobs = [client.get_job(number) for number in dict.fromkeys(job_ids)]
    if wrong := [job for job in jobs if job["status"] not in ("failed", "terminated")]:
        names = ", ".join(f"{job['id']} ({job['status']})" for job in wrong)
        raise TorcError(
            f"Only failed and terminated jobs can be run again alone; others are {names}. Nothing was changed."
        )
    done = []
    for job in jobs:
        run_id = client.get_workflow(job["workflow_id"])["run_id"]
        # first: the job may be over before its dependents wait for it, and an interrupted call can be repeated
        _block_below(client, job, run_id)
        done.append(client.retry_job(job["id"], run_id, job.get("attempt_id", 1) + 1))
    return done


def _block_below(client: TorcClient, job: Json, run_id: int) -> None:
    for dependent in client.list_jobs(job["workflow_id"], upstream_job_id=job["id"], status="canceled"):
        client.block_job(dependent["id"], run_id)
        _block_below(client, dependent, run_id)


def release_compute_node(
    client: TorcClient, workflow_id: int, node_id: int, is_own: Callable[[Json], bool] = lambda node: True
) -> ReleasedNode:
    """Tell the server that a worker is gone (torc wire 4.2, 4.8); doing it again changes nothing.

    Its running jobs are reported as terminated with return code 143, and its node is set inactive. With that the
    built-in server makes ready what the worker had claimed and not started. Torc's own doesn't know whose such jobs
    are; there they become ready once no worker is left that could start them. Only call this when the worker's
    processes are proven to be gone.

    A worker's memory may be older than the server's database, so a node that is unknown, belongs to another
    workflow, or is not the worker's own by what ``is_own`` says of it is left alone. Raises TorcError when a job
    can't be reported.
    """
    node = _node_of(client, workflow_id, node_id)
    if not node or not is_own(node):
        return ReleasedNode(node_id, "", [], [], changed=False)
    jobs = _jobs_on(client, workflow_id, node_id)
    terminated = _terminate(client, workflow_id, node_id, jobs) if jobs else []
    claimed = client.list_jobs(workflow_id, status="pending")
    if claimed or node.get("is_active"):
        since = node.get("duration_seconds") or _seconds_since(node["start_time"])
        client.update_compute_node(node | {"is_active": False, "duration_seconds": since})
    requeued = [job for job in claimed if job.get("compute_node_id") == node_id]
    if claimed:
        requeued += _requeue_claimed(client, workflow_id, node_id)
    changed = bool(terminated or requeued or node.get("is_active"))
    return ReleasedNode(node_id, str(node["hostname"]), terminated, requeued, changed)


def unassigned_jobs(client: TorcClient, workflow_id: int) -> int:
    """How many jobs are claimed and not started by nobody knows whom, as torc's own server does not note it.

    They are a living worker's, which is about to start them, or a dead one's: those are given back with the last node.
    """
    claimed = client.list_jobs(workflow_id, status="pending")
    if not claimed:
        return 0
    active = {node["id"] for node in client.list_compute_nodes(workflow_id, is_active=True)}
    return sum(job.get("compute_node_id") not in active for job in claimed)


def _node_of(client: TorcClient, workflow_id: int, node_id: int) -> Json | None:
    try:
        node = client.get_compute_node(node_id)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    return node if node["workflow_id"] == workflow_id else None


def worker_version(client: TorcClient) -> str:
    """The version that workers should have: the first word of the server's own (torc wire 5)."""
    words = str(client.version().get("version", "")).split()
    return words[0] if words else __version__


def ensure_runnable(
    client: TorcClient, workflow_id: int, note: Callable[[str], object], change: bool = True
) -> bool:
    """Initialize a workflow that is not; whether that was to be done (it is not done unless ``change``).

    Input files belong to the hosts: ``note`` takes the line that says which are not here; they need not be.
    Raises TorcError for a workflow that is over: workers would come and go without a job.
    """
    ended = client.is_complete(workflow_id)
    if ended["is_complete"] or ended["is_canceled"]:
        state = "canceled" if ended["is_canceled"] else "complete"
        raise TorcError(
            f"Workflow {workflow_id} is {state}. To run it again, reset it first (with --failed-only just the jobs "
            "that failed, were terminated or canceled, and those after them):\n"
            f"    torc workflows reset-status {workflow_id} --reinitialize\n"
            f"    torc remote run {workflow_id}"
        )
    if not client.is_uninitialized(workflow_id):
        return False
    if text := inputs_elsewhere(client, workflow_id):
        note(text)
    if change:
        _initialize_once(client, workflow_id)
    return True


def _initialize_once(client: TorcClient, workflow_id: int) -> None:
    """Without a reset: others may do it at the same moment, and their workers may have begun."""
    if client.get_workflow(workflow_id).get("is_archived"):
        raise TorcError(f"Workflow {workflow_id} is archived.")
    _refuse_missing_user_data(client, workflow_id)
    _record_file_times(client, workflow_id)
    # torc's server makes running jobs ready here: so look again just before, long before another's worker starts one
    if client.is_uninitialized(workflow_id):
        client.initialize_jobs(workflow_id, only_uninitialized=True)
        _begin_first_run(client, workflow_id)


def _begin_first_run(client: TorcClient, workflow_id: int) -> None:
    """Torc's server counts runs by resets alone, and its own client makes one with the first initialization.

    Now that the jobs are initialized nobody else comes to do it once more.
    """
    if client.get_workflow(workflow_id)["run_id"]:
        return
    try:
        client.reset_workflow_status(workflow_id)
    except ApiError as error:  # a worker has begun, in run 0
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise


def inputs_elsewhere(client: TorcClient, workflow_id: int) -> str:
    """The sentences that say which input files are not on this machine; empty when all are."""
    paths = _files_not_here(client, workflow_id)
    if not paths:
        return ""
    shown = ", ".join(paths[:SHOWN_FILES]) + (", ..." if len(paths) > SHOWN_FILES else "")
    return (
        f"Input files that are not on this machine, seen from the current directory: {shown}. What counts is that "
        "the workers' machines have them, relative paths from the home directory; nobody has looked there."
    )


def _terminate(client: TorcClient, workflow_id: int, node_id: int, jobs: list[Json]) -> list[Json]:
    run_id = client.get_workflow(workflow_id)["run_id"]
    completions = [_completion(job, run_id, node_id) for job in jobs]
    answer = client.batch_complete_jobs(workflow_id, completions)
    completed = set(answer["completed"])
    # A job may have ended in between: then the server refuses ours, rightly, and it runs no more.
    if answer["errors"] and (left := _jobs_on(client, workflow_id, node_id)):
        reasons = "; ".join(str(error["message"]) for error in answer["errors"])
        names = ", ".join(str(job["name"]) for job in left)
        raise TorcError(f"The server still lists jobs of a stopped worker as running ({names}): {reasons}")
    return [job for job in jobs if job["id"] in completed]


def _requeue_claimed(client: TorcClient, workflow_id: int, node_id: int) -> list[Json]:
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
        client.retry_job(job["id"], run_id, job.get("attempt_id", 1) + 1)
    except ApiError:
        if client.get_job(job["id"])["status"] == "pending":
            raise
        return False  # somebody else was quicker
    return True


def _completion(job: Json, run_id: int, node_id: int) -> Json:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ran = _seconds_since(job["start_time"]) if job.get("start_time") else 0.0
    result = {
        "job_id": job["id"],
        "workflow_id": job["workflow_id"],
        "run_id": run_id,
        "attempt_id": job.get("attempt_id", 1),
        "compute_node_id": node_id,
        "return_code": TERMINATED_RETURN_CODE,
        "exec_time_minutes": ran / 60,
        "completion_time": now,
        "status": "terminated",
    }
    return {"job_id": job["id"], "status": "terminated", "run_id": run_id, "result": result}


def _jobs_on(client: TorcClient, workflow_id: int, node_id: int) -> list[Json]:
    """The jobs that run on this node, whatever the server makes of the filter."""
    jobs = client.list_jobs(workflow_id, status="running", active_compute_node_id=node_id)
    return [job for job in jobs if job.get("compute_node_id", node_id) == node_id]


def _seconds_since(timestamp: str) -> float:
    """From an RFC 3339 time of another machine until now; 0 where its clock is ahead of ours."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())


def _refuse_while_jobs_run(client: TorcClient, workflow_id: int) -> None:
    counts = client.workflow_status(workflow_id)["jobs_by_status"]
    if running := counts.get("running", 0) + counts.get("pending", 0):
        raise TorcError(
            f"Workflow {workflow_id} has {running} running job(s). Stop its workers first "
            f"('torc remote stop {workflow_id}', or 'torc cancel {workflow_id}'), or use --force, and what runs loses "
            "its results. To run failed jobs again beside the others: 'torc jobs reset-status JOB...'."
        )


def _refuse_missing_data(client: TorcClient, workflow_id: int) -> None:
    if missing := _files_not_here(client, workflow_id):
        raise TorcError(f"Workflow {workflow_id} needs files that are not here: {', '.join(missing)}")
    _refuse_missing_user_data(client, workflow_id)


def _refuse_missing_user_data(client: TorcClient, workflow_id: int) -> None:
    if user_data := client.missing_user_data(workflow_id):
        raise TorcError(f"Workflow {workflow_id} needs user data that is missing: {user_data}")


def _files_not_here(client: TorcClient, workflow_id: int) -> list[str]:
    paths = [str(client.get_file(number)["path"]) for number in client.required_existing_files(workflow_id)]
    return [path for path in paths if _modified(path) is None]


def _record_file_times(client: TorcClient, workflow_id: int) -> None:
    for file in client.list_files(workflow_id):
        if (changed := _modified(file["path"])) is not None:
            client.update_file(file | {"st_mtime": changed})


def _modified(path: str) -> float | None:
    try:
        return Path(path).stat().st_mtime
    except (OSError, ValueError):
        return None
