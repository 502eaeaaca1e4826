"""The roles in other people's plays, as another user than the one that logs in, through sudo."""

import json
import os
import pwd
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import StartServer
from tests.support.accounts import CAN_MAKE, WHY_NOT, AccountMachine, account_machine
from tests.support.packages import run_ansible
from tests.support.remote import SandboxFleet

pytestmark = [
    pytest.mark.skipif(not CAN_MAKE, reason=WHY_NOT),
    pytest.mark.skipif(not shutil.which("sudo"), reason="there is no sudo"),
]

PASSWORD = "the account's own password"


@dataclass(frozen=True)
class Machine:
    """One host: who logs in there, who should own the workers, and the server."""

    login: AccountMachine
    service: pwd.struct_passwd
    fleet: SandboxFleet

    def allow(self, tag: str) -> None:
        """What sudo lets the one who logs in do, with or without a password."""
        name = self.login.user.pw_name
        rules = Path("/etc/sudoers.d", name)
        rules.write_text(f"{name} ALL=({self.service.pw_name}) {tag} ALL\n")
        rules.chmod(0o440)

    def play(self, number: int, roles: list[str], keywords: dict[str, Any], **variables: Any) -> None:
        """Run these roles in a play with ``keywords``, which must go well."""
        directory = self.fleet.directory
        (directory / "torc.yml").write_text("plugin: torc.remote.torc_workers\n")
        names = [f"torc.remote.{role}" for role in roles]
        play = {"hosts": f"torc_workflow_{number}", "gather_facts": False, "roles": names, **keywords}
        (directory / "site.yml").write_text(yaml.safe_dump([play]))
        given = variables | {"torc_workflow_id": number, "torc_local_output_dir": "logs"}
        words = ["-i", "torc.yml", "-e", json.dumps(given), "site.yml"]
        done = run_ansible("ansible-playbook", *words, cwd=directory, env=self.fleet.env())
        assert done.returncode == 0, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def machine(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with account_machine() as login, account_machine() as other:
        subprocess.run(["chpasswd"], input=f"{login.user.pw_name}:{PASSWORD}\n", text=True, check=True)
        host: Any = login
        fleet = SandboxFleet(host, start_server().url, tmp_path_factory.mktemp("controller"))
        yield Machine(login, other.user, fleet)
        Path("/etc/sudoers.d", login.user.pw_name).unlink(missing_ok=True)


def files(user: pwd.struct_passwd) -> set[str]:
    """What is in the account's home, and what it has lying about in /tmp."""
    lying = ["find", "/tmp", "-maxdepth", "1", "-user", user.pw_name]
    listed = subprocess.run(lying, capture_output=True, text=True, check=False).stdout.split()
    return {*listed, *map(str, Path(user.pw_dir).rglob("*"))}


@pytest.mark.parametrize("become", ["none", "sudo", "sudo with a password"])
def test_the_life_of_a_workflow(become: str, machine: Machine) -> None:
    """All that is on the host belongs to the user that is become, in whose home it is."""
    number = machine.fleet.sleeping()
    keywords: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    user, other = machine.login.user, machine.service
    if become != "none":
        user, other = other, user
        keywords = {"become": True, "become_user": user.pw_name}
        machine.allow("NOPASSWD:" if become == "sudo" else "PASSWD:")
    if become == "sudo with a password":
        variables = {"ansible_become_password": PASSWORD}
    home, untouched = Path(user.pw_dir), files(other)
    machine.play(
        number, ["install_torc", "version_check", "initialize", "start_worker"], keywords, **variables
    )
    (record,) = (home / ".local/state/torc-remote").rglob("record")
    pid = re.findall(r"^pid=(\d+)$", record.read_text(), re.MULTILINE)[0]
    assert {path.owner() for path in (record, home / "torc_output", Path("/proc", pid))} == {user.pw_name}
    # too much to come with the script's answer: it is fetched by the user who logs in
    big = home / "torc_output/job_stdio/big"
    big.write_bytes(os.urandom(200_000))
    shutil.chown(big, user.pw_name)
    machine.play(number, ["status", "stop", "fetch_logs"], keywords, **variables)
    archive = machine.fleet.directory / f"logs/torc_logs_{number}_account.tar.gz"
    with tarfile.open(archive) as packed:
        assert any("torc_worker_" in name for name in packed.getnames())
        assert any(name.endswith("/big") for name in packed.getnames())
    machine.play(number, ["delete_logs"], keywords, **variables)
    assert not (home / "torc_output").exists()
    assert not [path for path in files(user) if path.startswith("/tmp/torc-logs-")]
    assert files(other) == untouched
