"""The state machine of workflows and jobs (torc wire 3.2, 3.5, 4.2, 4.6).

Every function works inside a transaction of its caller.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Any

from torc_remote.builtin.server.clock import now
from torc_remote.builtin.server.database import Connection, Record, find, insert, record, update
from torc_remote.builtin.server.errors import invalid, wrong_state
from torc_remote.builtin.server.events import create_event
from torc_remote.builtin.server.holders import check_holder, check_node
from torc_remote.builtin.server.inputs import changed_jobs, remember_inputs
from torc_remote.builtin.server.models import Completion, ResultBody

COMPLETE = ("completed", "failed", "canceled", "terminated")
HELD = ("pending", "running")  # by a worker
_UNFINISHED = "('uninitialized', 'blocked', 'ready', 'pending', 'running', 'pending_failed')"
_COMPLETE = str(COMPLETE)
_HELD = str(HELD)
_UNTOUCHED = str(("disabled", *HELD))  # by resets

# A job that nobody holds and that has no outcome.
_RESET = """status = 'uninitialized', start_time = NULL, compute_node_id = NULL, run_id = NULL,
    attempt_id = 1"""


def is_complete(connection: Connection, workflow: sqlite3.Row) -> bool:
    """Whether no job has anything left to do, or the workflow is canceled."""
    sql = f"SELECT EXISTS (SELECT 1 FROM job WHERE workflow_id = ? AND status IN {_UNFINISHED})"
    return bool(workflow["is_canceled"] or not connection.execute(sql, [workflow["id"]]).fetchone()[0])


def is_uninitialized(connection: Connection, workflow_id: int) -> bool:
    """Whether no job has left its first state."""
    first = "('uninitialized', 'disabled')"
    sql = f"SELECT EXISTS (SELECT 1 FROM job WHERE workflow_id = ? AND status NOT IN {first})"
    return not connection.execute(sql, [workflow_id]).fetchone()[0]


def unblock(connection: Connection, workflow_id: int, finished: Collection[int] | None) -> None:
    """Decide the blocked jobs whose last dependency is complete: canceled or ready.

    `finished` are the jobs whose dependants are looked at (None: all of the workflow). A job becomes canceled
    if it asks for that and a dependency was canceled, terminated, or failed with a return code other than 0;
    what is canceled so is finished in its turn.
    """
    while finished is None or finished:
        decided = _decide(connection, workflow_id, finished)
        for status in ("ready", "canceled"):
            ids = [row["id"] for row in decided if row["status"] == status]
            connection.execute(
                "UPDATE job SET status = ? WHERE id IN (SELECT value FROM json_each(?))",
                [status, json.dumps(ids)],
            )
        finished = [row["id"] for row in decided if row["status"] == "canceled"]


def _decide(connection: Connection, workflow_id: int, finished: Collection[int] | None) -> list[sqlite3.Row]:
    dependants = ""
    values: list[Any] = [workflow_id]
    if finished is not None:
        dependants = """AND job.id IN (SELECT job_id FROM job_depends_on
                        WHERE depends_on_job_id IN (SELECT value FROM json_each(?)))"""
        values.append(json.dumps(list(finished)))
    # Of many dependencies the newest usually ends last, so that looking there first finds it at once.
    return connection.execute(
        f"""SELECT id, CASE WHEN cancel_on_blocking_job_failure AND EXISTS (
                SELECT 1 FROM job_depends_on edge JOIN job needed ON needed.id = edge.depends_on_job_id
                WHERE edge.job_id = job.id AND (needed.status IN ('canceled', 'terminated')
                    OR needed.status = 'failed' AND coalesce(
                        (SELECT return_code FROM result WHERE result.id = needed.result_id), 1) != 0)
            ) THEN 'canceled' ELSE 'ready' END AS status
            FROM job WHERE workflow_id = ? AND job.status = 'blocked' {dependants} AND (
                SELECT 1 FROM job_depends_on edge JOIN job needed ON needed.id = edge.depends_on_job_id
                WHERE edge.job_id = job.id AND needed.status NOT IN {_COMPLETE}
                ORDER BY edge.depends_on_job_id DESC LIMIT 1) IS NULL""",
        values,
    ).fetchall()


def initialize(
    connection: Connection, workflow_id: int, only_uninitialized: bool, clear_ephemeral: bool
) -> None:
    """Make jobs blocked or ready, with the dependencies that files and user data imply.

    All jobs but the disabled ones and those that a worker holds, or only the uninitialized ones. That alone is safe
    for several who do it at once, so here it also begins the first run, for which torc needs a reset. Raises the 404 of
    an unknown workflow.
    """
    workflow = find(connection, "workflow", workflow_id)
    if only_uninitialized and not workflow["run_id"]:
        update(connection, "workflow", workflow_id, {"run_id": 1})
    for relation, column in (("job_file", "file_id"), ("job_user_data", "user_data_id")):
        connection.execute(
            f"""INSERT OR IGNORE INTO job_depends_on SELECT consumer.job_id, producer.job_id
                FROM {relation} consumer JOIN {relation} producer ON producer.{column} = consumer.{column}
                JOIN job ON job.id = consumer.job_id
                WHERE job.workflow_id = ? AND producer.is_output AND NOT consumer.is_output
                AND producer.job_id != consumer.job_id""",
            [workflow_id],
        )
    if clear_ephemeral:
        connection.execute(
            "UPDATE user_data SET data = NULL WHERE workflow_id = ? AND is_ephemeral", [workflow_id]
        )
    if not only_uninitialized:
        sql = f"UPDATE job SET {_RESET} WHERE workflow_id = ? AND status NOT IN {_UNTOUCHED}"
        connection.execute(sql, [workflow_id])
    else:
        _reset_below_uninitialized(connection, workflow_id)
    # The results of the run before are shown until here.
    connection.execute(
        """UPDATE job SET status = 'blocked', result_id = NULL
           WHERE workflow_id = ? AND status = 'uninitialized'""",
        [workflow_id],
    )
    unblock(connection, workflow_id, None)
    remember_inputs(connection, workflow_id)


def _reset_below_uninitialized(connection: Connection, workflow_id: int) -> None:
    """What was done after jobs that are to run again is to be done again."""
    connection.execute(
        f"""WITH RECURSIVE again (id) AS (
                SELECT id FROM job WHERE workflow_id = ? AND status = 'uninitialized'
                UNION SELECT job_id FROM job_depends_on JOIN again ON depends_on_job_id = again.id)
            UPDATE job SET {_RESET} WHERE id IN (SELECT id FROM again) AND status NOT IN {_UNTOUCHED}""",
        [workflow_id],
    )


def reset_changed_jobs(connection: Connection, workflow_id: int, dry_run: bool) -> list[str]:
    """Make the jobs uninitialized whose inputs have changed since they were initialized; their names.

    Those that a worker holds are left alone. Raises the 404 of an unknown workflow.
    """
    find(connection, "workflow", workflow_id)
    changed = f"""id IN (SELECT value FROM json_each(?)) AND status NOT IN {_UNTOUCHED}"""
    values = [json.dumps(changed_jobs(connection, workflow_id))]
    rows = connection.execute(f"SELECT name FROM job WHERE {changed} ORDER BY id", values).fetchall()
    if not dry_run:
        connection.execute(f"UPDATE job SET {_RESET} WHERE {changed}", values)
    return [row["name"] for row in rows]


def reset_workflow(connection: Connection, workflow_id: int, force: bool) -> None:
    """Begin a new run. Raises 422 if it is archived, or if workers hold jobs and `force` isn't given."""
    workflow = find(connection, "workflow", workflow_id)
    if workflow["is_archived"]:
        raise invalid("Cannot reset workflow status: the workflow is archived")
    if not force and _held(connection, workflow_id):
        raise invalid("Cannot reset workflow status: jobs are currently running or pending submission")
    new = {"run_id": workflow["run_id"] + 1, "is_canceled": False, "is_archived": False}
    update(connection, "workflow", workflow_id, new)


