"""The attempts of a job: started, given back, made again, completed, fenced (torc wire 4.2).

Every function works inside a transaction of its caller.
"""

import sqlite3

from torc_remote.builtin.server.clock import now
from torc_remote.builtin.server.errors import invalid, wrong_state
from torc_remote.builtin.server.events.records import create_event
from torc_remote.builtin.server.jobs.dependencies import reset_downstream, unblock
from torc_remote.builtin.server.jobs.holders import check_holder, check_node
from torc_remote.builtin.server.jobs.statuses import COMPLETE, HELD, RESET_SQL
from torc_remote.builtin.server.models import Completion, ResultBody
from torc_remote.builtin.server.store.database import Connection, Record, find, insert, record, update


def start_job(connection: Connection, job_id: int, run_id: int, compute_node_id: int) -> None:
    """Note that a worker starts a job that it has claimed.

    Raises torc's 500 if the job isn't pending, and 422 if another worker has claimed it or this one is gone.
    """
    job = find(connection, "job", job_id)
    if job["status"] != "pending":
        raise wrong_state(
            f"job_id={job_id} has invalid status={job['status']}. Expected SubmittedPending for job start."
        )
    _check_run(connection, job["workflow_id"], run_id)
    check_node(connection, job["workflow_id"], compute_node_id)
    check_holder(job, compute_node_id)
    update(
        connection,
        "job",
        job_id,
        {"status": "running", "start_time": now(), "compute_node_id": compute_node_id},
    )


def change_status(
    connection: Connection, job_id: int, status: str, run_id: int, compute_node_id: int | None = None
) -> None:
    """Put a job into a state without outcome; what was done after it is undone too. Raises 422 for others.

    A job that a worker holds is given back by the worker itself, whose compute node this is; others can only reset it.
    """
    if status in COMPLETE:
        raise invalid(
            f"Cannot set completion status '{status}' via manage_status_change. Use complete_job API instead."
        )
    if status in (*HELD, "pending_failed"):
        raise invalid(f"Cannot set status '{status}' via manage_status_change. A worker's claim does that.")
    job = find(connection, "job", job_id)
    if job["status"] == status and compute_node_id is None:
        return
    _check_run(connection, job["workflow_id"], run_id)
    if compute_node_id is not None or (job["status"] in HELD and status != "uninitialized"):
        check_holder(job, compute_node_id)
    kept = {"attempt_id": job["attempt_id"]}
    connection.execute(f"UPDATE job SET {RESET_SQL} WHERE id = ?", [job_id])
    if status == "uninitialized":
        reset_downstream(connection, job_id)
    else:
        kept["result_id"] = None  # or the attempt, which is to be made again, would count as fenced
    update(connection, "job", job_id, {"status": status, **kept})


def retry(
    connection: Connection, job_id: int, run_id: int, max_retries: int, compute_node_id: int | None = None
) -> None:
    """Make a job ready for another attempt, if it has had fewer than `max_retries`: so only one of two callers does it.

    What was canceled because of it stays so. An event tells of it, as torc's does. Raises 422 unless the job is
    running, failed or terminated, and, where a compute node is named, unless that holds it.
    """
    job = find(connection, "job", job_id)
    _check_run(connection, job["workflow_id"], run_id)
    if job["status"] not in ("running", "failed", "terminated"):
        raise invalid(
            f"Job cannot be retried: status is {job['status']}, must be running, failed, or terminated"
        )
    if compute_node_id is not None:
        check_holder(job, compute_node_id)
    attempt_id = job["attempt_id"]
    if attempt_id >= max_retries:
        raise invalid(f"Job cannot be retried: attempt_id={attempt_id} >= max_retries={max_retries}")
    again = {"status": "ready", "attempt_id": attempt_id + 1, "origin": job["origin"] or "retry"}
    update(connection, "job", job_id, {**again, "start_time": None, "compute_node_id": None, "run_id": None})
    attempts = {"previous_attempt": attempt_id, "new_attempt": attempt_id + 1}
    names = {"job_id": job_id, "job_name": job["name"], "run_id": run_id}
    message = f"Job with name = {job['name']} retried: attempt {attempt_id} -> {attempt_id + 1}"
    event = {"event_type": "job_retried", **names, **attempts, "message": message}
    create_event(connection, job["workflow_id"], event)


