"""Who is served: programs that know the server, not web pages in a browser of somebody who runs one.

A page may send requests to any address that its reader's browser reaches, this machine's loopback included. It may not
read the answers, but what it asks for would be done; and when the page's own name is made to lead here (DNS rebinding),
it may read them too.
"""

import ipaddress
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from torc_remote.builtin.server.errors import ApiError, response

STRANGER = "torc_stranger"
"""In the scope of a request that was refused: its connection is not kept for long."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:/?#@]+)(?::\d*)?")
_REFUSED = (401, 403, 408, 413, 415)
_ALIASES = Path("/etc/hosts")
_READING = ("GET", "HEAD", "OPTIONS")


class Doors:
    """ASGI middleware in front of everything; it refuses what a web page of another site can send.

    Starlette's TrustedHostMiddleware looks at the host alone, redirects some requests, and never says what to do.

    `names`: the host names under which the server is asked; None: any, because there is a password.
    """

    def __init__(self, app: ASGIApp, names: "OwnNames | None") -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say why not: 403 or 415."""
        if scope["type"] != "http":
            return

        async def note_and_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSED:
                scope[STRANGER] = True
            await send(message)

        answer = self._refusal(scope["method"], Headers(scope=scope))
        await (answer or self._app)(scope, receive, note_and_send)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return _forbidden(
                f"This server is not known as '{host}': without a password it answers to names of its own machine "
                "alone. Use http://127.0.0.1, or start it with --allowed-host or with a password.",
            )
        origin = headers.get("origin", f"http://{host}")
        site = headers.get("sec-fetch-site", "none")
        if origin.lower().partition("://")[2] != host.lower() or site not in ("none", "same-origin"):
            return _forbidden("This server answers no web pages of other sites.")
        if method not in _READING and not _is_json(headers):
            return PlainTextResponse("Expected request with `Content-Type: application/json`", 415)
        return None


class OwnNames:
    """The names, in lower case, under which a server is asked that listens on the loopback address `bound`.

    Names that this machine's /etc/hosts gives to loopback addresses are among them, also those that it gives later: no
    page of another site has one.
    """

    def __init__(self, bound: str, *more: str) -> None:
        self._fixed = {name.lower() for name in ("localhost", "127.0.0.1", "::1", bound, *more)}

    def __contains__(self, name: str) -> bool:
        return name in self._fixed or name in _loopback_aliases()


def _loopback_aliases() -> set[str]:
    try:
        lines = _ALIASES.read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    entries = (line.partition("#")[0].split() for line in lines)
    return {name.lower() for entry in entries if entry and is_local_only(entry[0]) for name in entry[1:]}


def is_local_only(host: str) -> bool:
    """Whether only this machine reaches this address; x.localhost is none, as somebody's DNS may know it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where it is none."""
    match = _HOST.fullmatch(host)
    return match[1].strip("[]").lower() if match else ""


def _is_json(headers: Headers) -> bool:
    """Whether a page of another site would have to ask first, with a request of its own, to send this.

    Requests without a body have no type either, but those of forms have.
    """
    kinds = {kind.partition(";")[0].strip().lower() for kind in headers.getlist("content-type")}
    if kinds:
        return kinds == {"application/json"}
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


def _forbidden(message: str) -> Response:
    return response(ApiError(403, {"message": message}))
