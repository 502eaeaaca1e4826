"""The built-in server's own clients get in; what a page in somebody's browser can send does not."""

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Server, StartServer
from tests.support.server_contract import served
from torc_remote.builtin.server.store.database import Database
from torc_remote.errors import TorcError

TORC = Path(sys.executable).with_name("torc")
WORKFLOW = json.dumps({"name": "w", "user": "u"})
CREDENTIALS = "Basic YWxpY2U6czNjcmV0"  # alice:s3cret


def ask(
    server: Server, method: str, path: str, headers: Mapping[str, str], body: str = ""
) -> tuple[int, str]:
    """One request with these headers alone, as a browser could send it."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
    connection.putrequest(method, address.path + path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": address.netloc, "Content-Length": str(len(body)), **headers}.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def every_route() -> Iterator[tuple[str, str]]:
    """Method and path of all that the server serves, and of what it doesn't."""
    for method, path in sorted(served()):
        yield method, re.sub(r"\{\w+(:path)?\}", "1", path.replace("{status}", "ready"))


def foreign(server: Server) -> list[dict[str, str]]:
    """Headers of requests from pages of other sites; the server has no password."""
    port = urlsplit(server.url).port
    pages = ["http://attacker.example", f"https://127.0.0.1:{port}.attacker.example", "null", "file://"]
    pages += [f"http://attacker.example:{port}", "http://127.0.0.1:3000", "http://localhost"]
    hosts = ["attacker.example", f"attacker.example:{port}", "127.0.0.1.attacker.example", "192.0.2.1"]
    hosts += ["localhost.attacker.example", "attacker.example@127.0.0.1", "[::1].attacker.example", "0.0.0.0"]
    return [
        *({"Host": host} for host in hosts),
        {"Host": f"attacker.example:{port}", "Origin": f"http://attacker.example:{port}"},
        *({"Origin": page} for page in pages),
        *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")),
    ]


SIMPLE_TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/ping",
    "text/plain; application/json", "application/jsonx",
]  # fmt: skip


def test_pages_of_other_sites_reach_no_route(server: Server) -> None:
    assert ask(server, "POST", "/workflows", {"Content-Type": "application/json"}, WORKFLOW)[0] == 200
    before = server.database.with_name("torc.db-wal").read_bytes()
    strange = foreign(server)
    for number, (method, path) in enumerate(every_route()):
        # all of them for one route, one for each of the others
        for headers in strange if path == "/bulk_jobs" else [strange[number % len(strange)]]:
            status, text = ask(server, method, path, {"Content-Type": "application/json", **headers}, "{}")
            assert status == 403, (method, path, headers, text)
            assert method == "HEAD" or json.loads(text)["error"]["message"]
    for number, (method, path) in enumerate(every_route()):
        if method not in ("GET", "HEAD", "OPTIONS"):
            headers = {"Content-Type": SIMPLE_TYPES[number % len(SIMPLE_TYPES)]}
            assert ask(server, method, path, headers, WORKFLOW)[0] == 415, (method, path, headers)
            assert ask(server, method, path, headers)[0] == 415, (method, path, headers)
            assert ask(server, method, path, {}, WORKFLOW)[0] == 415, (method, path)
    assert server.database.with_name("torc.db-wal").read_bytes() == before


def test_clients_of_its_own_machine_are_served(start_server: StartServer) -> None:
    server = start_server(options=["--allowed-host", "Torc.example"])
    address = urlsplit(server.url)
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8080", "[::1]", "torc.example"):
        assert ask(server, "GET", "/ping", {"Host": host})[0] == 200, host
    own = {"Origin": f"http://{address.netloc}", "Sec-Fetch-Site": "same-origin"}
    for headers in ({}, own, {"Sec-Fetch-Site": "none"}, {"Content-Type": "application/json"}):
        json_type = {"Content-Type": "application/json; charset=utf-8"}
        assert ask(server, "POST", "/workflows", {**headers, **json_type}, WORKFLOW)[0] == 200, headers
        assert ask(server, "PUT", "/workflows/1/cancel", headers)[0] == 200, headers
    status, text = ask(server, "GET", "/ping", {"Host": "other.example"})
    assert (status, "--allowed-host" in text) == (403, True)


