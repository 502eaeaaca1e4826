"""Handing ready jobs to workers: each job to exactly one (torc wire 4.2)."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from torc_remote.builtin.server.database import Connection, Record, find, update
from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.holders import check_node
from torc_remote.builtin.server.jobs import OUTPUTS, add_relations, claimed_view, label_list, labels_fit
from torc_remote.builtin.server.models import FreeResources
from torc_remote.builtin.server.units import duration_seconds

_GIB = 2**30
# A worker asks for more only when it has started all that it was given. So what is pending in its name belongs to an
# answer that got lost, and is given to it once more.
_OURS = "job.status = 'pending' AND job.compute_node_id = :holder AND job.run_id = :run_id"
_CLAIMABLE = f"""SELECT job.id, needs.num_cpus, needs.num_gpus, needs.memory_bytes
    FROM job JOIN resource_requirements needs ON needs.id = job.resource_requirements_id
    WHERE job.workflow_id = :workflow_id AND job.status IN ('pending', 'ready')
    AND (job.status = 'ready' OR {_OURS}) AND"""
_FITS = """AND needs.num_cpus <= :num_cpus AND needs.num_gpus <= :num_gpus AND needs.num_nodes <= :num_nodes
    AND needs.memory_bytes <= :memory_bytes AND (:seconds IS NULL OR needs.runtime_seconds <= :seconds)"""
_BY_SIZE = """ORDER BY job.status, job.priority DESC, needs.num_gpus DESC, needs.runtime_seconds DESC,
    needs.memory_bytes DESC, needs.num_cpus DESC, job.id"""
_BY_PRIORITY = "ORDER BY job.status, job.priority DESC, job.id"


def claim_fitting(
    connection: Connection, workflow_id: int, free: FreeResources, limit: int, holder: int | None = None
) -> Record:
    """Claim at most `limit` ready jobs that fit together into the free resources, for the compute node `holder`.

    Raises 404 for an unknown workflow and 422 for a time limit that is no duration or a node that can't work.
    """
    seconds = _time_limit(free.time_limit)
    workflow = _workflow(connection, workflow_id, holder)
    memory = max(0, min(free.memory_gb * _GIB, 2.0**62))
    values = {**free.model_dump(), "memory_bytes": int(memory), "seconds": seconds}
    labels = json.dumps(free.labels or [])
    values |= {"workflow_id": workflow_id, "labels": labels, "holder": holder, "run_id": workflow["run_id"]}
    rows = connection.execute(f"{_CLAIMABLE} {labels_fit(labels, ':labels')} {_FITS} {_BY_SIZE}", values)
    return _claim(connection, workflow, _pack(rows, free.num_cpus, free.num_gpus, int(memory), limit), holder)


def claim_next(
    connection: Connection, workflow_id: int, labels: str, limit: int, holder: int | None = None
) -> Record:
    """Claim at most `limit` ready jobs whatever they need; `labels` are separated by commas.

    Raises 404 for an unknown workflow and 422 for a compute node that can't work.
    """
    workflow = _workflow(connection, workflow_id, holder)
    wanted = label_list(labels)
    values = {"workflow_id": workflow_id, "labels": wanted, "limit": max(0, limit)}
    values |= {"holder": holder, "run_id": workflow["run_id"]}
    sql = f"{_CLAIMABLE} {labels_fit(wanted, ':labels')} {_BY_PRIORITY} LIMIT :limit"
    rows = connection.execute(sql, values)
    return _claim(connection, workflow, [row["id"] for row in rows], holder)


def _workflow(connection: Connection, workflow_id: int, holder: int | None) -> sqlite3.Row:
    """The workflow, for which the compute node may claim."""
    workflow = find(connection, "workflow", workflow_id)
    if holder is not None:
        check_node(connection, workflow_id, holder)
    return workflow


def _pack(rows: Iterable[sqlite3.Row], cpus: int, gpus: int, memory: int, limit: int) -> list[int]:
    chosen: list[int] = []
    for row in rows:
        if len(chosen) >= limit or cpus <= 0:
            break
        if row["num_cpus"] <= cpus and row["num_gpus"] <= gpus and row["memory_bytes"] <= memory:
            cpus, gpus, memory = cpus - row["num_cpus"], gpus - row["num_gpus"], memory - row["memory_bytes"]
            chosen.append(row["id"])
    return chosen


def _claim(
    connection: Connection, workflow: sqlite3.Row, job_ids: Sequence[int], holder: int | None
) -> Record:
    if workflow["is_canceled"]:
        return {"jobs": [], "reason": "Workflow is canceled"}
    views = []
    for job_id in job_ids:
        held = {"status": "pending", "run_id": workflow["run_id"], "compute_node_id": holder}
        update(connection, "job", job_id, held)
        views.append(claimed_view(find(connection, "job", job_id)))
    if views:
        add_relations(connection, views, OUTPUTS)
    return {"jobs": views}


def _time_limit(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration_seconds(text)
    except ValueError as error:
        message = f"Invalid time_limit format '{text}': {error}"
        raise invalid(message, field="time_limit", value=text) from error
