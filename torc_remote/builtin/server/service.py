"""The server itself, what clients ask in passing, and the refusal of everything else."""

from fastapi import Request
from fastapi.responses import JSONResponse

from torc_remote import __version__
from torc_remote.builtin.server.errors import not_served
from torc_remote.builtin.server.http.listing import page_of
from torc_remote.builtin.server.http.routing import Db, Id, WorkflowQuery, new_router
from torc_remote.builtin.server.store.database import find

router = new_router()

# The version of torc's HTTP API that is spoken; clients compare it with their own (torc wire 5).
API_VERSION = "0.23.0"


@router.get("/ping")
async def ping() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get("/version")
async def version() -> JSONResponse:
    """The first word of `version` is what workers must have."""
    return JSONResponse(
        {"version": f"{__version__} (torc-remote)", "api_version": API_VERSION, "git_hash": "unknown"}
    )


@router.get("/workflows/{workflow_id}/actions")
@router.get("/workflows/{workflow_id}/actions/pending")
def no_actions(db: Db, workflow_id: Id) -> JSONResponse:
    """None: actions can't be created here."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
    return JSONResponse([])


@router.get("/workflows/{workflow_id}/ro_crate_entities")
@router.get("/workflows/{workflow_id}/failure_handlers")
def nothing_of_workflow(db: Db, workflow_id: Id) -> JSONResponse:
    """None: these can't be created here."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
    return JSONResponse(page_of([]))


@router.get("/scheduled_compute_nodes")
@router.get("/slurm_schedulers")
def nothing_scheduled(db: Db, workflow_id: WorkflowQuery) -> JSONResponse:
    """None: there is no scheduler."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
    return JSONResponse(page_of([]))


@router.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def refuse(request: Request, path: str) -> JSONResponse:
    """Torc's other endpoints."""
    raise not_served(f"{request.method} /{path}")
