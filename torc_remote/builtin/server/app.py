"""The server as an ASGI application."""

from collections.abc import Collection

from fastapi import FastAPI
from starlette.types import ASGIApp

from torc_remote.builtin.server.auth import BasicAuth
from torc_remote.builtin.server.bodies import BoundedBodies
from torc_remote.builtin.server.database import Database
from torc_remote.builtin.server.doors import Doors
from torc_remote.builtin.server.errors import install_handlers
from torc_remote.builtin.server.routes import data, jobs, lifecycle, records, service, workflows
from torc_remote.builtin.server.turns import Turns

# Tried in turn, so `jobs` with the requests for each job comes first, and `service` last: it refuses whatever the
# others don't know. One list, since the framework looks twice into routers that are included.
ROUTES = [
    route for module in (jobs, lifecycle, workflows, records, data, service) for route in module.router.routes
]


def create_app(database: Database, password: str = "", names: Collection[str] | None = None) -> ASGIApp:
    """The API over an open database; with a password every request must bring it.

    `names` are the host names that requests may be for; None: any.
    """
    app = FastAPI(title="torc-remote", openapi_url=None, redirect_slashes=False, routes=ROUTES)
    app.state.database = database
    app.state.turns = Turns(database)
    app.state.has_password = bool(password)
    install_handlers(app)
    served: ASGIApp = BoundedBodies(app)
    if password:
        served = BasicAuth(served, password, database)
    return Doors(served, names)
