"""What lies about on the controller, and what it keeps to itself: plays of the CLI are the CLI's own."""

import configparser
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hosts import with_ssh_config
from tests.support.remote import SandboxFleet

HOSTILE = "/nonexistent/hostile"
# of other programs as well, so they pass
SHARED = {"EDITOR", "PAGER", "NO_COLOR"}
BROKEN = "raise SystemExit('a plugin of the user was loaded')\n"


@pytest.fixture(scope="module")
def settings() -> list[Mapping[str, Any]]:
    """Each setting that Ansible and its plugins document, with the variables and keys that set it."""
    program = Path(sys.executable).with_name("ansible-config")
    command = [program, "list", "-t", "all", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, check=True)
    return list(_settings(json.loads(listed.stdout)))


def _settings(listed: Any) -> Iterator[Mapping[str, Any]]:
    """A setting says in lists what sets it; all else are the names of plugins and their kinds."""
    inner = listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else ()
    if isinstance(listed, dict) and any(isinstance(listed.get(key), list) for key in ("env", "ini")):
        yield listed
    else:
        for part in inner:
            yield from _settings(part)


def _kinds_of_plugins(settings: list[Mapping[str, Any]]) -> set[str]:
    keys = [
        key["key"] for setting in settings for key in setting.get("ini") or () if key["section"] == "defaults"
    ]
    return {key.removesuffix("_plugins") for key in keys if key.endswith("_plugins")}


def _lie_about(directory: Path, settings: list[Mapping[str, Any]]) -> None:
    """Put what Ansible reads by itself into a directory: its configuration, plugins, variables of all hosts."""
    parser = configparser.RawConfigParser()
    for key in (key for setting in settings for key in setting.get("ini") or ()):
        if not parser.has_section(key["section"]):
            parser.add_section(key["section"])
        parser.set(key["section"], key["key"], HOSTILE)
    for name in ("ansible.cfg", ".ansible.cfg"):
        with (directory / name).open("w") as file:
            parser.write(file)
    for kind in _kinds_of_plugins(settings):
        for place in (f".ansible/plugins/{kind}", f"{kind}_plugins"):
            (directory / place).mkdir(parents=True)
            for name in ("ssh", "default", "linear", "extras"):
                (directory / place / f"{name}.py").write_text(BROKEN)
    (directory / "group_vars").mkdir()
    (directory / "group_vars/all.yml").write_text("ansible_user: nobody\nansible_port: 1\n")


def test_no_setting_of_ansibles_from_elsewhere_counts(
    fleet: SandboxFleet, settings: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    """Every variable, every ansible.cfg and every plugin directory of the user's is hostile: a life cycle works."""
    names = {variable["name"] for setting in settings for variable in setting.get("env") or ()}
    assert {"ANSIBLE_STRATEGY", "ANSIBLE_SSH_EXECUTABLE", "ANSIBLE_PIPELINING", "JUNIT_OUTPUT_DIR"} <= names
    assert {"action", "become", "callback", "connection", "vars"} <= _kinds_of_plugins(settings)
    _lie_about(fleet.directory, settings)
    seen = tmp_path / "environment"
    machines = with_ssh_config(fleet, f'Match exec "env -0 >{seen}"\n', "hostile")
    secret = {"TORC_API_URL": machines.url.replace("//", "//alice:s3cret@"), "TORC_PASSWORD": "s3cret"}
    environment = {**dict.fromkeys(names, HOSTILE), "HOME": str(fleet.directory), **secret}
    machines = replace(machines, environment={**machines.environment, **environment})
    number = machines.sleeping(["sandbox1"])
    for operation, state in (("run", "registered"), ("status", "running"), ("stop", "stopped")):
        assert machines.hosts(operation, number)["sandbox1"]["state"] == state
    passed = dict(entry.split("=", 1) for entry in seen.read_text().split("\0") if entry)
    assert not [name for name, value in passed.items() if value == HOSTILE and name not in SHARED]
    assert not [name for name, value in passed.items() if "s3cret" in value or name.startswith("TORC_")]
