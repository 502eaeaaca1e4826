"""The real torc-server with passwords, TLS and access control: native workers that our CLI starts authenticate.

Torc's own `remote run` can't do this: it gives its workers the URL and nothing else (torc wire 8, 15).
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import StartTorcServer
from tests.interop.fleets import HOSTS, native_fleet
from tests.support import wait_until
from tests.support.native import Native
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox

pytestmark = pytest.mark.slow

PASSWORDS = {"tester": "Correct-Horse-7-Battery", "bob": "Another-Staple-8-Horse"}


@pytest.fixture(scope="module")
def htpasswd(native: Native, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("auth") / "htpasswd"
    for user, password in PASSWORDS.items():
        add = [native.htpasswd, "add", "-f", file, "-p", password, "-c", "4", user]
        subprocess.run(add, check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private CA's certificate ca.pem, and server.pem with server.key, which it has signed for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    openssl(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=our CA", *ca
    )
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=torc")
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signing)
    return directory


def query(fleet: SandboxFleet, *words: str | int) -> Any:
    return json.loads(fleet.torc("-f", "json", *words).stdout)


def life_of_a_workflow(fleet: SandboxFleet) -> int:
    """Workers authenticate, take a job and are stopped; the server knows of it. The workflow's ID."""
    number = fleet.sleeping(HOSTS[:2])
    started = fleet.hosts("run", number, "-p", 0.5)
    assert {host["state"] for host in started.values()} == {"registered"}
    wait_until(lambda: query(fleet, "status", number)["jobs_by_status"]["running"] == 1, 30)
    fleet.torc("remote", "stop", number)
    status = query(fleet, "status", number)
    assert status["jobs_by_status"]["ready"] == 1
    assert status["active_compute_nodes"] == 0
    return number


def test_passwords(
    sandbox: Sandbox, native: Native, torc_server: StartTorcServer, htpasswd: Path, tmp_path: Path
) -> None:
    url = torc_server("--auth-file", htpasswd, "--require-auth").url
    fleet = native_fleet(sandbox, url, tmp_path, native, {"TORC_PASSWORD": PASSWORDS["tester"]})
    number = life_of_a_workflow(fleet)
    for wrong in ({}, {"TORC_PASSWORD": "wrong"}):
        stranger = SandboxFleet(sandbox, url, tmp_path, {"TORC_USERNAME": "tester", **wrong})
        assert "401 Unauthorized" in stranger.torc("remote", "run", number, code=1).stderr


def test_tls_with_a_private_ca_passwords_and_access_control(
    sandbox: Sandbox,
    native: Native,
    torc_server: StartTorcServer,
    htpasswd: Path,
    certificates: Path,
    tmp_path: Path,
) -> None:
    tls = ["--https", "--tls-cert", certificates / "server.pem", "--tls-key", certificates / "server.key"]
    access = ["--auth-file", htpasswd, "--require-auth", "--enforce-access-control"]
    url = torc_server(*tls, *access).url
    trust = {"TORC_TLS_CA_CERT": str(certificates / "ca.pem")}
    alice = {"TORC_USERNAME": "tester", "TORC_PASSWORD": PASSWORDS["tester"]}
    number = life_of_a_workflow(native_fleet(sandbox, url, tmp_path, native, alice | trust))

    bob = SandboxFleet(
        sandbox, url, tmp_path, {"TORC_USERNAME": "bob", "TORC_PASSWORD": PASSWORDS["bob"], **trust}
    )
    for command in ("run", "status", "stop"):
        said = bob.torc("remote", command, number, code=1).stderr
        assert f"User 'bob' does not have access to workflow {number}" in said
    untrusting = SandboxFleet(sandbox, url, tmp_path, alice).torc("remote", "status", number, code=1).stderr
    assert "certificate" in untrusting
