"""Results: read, and made for an attempt whose worker is gone (torc wire 3.6)."""

from fastapi.responses import JSONResponse

from torc_remote.builtin.server.http.listing import IntQuery, PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, Id, WorkflowQuery, new_router
from torc_remote.builtin.server.jobs.attempts import fence
from torc_remote.builtin.server.models import JobStatus, ResultBody
from torc_remote.builtin.server.store.database import find, record

router = new_router()


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
        "result.job_id = ?": job_id,
        "result.run_id = ?": run_id,
        "result.return_code = ?": return_code,
        "result.compute_node_id = ?": compute_node_id,
        "result.status = ?": status,
        "? OR job.result_id IS result.id": all_runs,
    }
    with_name = "result.*, job.name AS job_name FROM result JOIN job ON job.id = result.job_id"
    with db.read() as connection:
        return JSONResponse(
            fetch_of_workflow(connection, "result", workflow_id, conditions, page, extra=with_name)
        )


@router.post("/results")
def create_result(db: Db, body: ResultBody) -> JSONResponse:
    """The answer to a worker's death: see jobs/attempts.py, fence."""
    with db.write() as connection:
        return JSONResponse(fence(connection, body))


@router.get("/results/{result_id}")
def get_result(db: Db, result_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(record(find(connection, "result", result_id)))
