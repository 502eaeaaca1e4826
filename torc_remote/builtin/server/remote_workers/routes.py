"""Remote workers: list, add, remove (torc wire 3.3)."""

from fastapi import Response
from fastapi.responses import JSONResponse

from torc_remote.builtin.server.errors import ApiError
from torc_remote.builtin.server.http.routing import Db, Id, new_router
from torc_remote.builtin.server.store.database import find, record

router = new_router()


@router.get("/workflows/{workflow_id}/remote_workers")
def list_remote_workers(db: Db, workflow_id: Id) -> JSONResponse:
    """A bare array in text order (torc wire 3.3)."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        sql = "SELECT worker, workflow_id FROM remote_worker WHERE workflow_id = ? ORDER BY worker"
        return JSONResponse([record(row) for row in connection.execute(sql, [workflow_id])])


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
