"""Events: note and read (torc wire 3.6)."""

from fastapi.responses import JSONResponse

from torc_remote.builtin.server.events.records import create_event
from torc_remote.builtin.server.http.listing import IntQuery, PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, WorkflowQuery, new_router
from torc_remote.builtin.server.models import EventBody
from torc_remote.builtin.server.store.database import find

router = new_router()


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
        "json_extract(data, '$.category') = ?": category,
        "timestamp > ?": after_timestamp,
    }
    with db.read() as connection:
        return JSONResponse(fetch_of_workflow(connection, "event", workflow_id, conditions, page))
