"""The options of workers are the same wherever users give them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from torc_remote.builtin.worker import main as command
from torc_remote.builtin.worker import worker
from torc_remote.cli.remote.run import run as remote_run
from torc_remote.cli.run import run as local_run
from torc_remote.client.config import load_settings
from torc_remote.worker_options import DECLARATIONS, WorkerOptions

ROLE = Path(__file__).parents[2] / "roles/start_worker"
CHOSEN = WorkerOptions("out", 1.5, 3, 4, 2.5, 0)
ANSIBLE_TYPES: dict[Callable[[str], Any], str] = {
    option.read: {"N": "int", "GB": "float", "SECONDS": "float", "DIR": "str"}[option.unit]
    for option in DECLARATIONS.values()
}


def read(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[worker.Options]:
    """What workers would be started with."""
    found: list[worker.Options] = []
    monkeypatch.setattr(worker, "run_worker", lambda connection, options: found.append(options) or 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


def test_each_option_has_a_declaration() -> None:
    assert tuple(DECLARATIONS) == WorkerOptions._fields


@pytest.mark.parametrize("of", [local_run, remote_run])
def test_both_commands_take_them(of: click.Command) -> None:
    line = [
        word for name in DECLARATIONS for word in (f"--{name.replace('_', '-')}", str(getattr(CHOSEN, name)))
    ]
    found = of.make_context("run", ["1", *line]).params
    assert WorkerOptions(**{name: found[name] for name in DECLARATIONS}) == CHOSEN


@pytest.mark.parametrize("of", [local_run, remote_run])
def test_no_default_of_a_command_hides_one_of_the_place_where_the_worker_starts(of: click.Command) -> None:
    found = of.make_context("run", ["1"]).params
    assert {found[name] for name in DECLARATIONS} == {None}


def test_the_configuration_file_takes_them(tmp_path: Path) -> None:
    lines = [f"{name} = {getattr(CHOSEN, name)!r}" for name in DECLARATIONS]
    (tmp_path / "torc.toml").write_text("\n".join(["[client.run]", *lines]))
    assert load_settings({}, {}, tmp_path).run == CHOSEN


def test_the_role_documents_them_with_the_same_types_and_defaults() -> None:
    options = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    for name, option in DECLARATIONS.items():
        spec = options[f"torc_{name}"]
        assert spec["type"] == ANSIBLE_TYPES[option.read]
        assert spec.get("default") == WorkerOptions._field_defaults[name]
    assert {key: value for key, value in read("defaults/main.yml").items() if key[5:] in DECLARATIONS} == {
        f"torc_{name}": value for name, value in WorkerOptions()._asdict().items() if value is not None
    }


def test_the_worker_on_a_host_takes_what_the_role_gives_it(started: list[worker.Options]) -> None:
    """The host's script adds the output directory, which it looks through first."""
    variables = {f"torc_{name}": value for name, value in CHOSEN._asdict().items()}
    line = NativeEnvironment().from_string(read("vars/main.yml")["_start_worker_options"]).render(variables)
    assert command.main(["run", "7", "--output-dir", CHOSEN.output_dir, *map(str, line)]) == 0
    assert started == [worker.options_here(7, CHOSEN)]


def test_what_was_not_chosen_is_left_to_the_worker(started: list[worker.Options]) -> None:
    defaults = read("defaults/main.yml")
    line = NativeEnvironment().from_string(read("vars/main.yml")["_start_worker_options"]).render(defaults)
    assert command.main(["run", "7", *map(str, line)]) == 0
    assert started == [worker.options_here(7, WorkerOptions())]
