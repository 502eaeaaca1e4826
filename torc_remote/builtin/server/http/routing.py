"""What the routes share: the open database, ids from the URL, bodies that are JSON in earnest."""

import functools
import inspect
import json
import math
from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from torc_remote.builtin.server.http import BASE_PATH
from torc_remote.builtin.server.models import INT64_MAX, INT64_MIN
from torc_remote.builtin.server.store.database import Database

# In bytes: parsing takes some milliseconds, in which nobody else is served.
_LONG = 100_000
# The same with every Python, unlike the depth at which its parser gives up.
_DEEPEST = 400

# Of a body: what it asks for is probably done in a moment.
_SHORT = 4096

_take_turn: ContextVar[Callable[[Callable[[], Response]], Coroutine[Any, Any, Response]]] = ContextVar("turn")
"""How the request under way writes."""

Id = Annotated[int, Path(ge=INT64_MIN, le=INT64_MAX)]
WorkflowQuery = Annotated[int, Query(ge=INT64_MIN, le=INT64_MAX)]


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


# Asynchronous only so that the framework needs no thread to call it.
Db = Annotated[Database, Depends(_database)]


class _StrictRequest(Request):
    """A request whose body must be what JSON and UTF-8 can carry: Python's parser lets more pass."""

    async def json(self) -> Any:
        """The parsed body. Raises ValueError or HTTPException, both become a 400."""
        if not hasattr(self, "_json"):
            raw = await self.body()
            self._json = _parse(raw) if len(raw) < _LONG else await run_in_threadpool(_parse, raw)
        return self._json


def _parse(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode())
    except RecursionError:
        raise _too_deep() from None
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return value
        level = [inner for item in level for inner in _checked(item)]
    raise _too_deep()


def _checked(value: Any) -> Iterable[Any]:
    """What is in a value that may be stored. Raises HTTPException for one that may not."""
    if isinstance(value, dict):
        return (*value, *value.values())
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if not _is_text(value):
            raise HTTPException(400, "a text holds half a surrogate pair")
    elif isinstance(value, float) and not math.isfinite(value):
        raise HTTPException(400, "not a finite number")
    return ()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_deep() -> HTTPException:
    return HTTPException(400, f"more than {_DEEPEST} levels of lists and objects")


class _StrictRoute(APIRoute):
    """A route that takes only well-formed bodies, and whose writes never hold up the requests of others."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        if "GET" not in settings["methods"] and not inspect.iscoroutinefunction(endpoint):
            endpoint = _in_turn(endpoint)
        super().__init__(path, endpoint, **settings)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            strict = _StrictRequest(request.scope, request.receive)
            await request.app.state.authorize(strict)
            is_short = len(await strict.body()) <= _SHORT
            _take_turn.set(functools.partial(request.app.state.turns.write, is_short=is_short))
            return await handle(strict)

        return handle_strictly


def _in_turn(endpoint: Callable[..., Response]) -> Callable[..., Coroutine[Any, Any, Response]]:
    """All that write take turns (store/turns.py)."""

    @functools.wraps(endpoint)
    async def call(*, db: Database, **arguments: Any) -> Response:
        return await _take_turn.get()(functools.partial(endpoint, db=db, **arguments))

    return call


def new_router() -> APIRouter:
    """A router whose routes take only well-formed bodies, and from a worker only what is its own."""
    return APIRouter(prefix=BASE_PATH, route_class=_StrictRoute)
