"""The roles' promises: argument_specs, defaults, README and tasks speak of the same variables."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.role_tables import TABLE, options, role_directories, table

VARIABLE = re.compile(r"\btorc_[a-z_]+\b")
REGISTERED = re.compile(r"register: (\w+)")

# what torc.remote.run_script and torc.remote.server_call read by themselves, and with which of their options
READ_BY_ACTIONS = {
    "script:": {"torc_host_timeout"},
    "workflow: true": {"torc_workflow_id", "torc_workflow_key", "torc_api_url"},
    "worker_environment: true": {"torc_worker_url"},
    "torc.remote.server_call:": {"torc_api_url"},
    "torc.remote.known_workers:": {"torc_api_url"},
    "call: initialize": {"torc_workflow_id"},
    "call: release": {"torc_workflow_id"},
}
PLUGINS = Path(__file__).resolve().parents[2] / "action_plugins"

ROLES = pytest.mark.parametrize("role", role_directories(), ids=lambda role: role.name)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def registered(role: Path) -> set[str]:
    return {name for file in role.glob("tasks/*.yml") for name in REGISTERED.findall(file.read_text())}


@ROLES
def test_defaults_are_those_of_the_argument_specs(role: Path) -> None:
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert read(role / "defaults/main.yml") == specified


def read_by_plugins(tasks: str) -> set[str]:
    """The variables that are read by the actions without being named in the tasks."""
    found = {name for option, names in READ_BY_ACTIONS.items() if option in tasks for name in names}
    for plugin in ("fetch_logs", "install_torc"):
        if f"torc.remote.{plugin}:" in tasks:
            source = (PLUGINS / f"{plugin}.py").read_text()
            found |= {*re.findall(r'_(?:value|flag)\("(\w+)"\)', source), "torc_host_timeout"}
            found |= {"torc_api_url", "torc_workflow_key"} if "workflow=True" in source else set()
    return found


@ROLES
def test_tasks_use_documented_variables_and_no_others(role: Path) -> None:
    files = [*role.glob("tasks/*.yml"), *role.glob("vars/*.yml")]
    text = "".join(file.read_text() for file in files)
    used = {*VARIABLE.findall(text), *read_by_plugins(text)}
    # the results of other roles that ran before
    others = {name for other in role_directories() for name in registered(other)}
    assert used - others == set(options(role))


@ROLES
def test_readme_has_the_variables(role: Path) -> None:
    readme = (role / "README.md").read_text()
    assert TABLE.findall(readme) == [table(role)], "scripts/docs writes the table"


@ROLES
def test_readme_tells_what_the_role_registers(role: Path) -> None:
    readme = (role / "README.md").read_text()
    for name in registered(role):
        assert name.startswith("_") or f"`{name}" in readme


@ROLES
def test_example_in_the_readme_is_a_play_with_known_variables(role: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (role / "README.md").read_text(), re.DOTALL)
    assert found
    (play,) = yaml.safe_load(found[1])
    entry = play["roles"][0]
    assert isinstance(entry, dict)
    assert entry["role"] == f"torc.remote.{role.name}"
    assert set(entry.get("vars", {})) <= set(options(role))


@ROLES
def test_descriptions_agree(role: Path) -> None:
    specs = read(role / "meta/argument_specs.yml")["argument_specs"]["main"]
    assert read(role / "meta/main.yml")["galaxy_info"]["description"] == specs["short_description"]
