"""What one job's end or reset means for those after it (torc wire 4.6).

Every function works inside a transaction of its caller.
"""

import json
import sqlite3
from collections.abc import Collection
from typing import Any

from torc_remote.builtin.server.jobs.statuses import COMPLETE_SQL, RESET_SQL, UNTOUCHED_SQL
from torc_remote.builtin.server.store.database import Connection


def unblock(connection: Connection, workflow_id: int, finished: Collection[int] | None) -> None:
    """Decide the blocked jobs whose last dependency is complete: canceled or ready.

    `finished` are the jobs whose dependants are looked at (None: all of the workflow). A job becomes canceled
    if it asks for that and a dependency was canceled, terminated, or failed with a return code other than 0;
    what is canceled so is finished in its turn.
    """
    while finished is None or finished:
        decided = _decide(connection, workflow_id, finished)
        connection.executemany(
            "UPDATE job SET status = ? WHERE id = ?", [(row["status"], row["id"]) for row in decided]
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
                WHERE edge.job_id = job.id AND needed.status NOT IN {COMPLETE_SQL}
                ORDER BY edge.depends_on_job_id DESC LIMIT 1) IS NULL""",
        values,
    ).fetchall()


def reset_below_uninitialized(connection: Connection, workflow_id: int) -> None:
    """What was done after jobs that are to run again is to be done again."""
    connection.execute(
        f"""WITH RECURSIVE again (id) AS (
                SELECT id FROM job WHERE workflow_id = ? AND status = 'uninitialized'
                UNION SELECT job_id FROM job_depends_on JOIN again ON depends_on_job_id = again.id)
            UPDATE job SET {RESET_SQL} WHERE id IN (SELECT id FROM again) AND status NOT IN {UNTOUCHED_SQL}""",
        [workflow_id],
    )


def reset_downstream(connection: Connection, job_id: int) -> None:
    connection.execute(
        f"""WITH RECURSIVE downstream (id) AS (
                SELECT job_id FROM job_depends_on WHERE depends_on_job_id = ?
                UNION SELECT job_id FROM job_depends_on JOIN downstream ON depends_on_job_id = downstream.id)
            UPDATE job SET {RESET_SQL} WHERE id IN (SELECT id FROM downstream) AND status IN {COMPLETE_SQL}""",
        [job_id],
    )
