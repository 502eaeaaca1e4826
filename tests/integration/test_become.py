"""The roles in other people's plays, as another user than the one that logs in, through sudo."""

import json
import os
import pwd
import re
import shutil
import subprocess
import tarfile
import tempfile
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


LAUNCHED = """
import sys
from torc_remote.remote import channel
channel.path = sys.argv[1]
from ansible.cli.playbook import PlaybookCLI
PlaybookCLI.cli_executor(["ansible-playbook", *sys.argv[2:]])
"""
"""ansible-playbook as the CLI launches it: one task works on all hosts, and the answers go to a file."""


@pytest.fixture
def passed(machine: Machine) -> Path:
    """The aliases of two jump hosts, a line for each connection through them. All are the one machine."""
    machine.allow("NOPASSWD:")
    config, passed = machine.login.directory / "ssh_config", machine.login.directory / "passed"
    passed.write_text("")
    gates = f"Host gate gate2\n  PermitLocalCommand yes\n  LocalCommand echo %n >>{passed}\n"
    plain = config.read_text().partition("Host account")[2].partition("\n")[2]
    config.write_text(f"{gates}Host account plain served behind gate gate2\n{plain}")
    return passed


@pytest.mark.parametrize("launched", [False, True], ids=["by hand", "launched"])
def test_hosts_of_one_play_that_differ(
    machine: Machine, passed: Path, tmp_path: Path, launched: bool
) -> None:
    """Each host has its own user and its own way through a jump host, whichever way the play is scheduled."""
    become = {"ansible_become": True, "ansible_become_user": machine.service.pw_name}
    apart: dict[str, dict[str, Any]] = {
        "plain": {},
        "served": {**become, "ansible_ssh_common_args": "-o ProxyJump=gate"},
        "behind": {"ansible_ssh_common_args": "-o ProxyJump=gate2"},
    }
    number = machine.fleet.sleeping(list(apart))
    (tmp_path / "torc.yml").write_text("plugin: torc.remote.torc_workers\n")
    (tmp_path / "host_vars").mkdir()
    for host, variables in apart.items():
        # the script names the path of a program that is not there, which begins with its user's home
        own = {**variables, "torc_executable": f"of-{host}"}
        (tmp_path / f"host_vars/{host}.yml").write_text(yaml.safe_dump(own))
    role = {"role": "torc.remote.version_check", "vars": {"torc_workflow_id": number}}
    play = {"hosts": f"torc_workflow_{number}", "gather_facts": False, "roles": [role]}
    (tmp_path / "site.yml").write_text(yaml.safe_dump([play]))
    answers = tmp_path / "answers"
    answers.touch()
    way = ["python", "-c", LAUNCHED, str(answers)] if launched else ["ansible-playbook"]
    with tempfile.TemporaryDirectory() as runtime:  # no connection is open yet
        environment = {**machine.fleet.env(), "XDG_RUNTIME_DIR": runtime}
        done = run_ansible(*way, "-i", "torc.yml", "site.yml", cwd=tmp_path, env=environment)
    text = done.stdout + done.stderr + answers.read_text()
    for host in apart:
        user = machine.service if host == "served" else machine.login.user
        assert f"there is no executable file {user.pw_dir}/of-{host} on this host" in text, text
    assert {*passed.read_text().split()} == {"gate", "gate2"}
