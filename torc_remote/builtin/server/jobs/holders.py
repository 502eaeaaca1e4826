"""Which worker has a job: from the claim on its compute node is the job's holder, and only the holder changes it.

Torc's own worker does not name its node when it claims, so that the holder of such a job is unknown until it starts.
"""

import sqlite3

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.store.database import Connection, find


def check_node(connection: Connection, workflow_id: int, node_id: int) -> None:
    """Raises 404 or 422 unless this compute node is at work on the workflow."""
    node = find(connection, "compute_node", node_id)
    if node["workflow_id"] != workflow_id:
        raise invalid(f"Compute node {node_id} works on another workflow than {workflow_id}")
    if node["is_active"] == 0:
        raise invalid(f"Compute node {node_id} is inactive: its worker is thought to be gone")


def check_holder(job: sqlite3.Row, node_id: int | None) -> None:
    """Raises 422 unless this compute node may change the job; None: the client named none.

    One that is named must be the holder, or the job be pending without a known one.
    """
    holder = job["compute_node_id"]
    unknown = holder is None and job["status"] == "pending"
    if holder != node_id and not unknown:
        who = f"compute node {holder}" if holder is not None else "no compute node"
        raise invalid(f"job_id={job['id']} (status={job['status']}) is held by {who}, which alone changes it")


def give_back(connection: Connection, node: sqlite3.Row) -> None:
    """The compute node works no more: what its worker had claimed and not started becomes ready again.

    When no node of the workflow is left at work, so does what was claimed by nobody knows whom: only a node that is
    active can start a job.
    """
    workflow_id = node["workflow_id"]
    connection.execute(
        """UPDATE job SET status = 'ready', compute_node_id = NULL, run_id = NULL
           WHERE workflow_id = :workflow AND status = 'pending' AND (compute_node_id = :node
           OR compute_node_id IS NULL AND NOT EXISTS (
               SELECT 1 FROM compute_node WHERE workflow_id = :workflow AND coalesce(is_active, 1) AND id != :node))""",
        {"workflow": workflow_id, "node": node["id"]},
    )
