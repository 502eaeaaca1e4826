"""Where the server is and how the worker proves who it is (torc wire 1.1)."""

from __future__ import annotations

import base64
import ssl
from typing import Dict, Mapping, NamedTuple, Optional
from urllib.parse import SplitResult, unquote, urlsplit

from ...values import read_flag
from .errors import WorkerError

DEFAULT_URL = "http://localhost:8080/torc-service/v1"

SECRET_VARIABLES = ("TORC_PASSWORD", "TORC_COOKIE_HEADER")
"""Variables of the worker's environment that its jobs don't get."""


TOKEN_PREFIX = "torc-worker-"  # noqa: S105 - public
"""Begins the password of a worker that has one of its own. One that was taken from it is never given back."""


class Credentials(NamedTuple):
    """Who the worker is: basic authentication when there is a password; a cookie is sent as it is."""

    username: str = "unknown"
    password: Optional[str] = None
    cookie: Optional[str] = None

    def headers(self) -> Dict[str, bytes]:
        """The HTTP headers that carry them."""
        headers = {}
        if self.password is not None:
            pair = "{}:{}".format(self.username, self.password).encode()
            headers["Authorization"] = b"Basic " + base64.b64encode(pair)
        if self.cookie:
            if any(ord(character) < 32 for character in self.cookie):
                raise WorkerError("TORC_COOKIE_HEADER holds a control character")
            headers["Cookie"] = self.cookie.encode()
        return headers


class Connection:
    """A server's address, taken apart once; ``url`` never holds a user name or password.

    Raises WorkerError for a URL that names no http or https server.
    """

    def __init__(
        self,
        url: str,
        credentials: Optional[Credentials] = None,
        tls_ca_cert: Optional[str] = None,
        tls_insecure: bool = False,
    ) -> None:
        parts = _split(url)
        credentials = credentials or Credentials()
        if parts.username:
            credentials = credentials._replace(username=unquote(parts.username))
        if parts.password and credentials.password is None:
            credentials = credentials._replace(password=unquote(parts.password))
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        self.port = parts.port
        self.base_path = parts.path.rstrip("/")
        self.url = "{}://{}{}".format(parts.scheme, parts.netloc.rpartition("@")[2], self.base_path)
        self.headers = credentials.headers()
        self.has_token = (credentials.password or "").startswith(TOKEN_PREFIX)
        self._tls_ca_cert = tls_ca_cert
        self._tls_insecure = tls_insecure

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], url: Optional[str] = None) -> Connection:
        """Read TORC_API_URL, TORC_USERNAME, TORC_PASSWORD, TORC_COOKIE_HEADER, TORC_TLS_*."""
        names = ("TORC_USERNAME", "USER", "USERNAME")
        username = next((environ[name] for name in names if environ.get(name)), "unknown")
        return cls(
            url or environ.get("TORC_API_URL") or DEFAULT_URL,
            Credentials(username, environ.get("TORC_PASSWORD") or None, environ.get("TORC_COOKIE_HEADER")),
            environ.get("TORC_TLS_CA_CERT") or None,
            _tls_insecure(environ.get("TORC_TLS_INSECURE")),
        )

    def tls_context(self) -> ssl.SSLContext:
        """The context of an https connection; WorkerError when the CA file can't be used."""
        try:
            context = ssl.create_default_context(cafile=self._tls_ca_cert)
        except OSError as error:
            raise WorkerError(
                "cannot use TORC_TLS_CA_CERT {}: {}".format(self._tls_ca_cert, error.strerror or error)
            ) from None
        if self._tls_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _tls_insecure(text: Optional[str]) -> bool:
    try:
        return bool(text) and read_flag(str(text))
    except ValueError as error:
        raise WorkerError(
            "TORC_TLS_INSECURE has the value {!r}, which can't be used: {}".format(text, error)
        ) from None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise WorkerError("the server URL must look like {}".format(DEFAULT_URL))
    return parts
