"""The plain records of a workflow: resource requirements, compute nodes, results, events, remote workers."""

from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.database import find, insert, record, update
from torc_remote.builtin.server.errors import ApiError, invalid, not_served
from torc_remote.builtin.server.events import create_event
from torc_remote.builtin.server.holders import give_back
from torc_remote.builtin.server.listing import IntQuery, PageQuery, fetch_page
from torc_remote.builtin.server.models import (
    INT64_MAX,
    INT64_MIN,
    ComputeNodeBody,
    EventBody,
    JobStatus,
    ResourceRequirementsBody,
    ResultBody,
    WorkerTokenBody,
)
from torc_remote.builtin.server.requirements import create_requirements, requirements_view
from torc_remote.builtin.server.routes.context import Db, Id, new_router
from torc_remote.builtin.server.states import fence
from torc_remote.builtin.server.worker_tokens import issue, register, revoke

router = new_router()

WorkflowQuery = Annotated[int, Query(ge=INT64_MIN, le=INT64_MAX)]


@router.post("/resource_requirements")
def create_resource_requirements(db: Db, body: ResourceRequirementsBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(create_requirements(connection, body))


@router.get("/resource_requirements")
def list_resource_requirements(
    db: Db, page: PageQuery, workflow_id: WorkflowQuery, name: str | None = None
) -> JSONResponse:
    conditions = {"workflow_id = ?": workflow_id, "name = ?": name}
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse(
            fetch_page(connection, "resource_requirements", conditions, page, requirements_view)
        )


@router.get("/resource_requirements/{requirements_id}")
def get_resource_requirements(db: Db, requirements_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(requirements_view(find(connection, "resource_requirements", requirements_id)))


@router.post("/compute_nodes")
def create_compute_node(db: Db, body: ComputeNodeBody, request: Request) -> JSONResponse:
    with db.write() as connection:
        find(connection, "workflow", body.workflow_id)
        values = body.given()
        node_id = insert(connection, "compute_node", values)
        if token := request.scope.get("torc_worker"):
            register(connection, token, node_id)
        return JSONResponse({"id": node_id, **values})


@router.get("/compute_nodes")
def list_compute_nodes(
    db: Db,
    page: PageQuery,
    workflow_id: WorkflowQuery,
    hostname: str | None = None,
    is_active: bool | None = None,
    scheduled_compute_node_id: IntQuery = None,
) -> JSONResponse:
    conditions = {
        "workflow_id = ?": workflow_id,
        "hostname = ?": hostname,
        "is_active = ?": is_active,
        "json_extract(scheduler, '$.scheduled_compute_node_id') = ?": scheduled_compute_node_id,
    }
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse(fetch_page(connection, "compute_node", conditions, page))


@router.get("/compute_nodes/{node_id}")
def get_compute_node(db: Db, node_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "compute_node", node_id)))


@router.put("/compute_nodes/{node_id}")
def update_compute_node(db: Db, node_id: Id, body: ComputeNodeBody) -> JSONResponse:
    with db.write() as connection:
        node = find(connection, "compute_node", node_id)
        if body.workflow_id != node["workflow_id"]:
            raise invalid(f"Compute node {node_id} belongs to workflow {node['workflow_id']}")
        update(connection, "compute_node", node_id, body.given())
        if body.is_active is False:
            give_back(connection, node)
            revoke(connection, node_id)
        return JSONResponse(record(find(connection, "compute_node", node_id)))


@router.delete("/compute_nodes/{node_id}")
def delete_compute_node(db: Db, node_id: Id) -> JSONResponse:
    with db.write() as connection:
        deleted = find(connection, "compute_node", node_id)
        connection.execute("DELETE FROM compute_node WHERE id = ?", [node_id])
        give_back(connection, deleted)
        revoke(connection, node_id)
    return JSONResponse(record(deleted))


