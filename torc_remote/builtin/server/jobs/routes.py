"""Jobs: create, read, claim, start, complete (torc wire 3.4, 3.6, 4.2)."""

from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.http.listing import IntQuery, PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, Id, new_router
from torc_remote.builtin.server.jobs import attempts
from torc_remote.builtin.server.jobs.claims import claim_fitting, claim_next
from torc_remote.builtin.server.jobs.records import (
    add_relations,
    create_jobs,
    find_job,
    job_view,
    label_list,
    labels_fit,
)
from torc_remote.builtin.server.models import (
    INT64_MAX,
    INT64_MIN,
    Completion,
    CompletionsBody,
    FreeResources,
    JobsBody,
    JobStatus,
    ResultBody,
)

router = new_router()

_DEFAULT_CLAIM = 10


@router.post("/bulk_jobs")
def create(db: Db, body: JobsBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse({"jobs": create_jobs(connection, body.jobs)})


@router.get("/jobs")
def list_jobs(
    db: Db,
    page: PageQuery,
    workflow_id: Annotated[int, Query(ge=INT64_MIN, le=INT64_MAX)],
    status: JobStatus | None = None,
    needs_file_id: IntQuery = None,
    upstream_job_id: IntQuery = None,
    active_compute_node_id: IntQuery = None,
    origin_is_set: bool | None = None,
    name: str | None = None,
    command: str | None = None,
    labels: str | None = None,
    include_relationships: bool = False,
) -> JSONResponse:
    """Filters: `name` and `command` a part of it; `labels` what a worker with these labels would claim."""
    wanted = None if labels is None else label_list(labels)
    conditions = {
        "status = ?": status,
        "id IN (SELECT job_id FROM job_file WHERE file_id = ? AND NOT is_output)": needs_file_id,
        "id IN (SELECT job_id FROM job_depends_on WHERE depends_on_job_id = ?)": upstream_job_id,
        "compute_node_id = ?": active_compute_node_id,
        "(origin IS NOT NULL) = ?": origin_is_set,
        "instr(lower(name), lower(?)) > 0": name,
        "instr(lower(command), lower(?)) > 0": command,
        labels_fit(wanted or "", "?"): wanted,
    }
    with db.read() as connection:
        found = fetch_of_workflow(connection, "job", workflow_id, conditions, page, job_view)
        if include_relationships:
            add_relations(connection, found["items"])
    return JSONResponse(found)


@router.get("/jobs/{job_id}")
def get_job(db: Db, job_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(find_job(connection, job_id))


@router.post("/workflows/{workflow_id}/claim_jobs_based_on_resources/{limit}")
def claim_jobs_based_on_resources(
    db: Db, workflow_id: Id, limit: Id, body: FreeResources, compute_node_id: IntQuery = None
) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(claim_fitting(connection, workflow_id, body, limit, compute_node_id))


@router.post("/workflows/{workflow_id}/claim_next_jobs")
def claim_next_jobs(
    db: Db,
    workflow_id: Id,
    limit: Annotated[int, Query(ge=INT64_MIN, le=INT64_MAX)] = _DEFAULT_CLAIM,
    labels: str = "",
    compute_node_id: IntQuery = None,
) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(claim_next(connection, workflow_id, labels, limit, compute_node_id))


@router.put("/jobs/{job_id}/start_job/{run_id}/{compute_node_id}")
def start_job(db: Db, job_id: Id, run_id: Id, compute_node_id: Id) -> JSONResponse:
    """The answer lacks start time and node, as torc's does."""
    with db.write() as connection:
        attempts.start_job(connection, job_id, run_id, compute_node_id)
        view = find_job(connection, job_id)
    del view["start_time"], view["compute_node_id"]
    return JSONResponse(view)


@router.put("/jobs/{job_id}/manage_status_change/{status}/{run_id}")
def manage_status_change(
    db: Db, job_id: Id, status: Annotated[JobStatus, Path()], run_id: Id, compute_node_id: IntQuery = None
) -> JSONResponse:
    with db.write() as connection:
        attempts.change_status(connection, job_id, status, run_id, compute_node_id)
        return JSONResponse(find_job(connection, job_id))


@router.post("/jobs/{job_id}/retry/{run_id}")
def retry(
    db: Db,
    job_id: Id,
    run_id: Id,
    max_retries: Annotated[int, Query(ge=INT64_MIN, le=INT64_MAX)],
    compute_node_id: IntQuery = None,
) -> JSONResponse:
    with db.write() as connection:
        attempts.retry(connection, job_id, run_id, max_retries, compute_node_id)
        return JSONResponse(find_job(connection, job_id))


@router.post("/jobs/{job_id}/complete_job/{status}/{run_id}")
def complete_job(
    db: Db, job_id: Id, status: Annotated[JobStatus, Path()], run_id: Id, body: ResultBody
) -> JSONResponse:
    """The answer still has start time and node of the attempt, as torc's does. 422 if it can't be taken."""
    completion = Completion(job_id=job_id, status=status, run_id=run_id, result=body)
    with db.write() as connection:
        before = find_job(connection, job_id)
        answer = attempts.complete_all(connection, before["workflow_id"], [completion])
        if answer["errors"]:
            raise invalid(answer["errors"][0]["message"])
    return JSONResponse({**before, "status": status})


@router.post("/workflows/{workflow_id}/batch_complete_jobs")
def batch_complete_jobs(db: Db, workflow_id: Id, body: CompletionsBody) -> JSONResponse:
    """Take what can be taken, unblock the dependants at once, and say why the rest is refused."""
    with db.write() as connection:
        return JSONResponse(attempts.complete_all(connection, workflow_id, body.completions))
