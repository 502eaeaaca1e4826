"""The worker's HTTP client and how it proves who it is, against servers that misbehave."""

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from torc_remote.builtin.worker import api as module
from torc_remote.builtin.worker.api import Api
from torc_remote.builtin.worker.connection import Connection, Credentials
from torc_remote.builtin.worker.errors import DeniedError, RefusedError, UnavailableError, WorkerError

Answer = tuple[int, dict[str, str], bytes]


class Fake(ThreadingHTTPServer):
    """Answers ``answer`` to everything and keeps what was asked."""

    daemon_threads = True
    answer: Answer = (200, {"Content-Type": "application/json"}, b'{"ok": true}')

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections: set[tuple[str, int]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/torc-service/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Fake

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        self.server.connections.add(self.client_address)
        status, headers, content = self.server.answer
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - http.server looks these names up

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def start() -> Iterator[Callable[[], Fake]]:
    started: list[Fake] = []

    def start_one() -> Fake:
        started.append(Fake())
        threading.Thread(target=started[-1].serve_forever, args=(0.01,), daemon=True).start()
        return started[-1]

    yield start_one
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(start: Callable[[], Fake]) -> Fake:
    return start()


def test_requests_carry_json_and_credentials_over_one_connection(server: Fake) -> None:
    api = Api(Connection(server.url, Credentials("bob", "pä:ss", "session=1")))
    assert api.post("/jobs", {"a": 1}, {"x": "1 2", "y": ""}) == {"ok": True}
    assert api.put("/jobs/1/start") == {"ok": True}
    (method, path, headers, body), (_, _, _, empty) = server.requests
    assert (method, path, body, empty) == ("POST", "/torc-service/v1/jobs?x=1+2&y=", b'{"a": 1}', b"")
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == "bob:pä:ss"
    assert headers["Cookie"] == "session=1"
    assert headers["Content-Type"] == "application/json"
    assert len(server.connections) == 1


def test_a_connection_that_rested_is_opened_anew(server: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    api = Api(Connection(server.url))
    api.get("/a")
    api.get("/b")
    assert len(server.connections) == 2


def test_a_redirect_is_not_followed_and_its_password_not_shown(
    start: Callable[[], Fake],
) -> None:
    server, other = start(), start()
    location = other.url.replace("127.0.0.1", "u:pw@127.0.0.1") + "?token=t0k"
    for status in (301, 302, 307, 308):
        server.answer = (status, {"Location": location}, b"")
        with pytest.raises(RefusedError) as refused:
            Api(Connection(server.url, Credentials("bob", "pw"))).get("/version")
        assert f"redirects to 127.0.0.1:{other.server_port}/torc-service/v1;" in str(refused.value)
        assert "pw" not in str(refused.value)
        assert "t0k" not in str(refused.value)
    assert other.requests == []


ERROR = b'{"error":{"error":"NotFound","message":"Workflow not found with ID: 9"}}'


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (404, ERROR, RefusedError, "Workflow not found with ID: 9 (404)"),
        (404, b"", RefusedError, "Not Found (404)"),
        (422, b'{"error":{"message":"bad"}}', RefusedError, "bad (422)"),
        (400, b"not json\nmore", RefusedError, "not json (400)"),
        (401, b"Unauthorized", DeniedError, "refused the credentials (401 Unauthorized)"),
        (403, ERROR, DeniedError, "forbids it (403 Forbidden): Workflow not found"),
        (500, b'{"error":{"message":"locked"}}', UnavailableError, "answered 500: locked"),
        (502, b"<html>bad</html>", UnavailableError, "answered 502: Bad Gateway"),
        (429, b"", UnavailableError, "answered 429: Too Many Requests"),
        (501, b"no", RefusedError, "no (501)"),
        (200, b"<html>log in</html>", UnavailableError, "it answered with text/html, not JSON"),
        (200, b'{"cut', UnavailableError, "not JSON"),
    ],
)
def test_what_an_answer_means(
    server: Fake, status: int, body: bytes, kind: type[Exception], text: str
) -> None:
    server.answer = (status, {"Content-Type": "text/html"}, body)
    with pytest.raises(kind) as raised:
        Api(Connection(server.url)).get("/x")
    assert type(raised.value) is kind
    assert text in str(raised.value)


def test_an_answer_that_is_cut_short_is_worth_another_try(server: Fake) -> None:
    server.answer = (200, {"Content-Length": "100", "Connection": "close"}, b"{}")
    with pytest.raises(UnavailableError):
        Api(Connection(server.url)).get("/x")


def test_a_refused_connection_names_the_server() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://bob:pw@127.0.0.1:{bound.getsockname()[1]}/v1"
        with pytest.raises(UnavailableError) as raised:
            Api(Connection(url)).get("/x")
    assert str(raised.value) == f"connection refused: cannot reach the server at {url.replace('bob:pw@', '')}"


def test_a_server_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = Api(Connection(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        with pytest.raises(UnavailableError, match="no answer in time"):
            api.get("/x")


def test_a_certificate_is_verified_unless_told_otherwise(server: Fake, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    assert Api(Connection(url, tls_ca_cert=str(certificate))).get("/x") == {"ok": True}
    assert Api(Connection(url, tls_insecure=True)).get("/x") == {"ok": True}
    with pytest.raises(UnavailableError, match="certificate verify failed"):
        Api(Connection(url)).get("/x")
    assert len(server.requests) == 2


def test_a_host_name_that_does_not_exist() -> None:
    with pytest.raises(UnavailableError, match="unknown host name: cannot reach"):
        Api(Connection("http://no-such-host.invalid/v1")).get("/x")


def test_credentials_in_the_url_are_used_and_not_kept_in_it() -> None:
    connection = Connection("https://bob%40x:p%3Aw@[::1]:8443/v1/")
    assert connection.url == "https://[::1]:8443/v1"
    assert connection.host == "::1"
    assert base64.b64decode(connection.headers["Authorization"].split()[1]) == b"bob@x:p:w"


def test_the_environment_names_server_and_credentials() -> None:
    environ = {
        "TORC_API_URL": "https://h/v1",
        "USER": "login",
        "TORC_PASSWORD": "pw",
        "TORC_COOKIE_HEADER": "a=b",
        "TORC_TLS_INSECURE": "true",
    }
    connection = Connection.from_environment(environ)
    assert connection.headers == Credentials("login", "pw", "a=b").headers()
    assert connection.tls_context().check_hostname is False
    named = Connection.from_environment(environ | {"TORC_USERNAME": "bob"}, "http://other/v1")
    assert (named.url, named.headers["Authorization"]) == (
        "http://other/v1",
        Credentials("bob", "pw").headers()["Authorization"],
    )
    assert Connection.from_environment({"USER": "login"}).headers == {}


@pytest.mark.parametrize("url", ["", "h:80/v1", "ftp://h/v1", "http://", "http://h:x/v1", "http://[::1/v1"])
def test_a_url_that_names_no_server_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(WorkerError, match="must look like"):
        Connection(url)


def test_a_cookie_cannot_bring_a_header_of_its_own() -> None:
    with pytest.raises(WorkerError, match="control character"):
        Connection("http://h/v1", Credentials(cookie="a=b\r\nX-Evil: 1"))


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    connection = Connection("https://h/v1", tls_ca_cert=f"{tmp_path}/none.pem")
    with pytest.raises(WorkerError, match=r"none\.pem: No such file"):
        connection.tls_context()
