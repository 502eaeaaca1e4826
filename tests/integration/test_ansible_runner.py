"""The inventory plugin and the plays under ansible-runner, as AWX runs them, with secrets that are vaulted."""

import json
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import StartServer
from tests.support.packages import BIN, ROOT, run_ansible
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
PASSWORD = f"pw-{secrets.token_hex(8)}"
FLEET = {
    "plugin": "torc.remote.torc_workers",
    "keyed_groups": [{"key": "torc_workflow_name", "prefix": "torc_name"}],
    "groups": {"odd": "inventory_hostname is match('.*[13]$')"},
    "compose": {"rack": "inventory_hostname[-1]"},
    "cache": True,
    "cache_plugin": "ansible.builtin.jsonfile",
}
PLAYS = [
    {
        "hosts": "torc_name_test:&odd",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.debug": {"msg": "rack {{ rack }}"}}],
    },
    {"ansible.builtin.import_playbook": "torc.remote.status"},
]


@dataclass(frozen=True)
class Runner:
    """A private data directory; the vault's key is beside it."""

    fleet: SandboxFleet
    directory: Path

    @property
    def key(self) -> Path:
        return self.directory.with_name("key")

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def vaulted(self, name: str, value: str) -> str:
        """``name: !vault …``, as a line of YAML."""
        command = ["ansible-vault", "encrypt_string", "--vault-password-file", str(self.key)]
        done = subprocess.run(
            [BIN / command[0], *command[1:], "--stdin-name", name],
            input=value,
            capture_output=True,
            text=True,
            check=True,
        )
        assert value not in done.stdout
        return done.stdout + "\n"

    def environment(self) -> dict[str, str]:
        """Without the server's password."""
        return self.fleet.env() | {
            "PATH": f"{BIN}:{self.fleet.env()['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_HOST_KEY_CHECKING": "True",
        }

    def run(self, playbook: str, number: int, *words: str) -> str:
        """Run a playbook, which must go well; what ansible-playbook printed."""
        words = ("-vvv", "--vault-password-file", str(self.key), "-e", f"torc_workflow_id={number}", *words)
        play = ["run", self.directory, "-p", playbook, f"--cmdline={shlex.join(words)}"]
        done = run_ansible("ansible-runner", *play, cwd=self.directory.parent, env=self.environment())
        assert done.returncode == 0, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout

    def files(self) -> Mapping[Path, bytes]:
        return {path: path.read_bytes() for path in self.directory.parent.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def guarded(
    sandbox: Sandbox, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> SandboxFleet:
    """A fleet whose server wants a password."""
    server = start_server(password=PASSWORD)
    login = {"TORC_USERNAME": "alice", "TORC_PASSWORD": PASSWORD}
    machines = SandboxFleet(sandbox, server.url, tmp_path_factory.mktemp("guarded"), login)
    machines.torc("remote", "install", machines.sleeping())
    return machines


@pytest.fixture
def runner(guarded: SandboxFleet, tmp_path: Path) -> Runner:
    """Knows the server's address, but the password only from what the test gives it."""
    made = Runner(SandboxFleet(guarded.sandbox, guarded.url, guarded.directory), tmp_path / "data")
    made.key.write_text("the vault's key\n")
    return made


def inventory(runner: Runner, more: str = "", **options: Any) -> None:
    runner.write("inventory/torc.yml", yaml.safe_dump(FLEET | {"username": "alice"} | options) + more)


def test_groups_variables_and_cache(guarded: SandboxFleet, runner: Runner) -> None:
    number = guarded.sleeping(["sandbox1", "sandbox2"])
    inventory(runner, runner.vaulted("password", PASSWORD), cache_connection=str(runner.directory / "cache"))
    runner.write("project/site.yml", yaml.safe_dump(PLAYS))
    said = runner.run("site.yml", number)
    assert '"msg": "rack 1"' in said
    assert "rack 2" not in said
    assert '"sandbox2": "none"' in said
    guarded.torc("remote", "add-workers", number, "sandbox3")
    assert "sandbox3" not in runner.run("site.yml", number), "not from the cache"
    assert "rack 3" in runner.run("site.yml", number, "--flush-cache")
    cached = [path for path in runner.files() if path.parent.name == "cache"]
    assert cached
    assert not [path for path, content in runner.files().items() if PASSWORD.encode() in content]


@pytest.mark.parametrize("place", ["group_vars", "extra variables"])
def test_vaulted_password_for_inventory_and_plays(place: str, guarded: SandboxFleet, runner: Runner) -> None:
    """Both log in to the server, and so does the worker; the password is nowhere to be seen."""
    number = guarded.sleeping(HOSTS[:2])
    vaulted = runner.vaulted("torc_password", PASSWORD)
    words: list[str] = []
    if place == "group_vars":
        inventory(runner, runner.vaulted("password", PASSWORD), cache=False)
        runner.write("inventory/group_vars/torc_workers.yml", vaulted)
    else:
        inventory(runner, cache=False)
        runner.write("secrets.yml", vaulted)
        words = ["-e", f"@{runner.directory}/secrets.yml"]
    assert "registered" in runner.run("torc.remote.run", number, *words)
    assert "running" in runner.run("torc.remote.status", number, *words)
    assert "stopped" in runner.run("torc.remote.stop", number, *words)
    events = list((runner.directory / "artifacts").rglob("*.json"))
    assert any(json.loads(path.read_text()).get("event") == "runner_on_ok" for path in events)
    assert not [path for path, content in runner.files().items() if PASSWORD.encode() in content]
