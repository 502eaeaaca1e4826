"""Files and user data: what jobs need and what they make (torc wire 3.4, 3.5)."""

from fastapi.responses import JSONResponse

from torc_remote.builtin.server.data.records import create_named, update_named
from torc_remote.builtin.server.http.listing import IntQuery, PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, Id, WorkflowQuery, new_router
from torc_remote.builtin.server.models import FileBody, FilesBody, UserDataBody, UserDataListBody
from torc_remote.builtin.server.store.database import find, record

router = new_router()


@router.post("/bulk_files")
def create_files(db: Db, body: FilesBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse({"files": create_named(connection, "file", body.files)})


@router.get("/files")
def list_files(
    db: Db,
    page: PageQuery,
    workflow_id: WorkflowQuery,
    produced_by_job_id: IntQuery = None,
    name: str | None = None,
    path: str | None = None,
    is_output: bool | None = None,
) -> JSONResponse:
    conditions = {
        "id IN (SELECT file_id FROM job_file WHERE job_id = ? AND is_output)": produced_by_job_id,
        "name = ?": name,
        "path = ?": path,
        "EXISTS (SELECT 1 FROM job_file WHERE file_id = file.id AND is_output) = ?": is_output,
    }
    with db.read() as connection:
        return JSONResponse(fetch_of_workflow(connection, "file", workflow_id, conditions, page))


@router.get("/files/{file_id}")
def get_file(db: Db, file_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "file", file_id)))


@router.put("/files/{file_id}")
def update_file(db: Db, file_id: Id, body: FileBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(update_named(connection, "file", file_id, body))


@router.get("/workflows/{workflow_id}/required_existing_files")
def required_existing_files(db: Db, workflow_id: Id) -> JSONResponse:
    """Files that jobs need and none makes, and those that completed jobs have made."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        rows = connection.execute(
            """SELECT id FROM file WHERE workflow_id = ? AND (
                 EXISTS (SELECT 1 FROM job_file WHERE file_id = file.id AND NOT is_output)
                 AND NOT EXISTS (SELECT 1 FROM job_file WHERE file_id = file.id AND is_output)
                 OR EXISTS (SELECT 1 FROM job_file JOIN job ON job.id = job_id
                            WHERE file_id = file.id AND is_output AND job.status = 'completed'))
               ORDER BY id""",
            [workflow_id],
        )
        return JSONResponse({"files": [row["id"] for row in rows]})


@router.post("/bulk_user_data")
def create_user_data(db: Db, body: UserDataListBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse({"user_data": create_named(connection, "user_data", body.user_data)})


@router.get("/user_data")
def list_user_data(
    db: Db,
    page: PageQuery,
    workflow_id: WorkflowQuery,
    consumer_job_id: IntQuery = None,
    producer_job_id: IntQuery = None,
    name: str | None = None,
    is_ephemeral: bool | None = None,
) -> JSONResponse:
    conditions = {
        "id IN (SELECT user_data_id FROM job_user_data WHERE job_id = ? AND NOT is_output)": consumer_job_id,
        "id IN (SELECT user_data_id FROM job_user_data WHERE job_id = ? AND is_output)": producer_job_id,
        "name = ?": name,
        "is_ephemeral = ?": is_ephemeral,
    }
    with db.read() as connection:
        return JSONResponse(fetch_of_workflow(connection, "user_data", workflow_id, conditions, page))


@router.get("/user_data/{user_data_id}")
def get_user_data(db: Db, user_data_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "user_data", user_data_id)))


@router.put("/user_data/{user_data_id}")
def update_user_data(db: Db, user_data_id: Id, body: UserDataBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(update_named(connection, "user_data", user_data_id, body))


@router.get("/workflows/{workflow_id}/missing_user_data")
def missing_user_data(db: Db, workflow_id: Id) -> JSONResponse:
    """User data that jobs need, that has no value, and that no job makes."""
    with db.read() as connection:
        find(connection, "workflow", workflow_id)
        rows = connection.execute(
            """SELECT id FROM user_data WHERE workflow_id = ? AND data IS NULL
                 AND EXISTS (SELECT 1 FROM job_user_data WHERE user_data_id = user_data.id AND NOT is_output)
                 AND NOT EXISTS (SELECT 1 FROM job_user_data WHERE user_data_id = user_data.id AND is_output)
               ORDER BY id""",
            [workflow_id],
        )
        return JSONResponse({"user_data": [row["id"] for row in rows]})
