"""Workflows: create, read, list, delete (torc wire 3.4, 3.6)."""

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.clock import now_zulu
from torc_remote.builtin.server.database import Record, find, insert, record
from torc_remote.builtin.server.errors import invalid, not_served
from torc_remote.builtin.server.jobs import is_env_name
from torc_remote.builtin.server.listing import PageQuery, fetch_page
from torc_remote.builtin.server.models import WorkflowBody
from torc_remote.builtin.server.requirements import create_requirements, default_requirements
from torc_remote.builtin.server.routes.context import Db, Id, new_router
from torc_remote.builtin.server.status import workflow_status

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
