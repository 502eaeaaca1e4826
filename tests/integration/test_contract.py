"""The commands keep to what torc's page "Remote Workers" promises (tests/contract_data/remote_workers_options.json)."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from tests.faults.hosts import other_torc
from tests.support.remote import SandboxFleet
from torc_remote import __version__
from torc_remote.cli.remote import remote
from torc_remote.ssh.options import SshOptions

CONTRACT = json.loads((Path(__file__).parents[1] / "contract_data/remote_workers_options.json").read_text())
COMMANDS: dict[str, Any] = CONTRACT["commands"]
OPTIONS = [(command, names) for command in COMMANDS for names in COMMANDS[command]["options"]]


def command_of(name: str) -> click.Command:
    command = remote.get_command(click.Context(remote), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_arguments(name: str) -> None:
    arguments = [param for param in command_of(name).params if isinstance(param, click.Argument)]
    assert [spelled(argument) for argument in arguments] == COMMANDS[name]["arguments"]


def spelled(argument: click.Argument) -> str:
    name = (argument.name or "").replace("_", "-")
    if argument.nargs == -1:
        name = name.removesuffix("s") + "..."
    return name if argument.required else f"[{name}]"


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=[" ".join(pair) for pair in OPTIONS])
def test_options(name: str, option: str) -> None:
    found = [param for param in command_of(name).params if set(option.split(", ")) <= set(param.opts)]
    assert len(found) == 1, f"{name} has no {option}"
    assert isinstance(found[0], click.Option)
    assert default(found[0]) == COMMANDS[name]["options"][option]


def default(option: click.Option) -> str:
    """The default as the contract's tables write it."""
    shown = option.show_default
    if isinstance(shown, str):
        # the option left out, the directory of the worker's start counts, which is the contract's by default
        assert not isinstance(option.default, str)
        return shown.removeprefix("the one of the start, else ")
    value = click.Command("any", params=[option]).make_context("any", []).params[str(option.name)]
    if option.is_flag:
        return str(bool(value)).lower()
    return "none" if value is None else str(value)


def test_ssh_options() -> None:
    arguments = SshOptions(Path("/run")).group_vars()["ansible_ssh_args"]
    for name, value in CONTRACT["ssh_options"].items():
        assert f"-o {name}={value}" in arguments


# --- the messages of Troubleshooting, by real faults


def promised(title: str, number: int, *workers: str) -> list[str]:
    """The contract's lines with our workflow, version and hosts."""
    lines = "\n".join(CONTRACT["messages"][title]).replace("42", str(number)).replace("0.7.0", __version__)
    for place, worker in enumerate(workers, 1):
        lines = lines.replace(f"worker{place}", worker)
    return lines.split("\n")


def test_no_workers_configured(fleet: SandboxFleet) -> None:
    number = fleet.workflow([{"name": "a", "command": "true"}])
    said = fleet.torc("remote", "run", number, code=1)
    assert said.stderr.splitlines() == [
        f"Error: {line}" for line in promised("No Workers Configured", number)
    ]
    assert said.stdout == ""


@pytest.fixture
def old_torc(fleet: SandboxFleet) -> Iterator[None]:
    """sandbox1 and sandbox2 have an older torc."""
    old = "echo torc 0.6.5"
    with other_torc(fleet, "sandbox1", old), other_torc(fleet, "sandbox2", old):
        yield


def test_version_mismatch(fleet: SandboxFleet, old_torc: None) -> None:
    number = fleet.sleeping()
    said = fleet.torc("remote", "run", number, code=1)
    assert said.stderr.splitlines()[:3] == promised("Version Mismatch", number, "sandbox1", "sandbox2")
    assert said.stdout == f"Found 3 worker(s) for workflow {number}\n"
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"none"}


def test_ssh_connection_failed(fleet: SandboxFleet, tmp_path: Path) -> None:
    layout = fleet.sandbox.layout
    config = tmp_path / "ssh_config"
    # a key that the host does not know; of one that is not there ssh says more
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    block = f"""\
Host stranger
  HostName {layout.hosts[1].address}
  User {layout.user}
  Port {layout.port}
  IdentityFile {tmp_path}/key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {layout.directory}/known_hosts
"""
    config.write_text(block + layout.ssh_config.read_text())
    strange = replace(fleet, environment={**fleet.environment, "TORC_REMOTE_SSH_CONFIG": str(config)})
    number = strange.sleeping(["sandbox1", "stranger"])
    said = strange.torc("remote", "run", number, code=1)
    assert said.stderr.splitlines()[:2] == promised("SSH Connection Failed", number, "stranger")
    assert {host["state"] for host in fleet.hosts("status", number, code=3).values()} == {
        "none",
        "unreachable",
    }


def test_worker_died_immediately(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(["sandbox1"])
    nowhere = "http://127.0.0.1:1/torc-service/v1"
    said = fleet.torc("remote", "run", number, "--worker-url", nowhere, code=1)
    first, last = promised("Worker Died Immediately", number, "sandbox1")
    lines = said.stderr.splitlines()
    assert f"  {first}" in lines
    log = lines[lines.index(f"  {first}") + 1 :]
    reason = last.strip().removeprefix("Error: ").removesuffix("...")
    assert any(re.match(rf" {{2,}}\S.*{reason}", line, re.IGNORECASE) for line in log), log
    assert said.stdout.splitlines()[-1] == "Started 0/1 workers"
