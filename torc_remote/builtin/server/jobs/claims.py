"""Handing ready jobs to workers: each job to exactly one (torc wire 4.2)."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.jobs.holders import check_node
from torc_remote.builtin.server.jobs.records import (
    OUTPUTS,
    add_relations,
    claimed_view,
    label_list,
    labels_fit,
)
from torc_remote.builtin.server.models import FreeResources
from torc_remote.builtin.server.resource_requirements.units import duration_seconds
from torc_remote.builtin.server.store.database import Connection, Record, find

_GIB = 2**30
# Jobs with the same needs and labels are of one kind. All jobs of a kind fit or none does, and the best ones are taken
# first: so a claim looks at no more than `limit` jobs of each kind, however many are ready.
#
# A worker asks for more only when it has started all that it was given. So what is pending in its name belongs to an
# answer that got lost, and is given to it once more.
_FIRST_KIND = "ORDER BY resource_requirements_id, labels LIMIT 1"
_READY = "SELECT id FROM job WHERE workflow_id = :workflow_id AND status = 'ready'"
_CLAIMABLE = f"""WITH RECURSIVE kind (needs_id, labels) AS (
        SELECT resource_requirements_id, labels FROM job WHERE id = ({_READY} {_FIRST_KIND})
        UNION ALL SELECT resource_requirements_id, job.labels FROM kind JOIN job ON job.id = coalesce(
            ({_READY} AND resource_requirements_id = kind.needs_id AND labels > kind.labels {_FIRST_KIND}),
            ({_READY} AND resource_requirements_id > kind.needs_id {_FIRST_KIND}))),
    best (id) AS (
        SELECT job.id FROM kind JOIN job ON job.id IN (
            {_READY} AND resource_requirements_id = kind.needs_id AND labels = kind.labels
            ORDER BY priority DESC, id LIMIT :limit)
        UNION ALL SELECT id FROM job WHERE workflow_id = :workflow_id AND status = 'pending'
            AND compute_node_id = :holder AND run_id = :run_id)
    SELECT job.id, needs.num_cpus, needs.num_gpus, needs.memory_bytes
    FROM best JOIN job ON job.id = best.id JOIN resource_requirements needs ON needs.id = job.resource_requirements_id
    WHERE"""
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
    values["limit"] = max(0, limit)
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
    if not job_ids:
        return {"jobs": []}
    held = {"ids": json.dumps(job_ids), "run_id": workflow["run_id"], "holder": holder}
    rows = connection.execute(
        """UPDATE job SET status = 'pending', run_id = :run_id, compute_node_id = :holder
           WHERE id IN (SELECT value FROM json_each(:ids)) RETURNING *""",
        held,
    )
    claimed = {row["id"]: claimed_view(row) for row in rows}
    views = [claimed[job_id] for job_id in job_ids]
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
