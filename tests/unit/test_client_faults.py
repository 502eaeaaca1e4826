"""What TorcClient makes of servers that misbehave: a real HTTP server on loopback plays each of them."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings, load_settings
from torc_remote.client.errors import ApiError, ServerError
from torc_remote.errors import TorcError, UsageError

Answer = Callable[[BaseHTTPRequestHandler], None]


class FaultyServer:
    """Answers every request by `answer`; `requests` holds what came in as (method, path, headers)."""

    def __init__(self) -> None:
        self.answer: Answer = reply(200, {})
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                faulty.requests.append((self.command, self.path, dict(self.headers)))
                faulty.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  (the names http.server wants)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/torc-service/v1"

    def client(self, **settings: Any) -> TorcClient:
        return TorcClient(Settings(api_url=self.url, username="alice", **settings), timeout=(2, 0.3))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    faulty = FaultyServer()
    yield faulty
    faulty.http.shutdown()
    faulty.http.server_close()


def reply(status: int, body: object, content_type: str = "application/json", **headers: str) -> Answer:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (
            {"content-type": content_type, "content-length": str(len(data))} | headers
        ).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def in_turn(*answers: Answer) -> Answer:
    remaining = list(answers)
    return lambda handler: (remaining.pop(0) if len(remaining) > 1 else remaining[0])(handler)


def test_html_instead_of_json(server: FaultyServer) -> None:
    server.answer = reply(200, "<html>hello</html>", "text/html")
    with pytest.raises(ServerError, match=r"no torc server at .*text/html.*torc-service/v1"):
        server.client().ping()


def test_404_that_is_not_from_torc(server: FaultyServer) -> None:
    server.answer = reply(404, "", "text/html")
    with pytest.raises(ApiError, match=r"no torc server at"):
        server.client().ping()


def test_torcs_own_words_are_passed_on(server: FaultyServer) -> None:
    server.answer = reply(404, {"error": {"error": "NotFound", "message": "Workflow not found with ID: 9"}})
    with pytest.raises(ApiError, match=r"^Workflow not found with ID: 9$") as error:
        server.client().get_workflow(9)
    assert error.value.status == 404
    server.answer = reply(422, "missing field `user`", "text/plain")
    with pytest.raises(ApiError, match=r"^missing field `user`$"):
        server.client().create_workflow({})


def test_401_says_what_to_set(server: FaultyServer) -> None:
    server.answer = reply(401, "Unauthorized", "text/plain")
    with pytest.raises(ApiError, match="TORC_PASSWORD"):
        server.client().ping()


def test_a_body_that_is_cut_off(server: FaultyServer) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"items": [')

    server.answer = cut
    with pytest.raises(ServerError, match="cut off in the middle"):
        server.client().ping()


def test_a_server_that_does_not_answer_in_time(server: FaultyServer) -> None:
    server.answer = lambda _: time.sleep(1)
    with pytest.raises(ServerError, match=r"did not answer within 0\.3 s"):
        server.client().create_workflow({})
    assert len(server.requests) == 1, "a POST that the server may have got must not be sent again"


def test_a_port_that_refuses() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ServerError, match=rf"Cannot reach the torc server at {url}: Connection refused"):
            TorcClient(Settings(api_url=url)).ping()


def test_a_name_that_is_unknown() -> None:
    with pytest.raises(ServerError, match=r"Cannot reach the torc server at http://no\.such\.invalid/v1: "):
        TorcClient(Settings(api_url="http://no.such.invalid/v1")).ping()


def test_credentials_do_not_follow_a_redirect(server: FaultyServer) -> None:
    thief = FaultyServer()
    server.answer = reply(
        302, "", location=f"http://u:s3cret@127.0.0.1:{thief.http.server_port}/x?token=s3cret"
    )
    with pytest.raises(ServerError, match=r"redirects to 'http://127\.0\.0\.1") as error:
        server.client(password="pw", cookie_header="c=1").ping()
    assert "s3cret" not in str(error.value)
    assert thief.requests == []
    thief.http.shutdown()
    thief.http.server_close()


def test_authentication_headers(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.client(password="pässword", cookie_header="a=b").ping()
    headers = server.requests[0][2]
    assert headers["Authorization"] == "Basic YWxpY2U6cMOkc3N3b3Jk"
    assert headers["Cookie"] == "a=b"
    server.client().ping()
    assert "Authorization" not in server.requests[1][2]


def test_what_may_be_repeated_is_repeated(server: FaultyServer) -> None:
    server.answer = in_turn(reply(503, "busy", "text/plain"), reply(200, {"status": "ok"}))
    assert server.client().ping() == {"status": "ok"}
    server.answer = reply(503, "busy", "text/plain")
    with pytest.raises(ApiError, match="busy"):
        server.client().create_workflow({})
    assert [method for method, _, _ in server.requests] == ["GET", "GET", "POST"]


def test_pages_are_joined(server: FaultyServer) -> None:
    pages = [{"items": [{"id": 1}, {"id": 2}], "has_more": True}, {"items": [{"id": 3}], "has_more": False}]
    server.answer = in_turn(*(reply(200, page) for page in pages))
    assert [
        job["id"] for job in server.client().list_jobs(7, status="ready", active_compute_node_id=None)
    ] == [1, 2, 3]
    assert [path for _, path, _ in server.requests] == [
        "/torc-service/v1/jobs?workflow_id=7&status=ready&offset=0&limit=100000",
        "/torc-service/v1/jobs?workflow_id=7&status=ready&offset=2&limit=100000",
    ]


def test_a_limit_ends_the_paging(server: FaultyServer) -> None:
    server.answer = reply(200, {"items": [{"id": 1}, {"id": 2}], "has_more": True})
    assert len(server.client().list_workflows(limit=2, is_archived=False)) == 2
    assert [path for _, path, _ in server.requests] == [
        "/torc-service/v1/workflows?limit=2&is_archived=false&offset=0"
    ]


def test_worker_names_are_percent_encoded(server: FaultyServer) -> None:
    server.client().remove_remote_worker(1, "a b@[::1]:22/c+d")
    assert (
        server.requests[0][1]
        == "/torc-service/v1/workflows/1/remote_workers/a%20b%40%5B%3A%3A1%5D%3A22%2Fc%2Bd"
    )


@pytest.mark.parametrize(
    ("told", "warning"),
    [
        ({"api_version": "0.23.9"}, None),
        ({"api_version": "0.24.0"}, "mismatch"),
        ({"api_version": "soon"}, "can't be read"),
        ({}, None),
    ],
)
def test_version_check(server: FaultyServer, told: dict[str, str], warning: str | None) -> None:
    server.answer = reply(200, told)
    found = server.client().check_version()
    assert found is None if warning is None else found is not None and warning in found


def test_another_major_version_is_an_error(server: FaultyServer) -> None:
    server.answer = reply(200, {"api_version": "1.23.0"})
    with pytest.raises(TorcError, match="--skip-version-check"):
        server.client().check_version()
    server.answer = reply(500, "no", "text/plain")
    assert server.client().check_version() is None, "a server that doesn't tell is let pass"


def test_a_ca_file_that_is_missing() -> None:
    with pytest.raises(UsageError, match=r"'/no/ca.pem' is not a file"):
        TorcClient(load_settings({"tls_ca_cert": "/no/ca.pem"}, {}))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_tls(server: FaultyServer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    settings = Settings(api_url=server.url.replace("http:", "https:"))
    with pytest.raises(ServerError, match=r"certificate of https.* was not accepted: .*--tls-ca-cert"):
        TorcClient(settings, timeout=(2, 1)).ping()
    assert TorcClient(replace(settings, tls_ca_cert=str(certificate))).ping() == {}
    assert TorcClient(replace(settings, tls_insecure=True)).ping() == {}


def test_tls_to_a_server_without_it(server: FaultyServer) -> None:
    settings = Settings(api_url=server.url.replace("http:", "https:"))
    with pytest.raises(ServerError, match=r"No TLS connection to https.* http://"):
        TorcClient(settings, timeout=(2, 1)).ping()
