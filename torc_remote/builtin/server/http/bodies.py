"""How much is taken of a request, and how slowly."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torc_remote.builtin.server.errors import ApiError, response

_MIB = 2**20
# As torc's own server (torc wire 3.1), but for those that come in bulk: the client sends them in parts.
_BODY_BYTES = 2 * _MIB
_BULK_BYTES = 32 * _MIB
_BULK = ("/bulk_jobs", "/bulk_files", "/bulk_user_data", "/remote_workers")
_ALL_BODIES_BYTES = 128 * _MIB
_BODY_SECONDS = 60


class BoundedBodies:
    """ASGI middleware that hands a request on once its body is there: not too large, not too late.

    What is held of all requests together is bounded too, until they are answered. Starlette has no such middleware.
    """

    def __init__(self, app: ASGIApp, seconds: float = _BODY_SECONDS) -> None:
        self._app = app
        self._seconds = seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 408, 413 or 503."""
        body = bytearray()
        limit = _BULK_BYTES if scope["path"].endswith(_BULK) else _BODY_BYTES
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    whole = await self._read(receive, body, limit)
            except TimeoutError:
                raise _refused(408, f"The request's body took more than {self._seconds} s.") from None
            if whole:
                await self._app(scope, _replay(bytes(body), receive), send)
        except ApiError as error:
            await response(error)(scope, receive, send)
        finally:
            self._held -= len(body)

    async def _read(self, receive: Receive, body: bytearray, limit: int) -> bool:
        """Add the body's pieces to `body`; False if the client leaves."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            piece = message.get("body", b"")
            body += piece
            self._held += len(piece)
            if len(body) > limit:
                raise _refused(
                    413, f"The request's body is larger than {limit // _MIB} MiB; send it in parts."
                )
            if self._held > _ALL_BODIES_BYTES:
                raise _refused(503, "Too many large requests at once; try again in a minute.")
            if not message.get("more_body"):
                return True


def _refused(status: int, message: str) -> ApiError:
    return ApiError(status, {"message": message})


def _replay(body: bytes, receive: Receive) -> Receive:
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again
