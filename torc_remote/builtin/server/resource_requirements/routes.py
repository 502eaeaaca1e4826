"""What jobs need: create and read (torc wire 2.1, 3.4)."""

from fastapi.responses import JSONResponse

from torc_remote.builtin.server.http.listing import PageQuery, fetch_of_workflow
from torc_remote.builtin.server.http.routing import Db, Id, WorkflowQuery, new_router
from torc_remote.builtin.server.models import ResourceRequirementsBody
from torc_remote.builtin.server.resource_requirements.records import create_requirements, requirements_view
from torc_remote.builtin.server.store.database import find

router = new_router()


@router.post("/resource_requirements")
def create_resource_requirements(db: Db, body: ResourceRequirementsBody) -> JSONResponse:
    with db.write() as connection:
        return JSONResponse(create_requirements(connection, body))


@router.get("/resource_requirements")
def list_resource_requirements(
    db: Db, page: PageQuery, workflow_id: WorkflowQuery, name: str | None = None
) -> JSONResponse:
    conditions = {"name = ?": name}
    with db.read() as connection:
        return JSONResponse(
            fetch_of_workflow(
                connection, "resource_requirements", workflow_id, conditions, page, requirements_view
            )
        )


@router.get("/resource_requirements/{requirements_id}")
def get_resource_requirements(db: Db, requirements_id: Id) -> JSONResponse:
    with db.read() as connection:
        return JSONResponse(requirements_view(find(connection, "resource_requirements", requirements_id)))