def reset_jobs(connection: Connection, workflow_id: int, failed_only: bool) -> int:
    """Make jobs uninitialized and return how many were something else.

    Raises 422 if workers hold jobs of this run: torc resets those as well, and the next worker starts them a
    second time (torc wire 4.8). A forced reset of the workflow begins a new run and so makes the way free.
    """
    workflow = find(connection, "workflow", workflow_id)
    if held := _held(connection, workflow_id, workflow["run_id"]):
        raise invalid(
            f"Cannot reset job status: {held} job(s) are running or pending; stop their workers first, "
            "or reset the workflow with force"
        )
    which = "status IN ('failed', 'canceled', 'terminated', 'pending_failed')"
    if not failed_only:
        which = "status NOT IN ('uninitialized', 'disabled')"
    return connection.execute(
        f"UPDATE job SET {_RESET} WHERE workflow_id = ? AND {which}", [workflow_id]
    ).rowcount


def _held(connection: Connection, workflow_id: int, run_id: int | None = None) -> int:
    held = f"workflow_id = ? AND status IN {_HELD} AND run_id = coalesce(?, run_id)"
    sql = f"SELECT count(*) FROM job WHERE {held}"
    return int(connection.execute(sql, [workflow_id, run_id]).fetchone()[0])


def cancel_workflow(connection: Connection, workflow_id: int) -> None:
    """Cancel the workflow and the jobs that workers hold; blocked and ready jobs stay as they are."""
    find(connection, "workflow", workflow_id)
    update(connection, "workflow", workflow_id, {"is_canceled": True})
    sql = f"UPDATE job SET status = 'canceled' WHERE workflow_id = ? AND status IN {_HELD}"
    connection.execute(sql, [workflow_id])


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
    connection.execute(f"UPDATE job SET {_RESET} WHERE id = ?", [job_id])
    if status == "uninitialized":
        _reset_downstream(connection, job_id)
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


def _reset_downstream(connection: Connection, job_id: int) -> None:
    connection.execute(
        f"""WITH RECURSIVE downstream (id) AS (
                SELECT job_id FROM job_depends_on WHERE depends_on_job_id = ?
                UNION SELECT job_id FROM job_depends_on JOIN downstream ON depends_on_job_id = downstream.id)
            UPDATE job SET {_RESET} WHERE id IN (SELECT id FROM downstream) AND status IN {_COMPLETE}""",
        [job_id],
    )


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
    made = "SELECT EXISTS (SELECT 1 FROM result WHERE id = ? AND run_id = ? AND attempt_id = ?)"
    attempt = [job["result_id"], job["run_id"], job["attempt_id"]]
    if connection.execute(made, attempt).fetchone()[0]:
        return f"job_id={job['id']}: attempt {job['attempt_id']} has a result already"
    return ""


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