def test_with_a_password_other_names_are_served_and_other_pages_are_not(start_server: StartServer) -> None:
    server = start_server(password="s3cret")
    known = {"Authorization": CREDENTIALS, "Host": "torc.example"}
    assert ask(server, "GET", "/ping", known)[0] == 200
    assert ask(server, "GET", "/ping", {"Host": "torc.example"})[0] == 401
    for headers in foreign(server):
        if headers.keys() != {"Host"} and headers.get("Host") is None:
            assert ask(server, "GET", "/workflows", {"Authorization": CREDENTIALS, **headers})[0] == 403, (
                headers
            )
            assert ask(server, "GET", "/workflows", headers)[0] == 403, headers


def refused(*arguments: object) -> str:
    """What `torc server run` says where it must not start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    command = [TORC, "server", "run", "--port", "0", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def not_opened(path: Path) -> str:
    """Why this is not taken as the database."""
    with pytest.raises(TorcError) as caught:
        Database(path)
    return str(caught.value)


def test_all_files_are_private_and_one_server_has_them(start_server: StartServer, tmp_path: Path) -> None:
    database = tmp_path / "real" / "torc.db"
    database.parent.mkdir()
    beside = [database.with_name(f"torc.db{ending}") for ending in ("", "-wal", "-shm", ".lock")]
    before = os.umask(0)
    try:
        for file in beside:
            file.touch(0o666)
        server = start_server(database, options=["--password-file", str(tmp_path / "password")])
    finally:
        os.umask(before)
    json_type = {"Content-Type": "application/json"}
    assert ask(server, "GET", "/ping", json_type)[0] == 401
    for file in (*beside, tmp_path / "password"):
        assert oct(file.stat().st_mode & 0o777) == "0o600", file
    told = server.log.read_text()
    assert f'TORC_PASSWORD="$(cat {tmp_path}/password)"' in told
    password = (tmp_path / "password").read_text().strip()
    assert len(password) > 30
    assert password not in told

    (tmp_path / "other").mkdir()
    link, hard, directory = tmp_path / "link.db", tmp_path / "other" / "hard.db", tmp_path / "also"
    link.symlink_to(database)
    directory.symlink_to(database.parent)
    hard.hardlink_to(database)
    for name in (database, link, directory / "torc.db"):
        assert "Another server is using" in not_opened(name), name
    assert "Another server is using" in refused("--database", hard)
    server.process.terminate()
    server.process.wait(10)
    assert "hard link" in not_opened(database)
    hard.unlink()
    target = tmp_path / "precious"
    target.write_text("precious")
    database.with_name("torc.db.lock").unlink()
    database.with_name("torc.db.lock").symlink_to(target)
    assert "can't be opened" in not_opened(database)
    assert target.read_text() == "precious"
    target.chmod(0o644)
    assert "can't be used as the server's database" in not_opened(target)
    assert oct(target.stat().st_mode & 0o777) == "0o644"  # it is none of ours
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), tmp_path, tmp_path / "nowhere" / "torc.db"):
        assert "can't be opened" in not_opened(path)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_links_beside_the_database_are_not_followed(tmp_path: Path, ending: str) -> None:
    """In a directory where others may write, one of them leads to a file of the user's."""
    target, beside = tmp_path / "precious", tmp_path / f"torc.db{ending}"
    target.write_text("precious")
    target.chmod(0o644)
    for link in (beside.symlink_to, beside.hardlink_to):
        link(target)
        assert f"{beside} is a link" in not_opened(tmp_path / "torc.db")
        beside.unlink()
    assert (target.read_text(), oct(target.stat().st_mode & 0o777)) == ("precious", "0o644")


def test_a_password_file_is_kept_and_may_not_be_a_link_into_nowhere(tmp_path: Path) -> None:
    dangling = tmp_path / "password"
    dangling.symlink_to(tmp_path / "elsewhere")
    assert "can't be read" in refused("--password-file", dangling, "--database", tmp_path / "torc.db")
    assert not (tmp_path / "elsewhere").exists()