def complete_all(connection: Connection, workflow_id: int, completions: list[Completion]) -> Record:
    """Take what can be taken and unblock the dependants; `completed` and `errors` as torc answers.

    Raises the 404 of an unknown workflow.
    """
    workflow = find(connection, "workflow", workflow_id)
    completed: list[int] = []
    errors: list[Record] = []
    for entry in completions:
        why = rejection(connection, workflow, entry)
        if why:
            errors.append({"job_id": entry.job_id, "message": why})
        else:
            complete(connection, entry.result)
            completed.append(entry.job_id)
    unblock(connection, workflow_id, completed)
    return {"completed": completed, "errors": errors}


def rejection(connection: Connection, workflow: sqlite3.Row, entry: Completion) -> str:
    """Why this completion can't be taken, or an empty text."""
    job = connection.execute("SELECT * FROM job WHERE id = ?", [entry.job_id]).fetchone()
    if job is None or job["workflow_id"] != workflow["id"]:
        return f"job_id={entry.job_id} is not in workflow {workflow['id']}"
    prefix = f"job_id={entry.job_id}"
    if entry.status not in COMPLETE:
        return f"{prefix}: status={entry.status} is not a completion status"
    result = entry.result
    told = (result.job_id, result.workflow_id, result.run_id, result.status)
    if told != (entry.job_id, workflow["id"], entry.run_id, entry.status):
        return f"{prefix}: the result names another job, workflow, run or status"
    return _not_running(workflow, job, result) or _fenced(connection, job)


def _not_running(workflow: sqlite3.Row, job: sqlite3.Row, result: ResultBody) -> str:
    """Why this is no result of the job's attempt that runs now, or an empty text."""
    prefix = f"job_id={job['id']}"
    if job["status"] in COMPLETE:
        return f"{prefix} is already complete with status={job['status']}"
    if result.run_id != workflow["run_id"]:
        return f"{prefix}: run_id={result.run_id} is not the current run_id={workflow['run_id']}"
    if job["status"] != "running":
        return f"{prefix} is not running (status={job['status']})"
    if result.compute_node_id != job["compute_node_id"]:
        return f"{prefix} runs on compute node {job['compute_node_id']}, not on {result.compute_node_id}"
    if result.attempt_id not in (None, job["attempt_id"]):
        return f"{prefix} is at attempt {job['attempt_id']}, not at {result.attempt_id}"
    return ""


def _fenced(connection: Connection, job: sqlite3.Row) -> str:
    """Why no result of the running attempt is taken any more, or an empty text."""
    if job["result_id"] is None:
        return ""
    latest = find(connection, "result", job["result_id"])
    if (latest["run_id"], latest["attempt_id"]) != (job["run_id"], job["attempt_id"]):
        return ""
    return f"job_id={job['id']}: attempt {job['attempt_id']} has a result already"


def fence(connection: Connection, body: ResultBody) -> Record:
    """Store a result for the attempt of a job that runs, which goes on running: only a retry ends the attempt then.

    So the worker's own result comes too late. Raises 404, and torc's 500 where the job does not run so.
    """
    workflow = find(connection, "workflow", body.workflow_id)
    job = find(connection, "job", body.job_id)
    result = body.model_copy(update={"attempt_id": 1 if body.attempt_id is None else body.attempt_id})
    why = "" if job["workflow_id"] == workflow["id"] else f"job_id={job['id']} is in another workflow"
    if result.status not in COMPLETE:
        why = f"status={result.status} is not a completion status"
    why = why or _not_running(workflow, job, result) or _fenced(connection, job)
    if why:
        raise wrong_state(f"Failed to create result record: {why}")
    values = result.given()
    result_id = insert(connection, "result", values)
    update(connection, "job", job["id"], {"result_id": result_id})
    return {"id": result_id, **values}


def complete(connection: Connection, result: ResultBody) -> None:
    """Store a result that `rejection` accepts. The caller unblocks the dependants in the same transaction."""
    job = record(find(connection, "job", result.job_id))
    values: Record = {"attempt_id": job["attempt_id"], **result.given()}
    result_id = insert(connection, "result", values)
    done = {"status": result.status, "result_id": result_id, "start_time": None, "compute_node_id": None}
    update(connection, "job", result.job_id, done)


def _check_run(connection: Connection, workflow_id: int, run_id: int) -> None:
    current = find(connection, "workflow", workflow_id)["run_id"]
    if run_id != current:
        raise invalid(f"run_id={run_id} is not the current run_id={current} of workflow {workflow_id}")
