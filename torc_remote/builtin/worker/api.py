"""The worker's HTTP client: one kept connection, JSON in and out, no redirects (torc wire 3.1).

Only the main thread uses it.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, Dict, Mapping, NoReturn, Optional
from urllib.parse import urlencode, urlsplit

from ... import __version__
from .connection import Connection
from .errors import DeniedError, RefusedError, RevokedError, UnavailableError, first_line

JSON = Dict[str, Any]

CONNECT_SECONDS = 10.0
REPLY_SECONDS = 30.0
IDLE_SECONDS = 2.0
"""A connection that rested longer is opened anew: servers close theirs after some seconds, and a request that
is written into a closing one leaves it unknown whether it was carried out."""


class Api:
    """Requests to one server. Raises UnavailableError and RefusedError."""

    def __init__(self, connection: Connection) -> None:
        self._to = connection
        self._http: Optional[http.client.HTTPConnection] = None
        self._used = 0.0
        self.opened = 0
        """How many connections were made: behind a new one may be another server."""

    def get(self, path: str, query: Optional[Mapping[str, object]] = None) -> Any:
        """GET ``path`` (below the base path); the decoded reply."""
        return self._request("GET", path, query)

    def post(self, path: str, body: object = None, query: Optional[Mapping[str, object]] = None) -> Any:
        """POST ``body`` as JSON (nothing for None); the decoded reply."""
        return self._request("POST", path, query, body)

    def put(self, path: str, body: object = None) -> Any:
        """PUT ``body`` as JSON (nothing for None); the decoded reply."""
        return self._request("PUT", path, None, body)

    def close(self) -> None:
        """Give the connection up; the next request opens another."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _request(
        self, method: str, path: str, query: Optional[Mapping[str, object]] = None, body: object = None
    ) -> Any:
        target = self._to.base_path + path + ("?" + urlencode(query) if query else "")
        headers: Dict[str, Any] = {
            "Accept": "application/json",
            "User-Agent": "torc-remote-worker/" + __version__,
        }
        headers.update(self._to.headers)
        payload = None
        if body is not None:
            payload = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        link = self._connected()
        try:
            link.request(method, target, payload, headers)
            reply = link.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnavailableError(self._unreachable(error)) from None
        self._used = time.monotonic()
        return self._decode(reply, content)

    def _connected(self) -> http.client.HTTPConnection:
        if self._http is not None and time.monotonic() - self._used < IDLE_SECONDS:
            return self._http
        self.close()
        if self._to.scheme == "https":
            link: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._to.host, self._to.port, timeout=CONNECT_SECONDS, context=self._to.tls_context()
            )
        else:
            link = http.client.HTTPConnection(self._to.host, self._to.port, timeout=CONNECT_SECONDS)
        try:
            link.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise UnavailableError(self._unreachable(error)) from None
        link.sock.settimeout(REPLY_SECONDS)
        self._http = link
        self.opened += 1
        return link

    def _unreachable(self, error: Exception) -> str:
        return "{}: cannot reach the server at {}".format(_reason(error), self._to.url)

    def _decode(self, reply: http.client.HTTPResponse, content: bytes) -> Any:
        if reply.status >= 300:
            self._reject(reply, content.decode("utf-8", "replace"))
        try:
            return json.loads(content)
        except ValueError:
            kind = reply.getheader("Content-Type", "nothing")
            raise UnavailableError(
                "no torc server at {}: it answered with {}, not JSON".format(self._to.url, kind)
            ) from None

    def _reject(self, reply: http.client.HTTPResponse, text: str) -> NoReturn:
        message = _error_message(text) or reply.reason or "no reason given"
        if reply.status < 400:
            # Following it could carry the credentials to another host.
            place = urlsplit(reply.getheader("Location", ""))
            host = place.netloc.rpartition("@")[2]
            raise RefusedError(
                reply.status, "the server redirects to {}{}; use that URL".format(host, place.path)
            )
        if reply.status == 401 and self._to.has_token:
            raise RevokedError("the server does not take this worker's token (401 Unauthorized)")
        if reply.status == 401:
            raise DeniedError(
                "the server refused the credentials (401 Unauthorized): check TORC_USERNAME and TORC_PASSWORD"
            )
        if reply.status == 403:
            raise DeniedError("the server forbids it (403 Forbidden): {}".format(message))
        if reply.status in (408, 429) or (reply.status >= 500 and reply.status != 501):
            raise UnavailableError("the server answered {}: {}".format(reply.status, message))
        raise RefusedError(reply.status, message)


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "unknown host name"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _error_message(text: str) -> Optional[str]:
    """The message in torc's error shapes, else the first line of the text."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return None if text.lstrip().startswith("<") else first_line(text)
