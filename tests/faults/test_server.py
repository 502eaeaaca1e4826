"""Fault 59: servers that misbehave, behind the commands that a user calls."""

import os
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from tests.support.proxy import Answer, Proxy, cut, proxy, reply
from tests.support.remote import SandboxFleet

PASSWORD = "correct horse"


@pytest.fixture
def front(fleet: SandboxFleet) -> Iterator[Proxy]:
    """A proxy before the fleet's server."""
    with proxy(fleet.url) as running:
        yield running


@pytest.fixture
def through(fleet: SandboxFleet, front: Proxy) -> SandboxFleet:
    return replace(fleet, url=front.url)


_HTML = reply(200, "<html>Welcome</html>", "text/html")
ANSWERS = {
    "500": (reply(500, "", "text/plain"), "with 500"),
    "torc's own 500": (reply(500, {"error": {"message": "disk I/O error"}}), "disk I/O error"),
    "html": (_HTML, "no torc server"),
    "cut": (cut(), "cut off in the middle"),
    "a list": (reply(200, [1, 2]), "not a JSON object"),
}


@pytest.mark.parametrize(("answer", "said"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("command", ["run", "stop"])
def test_59_a_server_that_speaks_nonsense(
    through: SandboxFleet, front: Proxy, answer: Answer, said: str, command: str
) -> None:
    """A server that answers with an error, HTML or half an answer is named in one sentence, exit code 1, and
    no host is touched.
    """
    before = through.sandbox.handshakes()
    front.rule = lambda method, path: answer
    refused = through.torc("remote", command, 1, code=1)
    assert refused.stderr.startswith("Error: ")
    assert said in refused.stderr
    assert front.url in refused.stderr or "disk" in said or "JSON object" in said
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert through.sandbox.handshakes() == before


def test_59a_a_server_that_fails_between_two_steps(through: SandboxFleet, front: Proxy) -> None:
    """When the server fails in the middle of `run`, nothing is started; when it fails after `stop` ended a
    worker, the host's line says so, and the next `stop` reports what was left.
    """
    number = through.sleeping()
    failing = reply(500, {"error": {"message": "disk I/O error"}})
    front.rule = lambda method, path: failing if "initialize_jobs" in path else None
    refused = through.torc("remote", "run", number, code=1)
    assert "disk I/O error" in refused.stderr
    assert {host["state"] for host in through.hosts("status", number).values()} == {"none"}

    front.rule = lambda method, path: None
    through.torc("remote", "run", number)
    front.rule = lambda method, path: failing if "/compute_nodes/" in path and method != "GET" else None
    pids = [host["pid"] for host in through.hosts("status", number).values()]
    # killed, they can't tell the server themselves
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    stopped = through.report("stop", number, code=1)["hosts"]
    assert all(host["reason"].endswith("disk I/O error") for host in stopped)
    front.rule = lambda method, path: None
    told = through.hosts("stop", number)
    assert sum(host.get("jobs_requeued", 0) for host in told.values()) == 1


def test_59b_a_slow_server(through: SandboxFleet, front: Proxy) -> None:
    """A server that takes its time is waited for."""
    number = through.sleeping()

    def slowly(method: str, path: str) -> None:
        time.sleep(0.3)

    front.rule = slowly
    assert {host["state"] for host in through.hosts("run", number).values()} == {"registered"}
    front.rule = lambda method, path: None
    through.torc("remote", "stop", number)


@pytest.mark.parametrize("status", [302, 307])
def test_59c_a_redirect_elsewhere(fleet: SandboxFleet, front: Proxy, status: int) -> None:
    """A redirect is an error that names its target; neither password nor cookie go there."""
    secrets = {"TORC_PASSWORD": PASSWORD, "TORC_COOKIE_HEADER": "session=secret"}
    through = replace(fleet, url=front.url, environment={**fleet.environment, **secrets})
    with proxy() as elsewhere:
        elsewhere.rule = lambda method, path: reply(200, {"items": []})
        front.rule = lambda method, path: reply(status, "", location=f"{elsewhere.url}{path}")
        refused = through.torc("remote", "status", 1, code=1)
    assert f"redirects to '{elsewhere.url}" in refused.stderr
    assert elsewhere.seen == []
    assert "Authorization" in front.seen[-1][2]
    assert PASSWORD not in refused.stderr


@pytest.fixture
def tls(fleet: SandboxFleet, tmp_path: Path) -> Iterator[tuple[Proxy, Path]]:
    """The server behind TLS with a private CA, and the CA's certificate."""
    cert = self_signed(tmp_path)
    with proxy(fleet.url) as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert)
        running.http.socket = context.wrap_socket(running.http.socket, server_side=True)
        running.scheme = "https"
        yield running, cert


def test_59d_a_wrong_certificate(fleet: SandboxFleet, tls: tuple[Proxy, Path], tmp_path: Path) -> None:
    """A certificate that isn't trusted, or is for another name, is refused with the reason before any
    credential is sent; with `--tls-ca-cert` the commands and the workers on the hosts accept the server's
    own CA.
    """
    front, cert = tls
    secret = {**fleet.environment, "TORC_PASSWORD": PASSWORD}
    through = replace(fleet, url=front.url, environment=secret)
    refused = through.torc("remote", "status", 1, code=1)
    assert f"certificate of {front.url} was not accepted" in refused.stderr
    assert "--tls-ca-cert" in refused.stderr
    name = front.url.replace("127.0.0.1", "localhost")
    other = replace(through, url=name, environment={**secret, "TORC_TLS_CA_CERT": str(cert)})
    assert "was not accepted" in other.torc("remote", "status", 1, code=1).stderr
    assert front.seen == []

    trusting = replace(through, environment={**fleet.environment, "TORC_TLS_CA_CERT": str(cert)})
    number = trusting.sleeping()
    assert {host["state"] for host in trusting.hosts("run", number).values()} == {"registered"}
    trusting.torc("remote", "stop", number)


def test_59e_no_server_at_all(fleet: SandboxFleet) -> None:
    """Without a server every command says which URL it tried, exit code 1."""
    nobody = replace(fleet, url="http://127.0.0.1:1/torc-service/v1")
    for command in ("run", "delete-logs", "list-workers"):
        said = nobody.torc("remote", command, 1, code=1).stderr
        assert said.startswith("Error: Cannot reach the torc server at http://127.0.0.1:1/torc-service/v1:")
