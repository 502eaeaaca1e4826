"""From uninitialized to complete: initialize, reset, cancel (torc wire 3.2, 3.5).

Every function works inside a transaction of its caller.
"""

import json
import sqlite3

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.jobs.dependencies import reset_below_uninitialized, unblock
from torc_remote.builtin.server.jobs.statuses import HELD_SQL, RESET_SQL, UNFINISHED_SQL, UNTOUCHED_SQL
from torc_remote.builtin.server.store.database import Connection, find, update
from torc_remote.builtin.server.workflows.inputs import changed_jobs, remember_inputs


def is_complete(connection: Connection, workflow: sqlite3.Row) -> bool:
    """Whether no job has anything left to do, or the workflow is canceled."""
    sql = f"SELECT EXISTS (SELECT 1 FROM job WHERE workflow_id = ? AND status IN {UNFINISHED_SQL})"
    return bool(workflow["is_canceled"] or not connection.execute(sql, [workflow["id"]]).fetchone()[0])


def is_uninitialized(connection: Connection, workflow_id: int) -> bool:
    """Whether no job has left its first state."""
    first = "('uninitialized', 'disabled')"
    sql = f"SELECT EXISTS (SELECT 1 FROM job WHERE workflow_id = ? AND status NOT IN {first})"
    return not connection.execute(sql, [workflow_id]).fetchone()[0]


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
        sql = f"UPDATE job SET {RESET_SQL} WHERE workflow_id = ? AND status NOT IN {UNTOUCHED_SQL}"
        connection.execute(sql, [workflow_id])
    else:
        reset_below_uninitialized(connection, workflow_id)
    # The results of the run before are shown until here.
    connection.execute(
        """UPDATE job SET status = 'blocked', result_id = NULL
           WHERE workflow_id = ? AND status = 'uninitialized'""",
        [workflow_id],
    )
    unblock(connection, workflow_id, None)
    remember_inputs(connection, workflow_id)


def reset_changed_jobs(connection: Connection, workflow_id: int, dry_run: bool) -> list[str]:
    """Make the jobs uninitialized whose inputs have changed since they were initialized; their names.

    Those that a worker holds are left alone. Raises the 404 of an unknown workflow.
    """
    find(connection, "workflow", workflow_id)
    changed = f"""id IN (SELECT value FROM json_each(?)) AND status NOT IN {UNTOUCHED_SQL}"""
    values = [json.dumps(changed_jobs(connection, workflow_id))]
    rows = connection.execute(f"SELECT name FROM job WHERE {changed} ORDER BY id", values).fetchall()
    if not dry_run:
        connection.execute(f"UPDATE job SET {RESET_SQL} WHERE {changed}", values)
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
        f"UPDATE job SET {RESET_SQL} WHERE workflow_id = ? AND {which}", [workflow_id]
    ).rowcount


def _held(connection: Connection, workflow_id: int, run_id: int | None = None) -> int:
    held = f"workflow_id = ? AND status IN {HELD_SQL} AND run_id = coalesce(?, run_id)"
    sql = f"SELECT count(*) FROM job WHERE {held}"
    return int(connection.execute(sql, [workflow_id, run_id]).fetchone()[0])


def cancel_workflow(connection: Connection, workflow_id: int) -> None:
    """Cancel the workflow and the jobs that workers hold; blocked and ready jobs stay as they are."""
    find(connection, "workflow", workflow_id)
    update(connection, "workflow", workflow_id, {"is_canceled": True})
    sql = f"UPDATE job SET status = 'canceled' WHERE workflow_id = ? AND status IN {HELD_SQL}"
    connection.execute(sql, [workflow_id])
