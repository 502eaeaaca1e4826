"""What the routes share: the open database and ids from the URL."""

from typing import Annotated

from fastapi import Depends, Path, Request

from torc_remote.builtin.server.database import Database
from torc_remote.builtin.server.models import INT64_MAX, INT64_MIN

Id = Annotated[int, Path(ge=INT64_MIN, le=INT64_MAX)]


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


# Asynchronous only so that the framework needs no thread to call it.
Db = Annotated[Database, Depends(_database)]
