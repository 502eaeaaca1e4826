"""Basic authentication in front of everything (torc wire 3.1)."""

import base64
import binascii
import hmac

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class BasicAuth:
    """ASGI middleware: any user name with the one password; routes find the name as scope ``torc_user``."""

    def __init__(self, app: ASGIApp, password: str) -> None:
        self._app = app
        self._password = password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http":
            user = self._user(dict(scope["headers"]).get(b"authorization", b""))
            if user is None:
                headers = {"www-authenticate": 'Basic realm="Torc"'}
                await PlainTextResponse("Unauthorized", 401, headers)(scope, receive, send)
                return
            scope["torc_user"] = user
        await self._app(scope, receive, send)

    def _user(self, header: bytes) -> str | None:
        kind, _, encoded = header.partition(b" ")
        try:
            user, _, password = base64.b64decode(encoded, validate=True).partition(b":")
            name = user.decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        right = hmac.compare_digest(password, self._password)
        return name if right and kind.lower() == b"basic" else None
