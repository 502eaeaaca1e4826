"""Workflows: create, read, list, delete, initialize, reset, cancel (torc wire 3.4, 3.5, 3.6)."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.clock import now_ms, now_zulu
from torc_remote.builtin.server.errors import invalid, not_served
from torc_remote.builtin.server.http.listing import PageQuery, fetch_page
from torc_remote.builtin.server.http.routing import Db, Id, new_router
from torc_remote.builtin.server.jobs.records import is_env_name
from torc_remote.builtin.server.models import WorkflowBody
from torc_remote.builtin.server.resource_requirements.records import create_requirements, default_requirements
from torc_remote.builtin.server.store.database import Connection, Record, find, insert, record
from torc_remote.builtin.server.workflows import lifecycle
from torc_remote.builtin.server.workflows.status import workflow_status

router = new_router()

_BEYOND_US = ("dynamic_jobs", "access_groups", "use_pending_failed", "enable_ro_crate")


@router.post("/workflows")
def create_workflow(db: Db, body: WorkflowBody, request: Request) -> JSONResponse:
    """With authentication the owner is the authenticated user, whatever the body says."""
    values = body.given()
    for name in _BEYOND_US:
        if values.get(name) not in (None, False, []):
            raise not_served(f"'{name}'")
    values.pop("access_groups", None)
    for name in body.env or ():
        if not is_env_name(name):
            raise invalid(f"'{name}' is no name for an environment variable", field="env")
    values |= {"user": request.scope.get("torc_user", body.user), "timestamp": now_zulu()}
    with db.write() as connection:
        workflow_id = insert(connection, "workflow", values)
        create_requirements(connection, default_requirements(workflow_id))
    return JSONResponse({"id": workflow_id, **values})


@router.get("/workflows")
def list_workflows(
    db: Db,
    page: PageQuery,
    user: str | None = None,
    name: str | None = None,
    description: str | None = None,
    is_archived: bool | None = None,
    access_group: Annotated[str | None, Query()] = None,
) -> JSONResponse:
    """Filters: `name` exact, `description` a part of it."""
    if access_group is not None:
        raise not_served("access groups")
    conditions = {
        "1 = ?": 1,
        "user = ?": user,
        "name = ?": name,
        "instr(lower(description), lower(?)) > 0": description,
        "is_archived = ?": is_archived,
    }
    with db.read() as connection:
        return JSONResponse(fetch_page(connection, "workflow", conditions, page))


@router.get("/workflows/{workflow_id}")
def get_workflow(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "workflow", workflow_id)))


@router.delete("/workflows/{workflow_id}")
def delete_workflow(db: Db, workflow_id: Id) -> JSONResponse:
    """Everything that belongs to the workflow goes with it."""
    with db.write() as connection:
        deleted: Record = record(find(connection, "workflow", workflow_id))
        connection.execute("DELETE FROM workflow WHERE id = ?", [workflow_id])
    return JSONResponse(deleted)


@router.get("/workflows/{workflow_id}/status")
def get_status(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(workflow_status(connection, workflow_id))


@router.get("/workflows/{workflow_id}/is_complete")
def is_complete(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        workflow = find(connection, "workflow", workflow_id)
        complete = lifecycle.is_complete(connection, workflow)
    return JSONResponse({"is_canceled": bool(workflow["is_canceled"]), "is_complete": complete})


@router.get("/workflows/{workflow_id}/is_uninitialized")
def is_uninitialized(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse({"is_uninitialized": lifecycle.is_uninitialized(connection, workflow_id)})


@router.post("/workflows/{workflow_id}/initialize_jobs")
def initialize_jobs(
    db: Db,
    workflow_id: Id,
    only_uninitialized: bool = False,
    clear_ephemeral_user_data: bool = False,
    as_task: bool = Query(default=False, alias="async"),
) -> JSONResponse:
    """202 with a task for ``async=true``: as torc answers it, queued, although the work is done by then."""
    begun = now_ms()
    with db.write() as connection:
        lifecycle.initialize(connection, workflow_id, only_uninitialized, clear_ephemeral_user_data)
        if as_task:
            return JSONResponse(_finished_task(connection, workflow_id, begun), 202)
    return JSONResponse({"message": "Initialized job status"})


def _finished_task(connection: Connection, workflow_id: int, begun: int) -> Record:
    queued = {
        "workflow_id": workflow_id,
        "operation": "initialize_jobs",
        "status": "queued",
        "created_at_ms": begun,
    }
    finished = {"status": "succeeded", "started_at_ms": begun, "finished_at_ms": now_ms()}
    return {"id": insert(connection, "task", queued | finished), **queued}


@router.get("/tasks/{task_id}")
def get_task(db: Db, task_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "task", task_id)))


@router.get("/workflows/{workflow_id}/active_task")
def active_task(db: Db, workflow_id: Id) -> JSONResponse:
    """Always none: a task is finished when its request is answered."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
    return JSONResponse({"task": None})


@router.post("/workflows/{workflow_id}/reset_status")
def reset_status(db: Db, workflow_id: Id, force: bool = False) -> JSONResponse:
    with db.write() as connection:
        lifecycle.reset_workflow(connection, workflow_id, force)
        return JSONResponse(record(find(connection, "workflow", workflow_id)))


@router.post("/workflows/{workflow_id}/reset_job_status")
def reset_job_status(db: Db, workflow_id: Id, failed_only: bool = False) -> JSONResponse:
    with db.write() as connection:
        count = lifecycle.reset_jobs(connection, workflow_id, failed_only)
    kind = {"reset_type": "failed_only"} if failed_only else {}
    return JSONResponse(
        {"workflow_id": workflow_id, "updated_count": count, "status": "uninitialized", **kind}
    )


@router.post("/workflows/{workflow_id}/process_changed_job_inputs")
def process_changed_job_inputs(db: Db, workflow_id: Id, dry_run: bool = False) -> JSONResponse:
    with db.write() as connection:
        names = lifecycle.reset_changed_jobs(connection, workflow_id, dry_run)
    return JSONResponse({"reinitialized_jobs": names})


@router.put("/workflows/{workflow_id}/cancel")
def cancel(db: Db, workflow_id: Id) -> JSONResponse:
    with db.write() as connection:
        lifecycle.cancel_workflow(connection, workflow_id)
        return JSONResponse(record(find(connection, "workflow", workflow_id)))
