"""What the routes share: the open database, ids from the URL, bodies that are JSON in earnest."""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from torc_remote.builtin.server.database import Connection, Database, Record
from torc_remote.builtin.server.models import INT64_MAX, INT64_MIN
from torc_remote.builtin.server.worker_rights import authorize

Id = Annotated[int, Path(ge=INT64_MIN, le=INT64_MAX)]


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


# Asynchronous only so that the framework needs no thread to call it.
Db = Annotated[Database, Depends(_database)]


async def write_promptly(db: Database, work: Callable[[Connection], Record]) -> JSONResponse:
    """Answer with what a short write returns.

    To hand it to a thread would take longer than the work, so it is done here, unless another write is under way:
    then reads must go on.
    """

    def write() -> Record:
        with db.write() as connection:
            return work(connection)

    return JSONResponse(await run_in_threadpool(write) if db.writing else write())


class _StrictRequest(Request):
    """A request whose body must be what JSON and UTF-8 can carry: Python's parser lets more pass."""

    async def json(self) -> Any:
        """The parsed body. Raises ValueError, or RecursionError if it is too deep: both become a 400."""
        value = json.loads((await self.body()).decode())
        _check(value)
        return value


def _check(value: Any) -> None:
    if isinstance(value, str):
        value.encode()  # a lone surrogate raises a ValueError
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    elif isinstance(value, list):
        for item in value:
            _check(item)
    elif isinstance(value, dict):
        for pair in value.items():
            _check([*pair])


class _StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return handle_strictly


def new_router() -> APIRouter:
    """A router whose routes take only well-formed bodies, and from a worker only what is its own."""
    return APIRouter(route_class=_StrictRoute, dependencies=[Depends(authorize)])
