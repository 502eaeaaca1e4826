"""One HTTP request to a torc server: session, authentication, TLS, retries, and errors in plain sentences."""

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from torc_remote import __version__
from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError, ServerError
from torc_remote.errors import UsageError
from torc_remote.loopback import is_loopback

Params = dict[str, Any]

# urllib3 announces each retry; the error after the last one is enough.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

# What the server may have got is repeated only if that does no harm; after a refused connection, anything.
_RETRIES = urllib3.Retry(
    total=3,
    read=1,
    other=0,  # a certificate that is refused stays refused
    backoff_factor=0.2,
    backoff_jitter=0.2,
    status_forcelist=(502, 503, 504),
    allowed_methods=("GET", "PUT", "DELETE"),
    raise_on_status=False,
    respect_retry_after_header=False,
)


class Transport:
    """Sends requests with the user's credentials to ``settings.api_url`` alone: it follows no redirect.

    ``timeout`` is (to connect, between two pieces of the answer), in seconds.
    """

    def __init__(self, settings: Settings, timeout: tuple[float, float] = (10, 120)) -> None:
        self.base_url = settings.api_url
        self.timeout = timeout
        self._session = _session(settings)

    def request(self, method: str, path: str, params: Params | None = None, json: Any = None) -> Any:
        """The decoded JSON of a successful answer. Raises ApiError or ServerError."""
        query = {name: _query_value(value) for name, value in (params or {}).items() if value is not None}
        try:
            response = self._session.request(
                method,
                self.base_url + path,
                params=query,
                json=json,
                timeout=self.timeout,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            through = _through_proxy(self.base_url, self._session.proxies)
            raise ServerError(_sentence(error, self.base_url, self.timeout) + through) from error
        return self._decoded(response, f"{method} {path}")

    def _decoded(self, response: requests.Response, what: str) -> Any:
        if response.is_redirect or 300 <= response.status_code < 400:
            target = urlsplit(response.headers.get("location", ""))
            shown = target._replace(netloc=target.netloc.rpartition("@")[2], query="", fragment="").geturl()
            raise ServerError(
                f"The server at {self.base_url} redirects to '{shown}'. Credentials are not sent there; "
                "if that is your torc server, give its URL with --url or TORC_API_URL."
            )
        if response.status_code >= 400:
            raise ApiError(response.status_code, _api_message(response, self.base_url, what))
        try:
            return response.json()
        except ValueError as error:
            raise ServerError(_no_torc(self.base_url, f"{what} gave {_kind(response)}")) from error


def _session(settings: Settings) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # neither ~/.netrc nor a proxy for loopback may change whom we talk to
    session.proxies.update(_proxies(settings.api_url))
    session.headers["User-Agent"] = f"torc-remote/{__version__}"
    if settings.password is not None:
        session.auth = HTTPBasicAuth(settings.username.encode(), settings.password.encode())
    if settings.cookie_header:
        session.headers["Cookie"] = settings.cookie_header
    session.verify = _verification(settings)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))
    return session


def _proxies(url: str) -> dict[str, str]:
    """The environment's proxies (HTTP_PROXY, NO_PROXY, ...), but never one for a server on this machine."""
    return {} if is_loopback(urlsplit(url).hostname or "") else requests.utils.get_environ_proxies(url)


def _through_proxy(url: str, proxies: Mapping[str, str]) -> str:
    """A sentence for an error whose reason may be the proxy; a password in its URL is not told."""
    proxy = requests.utils.select_proxy(url, proxies)
    if not proxy:
        return ""
    return (
        f" The request went through the proxy {proxy.rpartition('@')[2]} of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; "
        f"NO_PROXY={urlsplit(url).hostname} avoids it."
    )


def _verification(settings: Settings) -> bool | str:
    if settings.tls_insecure:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return False
    if settings.tls_ca_cert is None:
        return True
    if not Path(settings.tls_ca_cert).is_file():
        raise UsageError(
            f"The CA certificate '{settings.tls_ca_cert}' is not a file (--tls-ca-cert, TORC_TLS_CA_CERT)."
        )
    return settings.tls_ca_cert


def _query_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _sentence(error: Exception, url: str, timeout: tuple[float, float]) -> str:
    """A transport error as a user understands it, with what to look at next."""
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_sentence(_cause(error), url)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return (
            f"The torc server at {url} accepted no connection within {timeout[0]:g} s. Is the address right?"
        )
    if isinstance(error, requests.exceptions.ReadTimeout) or "Read timed out" in str(error):
        return f"The torc server at {url} did not answer within {timeout[1]:g} s."
    if isinstance(
        error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)
    ):
        return f"The answer of the torc server at {url} was cut off in the middle. Try again."
    if isinstance(error, (requests.exceptions.InvalidProxyURL, requests.exceptions.InvalidSchema)):
        return f"The environment's proxy can't be used: {_reason(_cause(error))}."
    if isinstance(error, requests.exceptions.InvalidURL):
        return f"The server's URL can't be used: {url} ({_reason(_cause(error))})."
    return (
        f"Cannot reach the torc server at {url}: {_reason(_cause(error))}. "
        "Is it running, and is --url (or TORC_API_URL) right?"
    )


def _tls_sentence(cause: BaseException, url: str) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {url} was not accepted: {cause.verify_message}. "
            "Give the CA's certificate with --tls-ca-cert if the server has a private one."
        )
    return f"No TLS connection to {url}: {_reason(cause)}. Does the server speak https, or is it http://?"


def _cause(error: BaseException) -> BaseException:
    """The innermost error, without the layers of wrappers around it."""
    while True:
        inner = error.__cause__ or getattr(error, "reason", None) or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _reason(error: BaseException) -> str:
    """A few words, such as 'Connection refused'."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.rstrip(".")
    return str(error).rpartition(": ")[2].rstrip(".") or type(error).__name__


def _api_message(response: requests.Response, url: str, what: str) -> str:
    """The server's own words where it has any (torc wire 3.1), else what its status means."""
    status = response.status_code
    if status == 401:
        return (
            f"The server at {url} wants a valid user name and password (401 Unauthorized). "
            "Set TORC_USERNAME and TORC_PASSWORD, or use --prompt-password."
        )
    if message := _message_of_server(response):
        return message
    if status == 404:
        return _no_torc(url, f"{what} is unknown there (404)")
    return f"The server at {url} answered {what} with {status} {response.reason}."


def _message_of_server(response: requests.Response) -> str | None:
    """The message of torc's error shapes: JSON with error.message, else one short line of plain text."""
    try:
        message = response.json()["error"]["message"]
        return message if isinstance(message, str) and message else None
    except (ValueError, KeyError, TypeError):
        text = response.text.strip()
        is_plain = response.headers.get("content-type", "").startswith("text/plain")
        return text[:500] if is_plain and text else None


def _no_torc(url: str, why: str) -> str:
    return (
        f"There seems to be no torc server at {url}: {why}. "
        "The URL must include the base path, as in http://HOST:8080/torc-service/v1."
    )


def _kind(response: requests.Response) -> str:
    return f"'{response.headers.get('content-type', 'no content type')}' that is no JSON"
