"""The summary of a workflow (torc wire 3.6)."""

from torc_remote.builtin.server.models import JOB_STATUSES
from torc_remote.builtin.server.store.database import Connection, Record, find
from torc_remote.builtin.server.workflows import lifecycle


def workflow_status(connection: Connection, workflow_id: int) -> Record:
    """Counts of jobs and nodes, times of the present results; raises the 404 of an unknown workflow."""
    workflow = find(connection, "workflow", workflow_id)
    counts = dict.fromkeys(JOB_STATUSES, 0)
    sql = "SELECT status, count(*) FROM job WHERE workflow_id = ? GROUP BY status"
    counts.update({row[0]: row[1] for row in connection.execute(sql, [workflow_id])})
    return {
        "workflow_id": workflow_id,
        "workflow_name": workflow["name"],
        "workflow_user": workflow["user"],
        "total_jobs": sum(counts.values()),
        "jobs_by_status": counts,
        **_times(connection, workflow_id),
        "active_compute_nodes": _active_nodes(connection, workflow_id),
        "pending_scheduled_nodes": 0,
        "active_scheduled_nodes": 0,
        "is_complete": lifecycle.is_complete(connection, workflow),
        "is_canceled": bool(workflow["is_canceled"]),
        "runtime_blocked_ready_jobs": 0,
    }


def _times(connection: Connection, workflow_id: int) -> Record:
    # bounded, since older versions stored any number, and JSON has no infinite one
    total, walltime_days = connection.execute(
        """SELECT total(minutes), max(day) - min(day - minutes / 1440) FROM (
               SELECT julianday(completion_time) AS day, max(-1e15, min(1e15, exec_time_minutes)) AS minutes
               FROM result JOIN job ON job.result_id = result.id WHERE result.workflow_id = ?)""",
        [workflow_id],
    ).fetchone()
    walltime = {} if walltime_days is None else {"walltime_seconds": walltime_days * 86400}
    return {"total_exec_time_minutes": total, **walltime}


def _active_nodes(connection: Connection, workflow_id: int) -> int:
    sql = "SELECT count(*) FROM compute_node WHERE workflow_id = ? AND is_active"
    return int(connection.execute(sql, [workflow_id]).fetchone()[0])
