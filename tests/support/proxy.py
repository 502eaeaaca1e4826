"""A server between the CLI and the real one, that misbehaves where a test tells it to."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]
# what the server does to a request (method, path): None to pass it on
Rule = Callable[[str, str], Answer | None]

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


class Proxy:
    """Passes requests on to ``target`` (a base URL), unless ``rule`` has an answer; ``seen`` keeps all of them."""

    def __init__(self, target: str = "") -> None:
        self.rule: Rule = lambda method, path: None
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.seen.append((self.command, self.path, dict(self.headers)))
                answer = proxy.rule(self.command, self.path)
                if answer:
                    answer(self)
                else:
                    _pass_on(self, urlsplit(target).netloc, body)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  (the names http.server wants)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_port}/torc-service/v1"


@contextmanager
def proxy(target: str = "") -> Iterator[Proxy]:
    """A running proxy; without a target every request needs a rule."""
    running = Proxy(target)
    threading.Thread(target=running.http.serve_forever, args=(0.01,), daemon=True).start()
    yield running
    running.http.shutdown()
    running.http.server_close()


def _pass_on(handler: BaseHTTPRequestHandler, netloc: str, body: bytes) -> None:
    connection = http.client.HTTPConnection(netloc, timeout=30)
    connection.request(handler.command, handler.path, body, dict(handler.headers))
    response = connection.getresponse()
    data = response.read()
    connection.close()
    kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
    _send(handler, response.status, data, kept)


def _send(handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in {**headers, "content-length": str(len(data))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def reply(status: int, body: object, content_type: str = "application/json", **headers: str) -> Answer:
    """An answer that is always the same; what is no text is sent as JSON."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return lambda handler: _send(handler, status, data, {"content-type": content_type} | headers)


def cut(body: str = '{"items": [') -> Answer:
    """The beginning of an answer, then the end of the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer
