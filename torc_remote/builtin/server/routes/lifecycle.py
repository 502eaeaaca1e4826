"""From uninitialized to complete: initialize, reset, cancel (torc wire 3.5, 3.6)."""

from fastapi import Query
from fastapi.responses import JSONResponse

from torc_remote.builtin.server import states
from torc_remote.builtin.server.clock import now_ms
from torc_remote.builtin.server.database import Connection, Record, find, insert, record
from torc_remote.builtin.server.routes.context import Db, Id, new_router

router = new_router()


@router.get("/workflows/{workflow_id}/is_complete")
def is_complete(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        workflow = find(connection, "workflow", workflow_id)
        complete = states.is_complete(connection, workflow)
    return JSONResponse({"is_canceled": bool(workflow["is_canceled"]), "is_complete": complete})


@router.get("/workflows/{workflow_id}/is_uninitialized")
def is_uninitialized(db: Db, workflow_id: Id) -> JSONResponse:
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse({"is_uninitialized": states.is_uninitialized(connection, workflow_id)})


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
        states.initialize(connection, workflow_id, only_uninitialized, clear_ephemeral_user_data)
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
        states.reset_workflow(connection, workflow_id, force)
        return JSONResponse(record(find(connection, "workflow", workflow_id)))


@router.post("/workflows/{workflow_id}/reset_job_status")
def reset_job_status(db: Db, workflow_id: Id, failed_only: bool = False) -> JSONResponse:
    with db.write() as connection:
        count = states.reset_jobs(connection, workflow_id, failed_only)
    kind = {"reset_type": "failed_only"} if failed_only else {}
    return JSONResponse(
        {"workflow_id": workflow_id, "updated_count": count, "status": "uninitialized", **kind}
    )


@router.post("/workflows/{workflow_id}/process_changed_job_inputs")
def process_changed_job_inputs(db: Db, workflow_id: Id, dry_run: bool = False) -> JSONResponse:
    with db.write() as connection:
        names = states.reset_changed_jobs(connection, workflow_id, dry_run)
    return JSONResponse({"reinitialized_jobs": names})


@router.put("/workflows/{workflow_id}/cancel")
def cancel(db: Db, workflow_id: Id) -> JSONResponse:
    with db.write() as connection:
        states.cancel_workflow(connection, workflow_id)
        return JSONResponse(record(find(connection, "workflow", workflow_id)))
