"""The server as an ASGI application."""

from fastapi import FastAPI
from starlette.types import ASGIApp

from torc_remote.builtin.server.access.auth import BasicAuth
from torc_remote.builtin.server.access.rights import authorize
from torc_remote.builtin.server.access.routes import router as access
from torc_remote.builtin.server.compute_nodes.routes import router as compute_nodes
from torc_remote.builtin.server.data.routes import router as data
from torc_remote.builtin.server.errors import install_handlers
from torc_remote.builtin.server.events.routes import router as events
from torc_remote.builtin.server.http.bodies import BoundedBodies
from torc_remote.builtin.server.http.doors import Doors, OwnNames
from torc_remote.builtin.server.jobs.routes import router as jobs
from torc_remote.builtin.server.remote_workers.routes import router as remote_workers
from torc_remote.builtin.server.resource_requirements.routes import router as resource_requirements
from torc_remote.builtin.server.results.routes import router as results
from torc_remote.builtin.server.service import router as service
from torc_remote.builtin.server.store.database import Database
from torc_remote.builtin.server.store.turns import Turns
from torc_remote.builtin.server.workflows.routes import router as workflows

# Tried in turn, so `jobs` with the requests for each job comes first, and `service` last: it refuses whatever the
# others don't know. One list, since the framework looks twice into routers that are included.
ROUTES = [
    route
    for router in (
        jobs,
        workflows,
        compute_nodes,
        resource_requirements,
        data,
        results,
        events,
        remote_workers,
        access,
        service,
    )
    for route in router.routes
]
"""All that is served."""


def create_app(database: Database, password: str = "", names: OwnNames | None = None) -> ASGIApp:
    """The API over an open database; with a password every request must bring it.

    `names` are the host names that requests may be for; None: any.
    """
    app = FastAPI(title="torc-remote", openapi_url=None, redirect_slashes=False, routes=ROUTES)
    app.state.database = database
    app.state.turns = Turns(database)
    app.state.authorize = authorize
    app.state.has_password = bool(password)
    install_handlers(app)
    served: ASGIApp = BoundedBodies(app)
    if password:
        served = BasicAuth(served, password, database)
    return Doors(served, names)
