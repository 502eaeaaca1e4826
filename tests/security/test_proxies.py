"""Proxies, ~/.netrc and other files of the environment's: whom they let see the credentials, and whom not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.proxy import Proxy, proxy, reply
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.errors import ServerError

SERVER = "http://torc.invalid/torc-service/v1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What answers to every request, whether it is asked as a server or as a proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with proxy() as answering:
        answering.rule = lambda method, path: reply(200, {"status": "ok"})
        yield answering


def _client(url: str, password: str | None = "pw") -> TorcClient:
    return TorcClient(Settings(api_url=url, username="alice", password=password))


def test_a_proxy_is_for_servers_elsewhere(running: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for one on this machine, whatever it is called, nor for one that NO_PROXY names."""
    address = f"http://127.0.0.1:{running.http.server_port}"
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, address)
    _client(SERVER).ping()
    assert running.seen[-1][1] == f"{SERVER}/ping"
    for name in VARIABLES[:3]:
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for host in ("127.0.0.1", "localhost"):
        _client(f"http://{host}:{running.http.server_port}/torc-service/v1").ping()
        assert running.seen[-1][1] == "/torc-service/v1/ping"
    monkeypatch.setenv("NO_PROXY", "torc.invalid")
    with pytest.raises(ServerError, match=r"Cannot reach .*Is it running") as error:
        _client(SERVER).ping()
    assert "proxy" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://alice:s3cret@127.0.0.1:1", r"Connection refused.* proxy 127\.0\.0\.1:1 of"),
        ("socks5h://127.0.0.1:1", r"proxy can't be used: Missing dependencies for SOCKS support\. "),
        ("ftp://127.0.0.1:1", r"Proxy URL had unsupported scheme ftp, .* proxy ftp://127\.0\.0\.1:1 of"),
        ("http://nosuch.invalid:3128", r"proxy http://nosuch\.invalid:3128 of"),
    ],
)
def test_a_proxy_that_fails_is_named(
    running: Proxy, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    """Without the password in its URL, and with what to do."""
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(ServerError, match=words) as error:
        _client(SERVER).ping()
    assert "NO_PROXY=torc.invalid avoids it." in str(error.value)
    assert "s3cret" not in str(error.value)


def test_netrc_and_ca_files_of_the_environment_do_not_count(
    running: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password of ~/.netrc goes nowhere, and a missing CA file breaks nothing."""
    (tmp_path / ".netrc").write_text("default login bob password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, "/nonexistent")
    _client(running.url, password=None).ping()
    assert "Authorization" not in running.seen[-1][2]
