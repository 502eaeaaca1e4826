"""Compute nodes: register, read, change, delete (torc wire 3.6, 4.1)."""

from fastapi import Request
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.access.tokens import register, revoke
from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.http.listing import IntQuery, PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, Id, WorkflowQuery, new_router
from torc_remote.builtin.server.jobs.holders import give_back
from torc_remote.builtin.server.models import ComputeNodeBody
from torc_remote.builtin.server.store.database import find, insert, record, update

router = new_router()


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
        "hostname = ?": hostname,
        "is_active = ?": is_active,
        "json_extract(scheduler, '$.scheduled_compute_node_id') = ?": scheduled_compute_node_id,
    }
    with db.read() as connection:
        return JSONResponse(fetch_of_workflow(connection, "compute_node", workflow_id, conditions, page))


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
