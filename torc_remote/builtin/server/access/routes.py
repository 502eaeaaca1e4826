"""Credentials for single workers, which torc-server does not give."""

from fastapi import Request
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.access.tokens import issue
from torc_remote.builtin.server.errors import not_served
from torc_remote.builtin.server.http.routing import Db, Id, new_router
from torc_remote.builtin.server.models import WorkerTokenBody

router = new_router()


@router.post("/workflows/{workflow_id}/worker_tokens")
def create_worker_token(db: Db, workflow_id: Id, body: WorkerTokenBody, request: Request) -> JSONResponse:
    """Not torc's: a credential for the worker of one host. 501 where there is no password to keep from it."""
    if not request.app.state.has_password:
        raise not_served("tokens for workers without a password")
    with db.write() as connection:
        return JSONResponse({"token": issue(connection, workflow_id, body.host)})