@router.get("/results")
def list_results(
    db: Db,
    page: PageQuery,
    workflow_id: WorkflowQuery,
    job_id: IntQuery = None,
    run_id: IntQuery = None,
    return_code: IntQuery = None,
    compute_node_id: IntQuery = None,
    status: JobStatus | None = None,
    all_runs: bool = False,
) -> JSONResponse:
    """Without `all_runs` only the result of each job's present state."""
    conditions = {
        "result.workflow_id = ?": workflow_id,
        "result.job_id = ?": job_id,
        "result.run_id = ?": run_id,
        "result.return_code = ?": return_code,
        "result.compute_node_id = ?": compute_node_id,
        "result.status = ?": status,
        "? OR job.result_id IS result.id": all_runs,
    }
    with_name = "result.*, job.name AS job_name FROM result JOIN job ON job.id = result.job_id"
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse(fetch_page(connection, "result", conditions, page, extra=with_name))


@router.post("/results")
def create_result(db: Db, body: ResultBody) -> JSONResponse:
    """The answer to a worker's death: see states.fence."""
    with db.write() as connection:
        return JSONResponse(fence(connection, body))


@router.get("/results/{result_id}")
def get_result(db: Db, result_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "result", result_id)))


@router.post("/events")
def post_event(db: Db, body: EventBody) -> JSONResponse:
    with db.write() as connection:
        find(connection, "workflow", body.workflow_id)
        return JSONResponse(create_event(connection, body.workflow_id, body.data))


@router.get("/events")
def list_events(
    db: Db,
    page: PageQuery,
    workflow_id: WorkflowQuery,
    category: str | None = None,
    after_timestamp: IntQuery = None,
) -> JSONResponse:
    conditions = {
        "workflow_id = ?": workflow_id,
        "json_extract(data, '$.category') = ?": category,
        "timestamp > ?": after_timestamp,
    }
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        return JSONResponse(fetch_page(connection, "event", conditions, page))


@router.get("/workflows/{workflow_id}/remote_workers")
def list_remote_workers(db: Db, workflow_id: Id) -> JSONResponse:
    """A bare array in text order (torc wire 3.3)."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        sql = "SELECT worker, workflow_id FROM remote_worker WHERE workflow_id = ? ORDER BY worker"
        return JSONResponse([record(row) for row in connection.execute(sql, [workflow_id])])


@router.post("/workflows/{workflow_id}/worker_tokens")
def create_worker_token(db: Db, workflow_id: Id, body: WorkerTokenBody, request: Request) -> JSONResponse:
    """Not torc's: a credential for the worker of one host. 501 where there is no password to keep from it."""
    if not request.app.state.has_password:
        raise not_served("tokens for workers without a password")
    with db.write() as connection:
        return JSONResponse({"token": issue(connection, workflow_id, body.host)})


@router.post("/workflows/{workflow_id}/remote_workers")
def add_remote_workers(db: Db, workflow_id: Id, workers: list[str]) -> JSONResponse:
    """Texts are stored as they are; the answer echoes all, old and double ones too (torc wire 3.3)."""
    rows = [{"worker": worker, "workflow_id": workflow_id} for worker in workers]
    with db.write() as connection:
        find(connection, "workflow", workflow_id)
        connection.executemany("INSERT OR IGNORE INTO remote_worker VALUES (:worker, :workflow_id)", rows)
    return JSONResponse(rows)


@router.delete("/workflows/{workflow_id}/remote_workers/{worker:path}")
def remove_remote_worker(db: Db, workflow_id: Id, worker: str) -> Response:
    if not worker:
        return Response(status_code=404)
    with db.write() as connection:
        find(connection, "workflow", workflow_id)
        sql = "DELETE FROM remote_worker WHERE workflow_id = ? AND worker = ?"
        if not connection.execute(sql, [workflow_id, worker]).rowcount:
            raise ApiError(404, {"message": f"Worker '{worker}' not found for workflow {workflow_id}"})
    return JSONResponse({"worker": worker, "workflow_id": workflow_id})
