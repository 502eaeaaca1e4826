"""Basic authentication in front of everything (torc wire 3.1)."""

import base64
import binascii
import hmac
import sqlite3

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from torc_remote.builtin.server.access.tokens import recognize
from torc_remote.builtin.server.errors import response, unavailable
from torc_remote.builtin.server.store.database import Database


class BasicAuth:
    """ASGI middleware: any user name with the one password, or with a worker's token (tokens.py).

    The framework's HTTPBasic is asked after routing and takes ASCII alone; Starlette's AuthenticationMiddleware would
    leave all of this to a class of ours.

    Routes find the name as scope ``torc_user``, the token as ``torc_worker``.
    """

    def __init__(self, app: ASGIApp, password: str, database: Database) -> None:
        self._app = app
        self._database = database
        self._password = password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http":
            try:
                user = await self._user(scope, dict(scope["headers"]).get(b"authorization", b""))
            except sqlite3.DatabaseError as error:
                await response(unavailable(error))(scope, receive, send)
                return
            if user is None:
                headers = {"www-authenticate": 'Basic realm="Torc"'}
                await PlainTextResponse("Unauthorized", 401, headers)(scope, receive, send)
                return
            scope["torc_user"] = user
        await self._app(scope, receive, send)

    async def _user(self, scope: Scope, header: bytes) -> str | None:
        kind, _, encoded = header.partition(b" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).partition(b":")
            name = user.decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        if kind.lower() != b"basic":
            return None
        right = hmac.compare_digest(password, self._password)
        # a database that is slow or locked must not hold up all the others
        return name if right or await run_in_threadpool(self._is_worker, scope, password) else None

    def _is_worker(self, scope: Scope, password: bytes) -> bool:
        with self._database.read() as connection:
            token = recognize(connection, password.decode("utf-8", "surrogateescape"))
        if token is None:
            return False
        scope["torc_worker"] = token
        query = scope["query_string"]
        # torc's own worker does not say which node it is
        if token.node_id is not None and scope["method"] != "GET" and b"compute_node_id=" not in query:
            scope["query_string"] = query + b"&compute_node_id=%d" % token.node_id
        return True
