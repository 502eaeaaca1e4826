"""What an operation costs, counted rather than timed: handshakes and tasks for each host."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.faults.hosts import handshakes, with_ssh_config
from tests.support.packages import ROOT, run_ansible
from tests.support.remote import SandboxFleet
from torc_remote.client.config import Settings
from torc_remote.client.play_settings import settings_for_play

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
DOCUMENTED = re.compile(r"^\| `(\w+)` \| (\d) \| (\d) \|", re.MULTILINE)
RESULT = re.compile(r"^(?:ok|changed|skipping): \[sandbox3\]", re.MULTILINE)


def test_one_handshake_for_each_host_and_operation(fleet: SandboxFleet, tmp_path: Path) -> None:
    number = fleet.sleeping(HOSTS)
    for operation in ("run", "status", "collect-logs", "stop", "delete-logs"):
        # another file is another scope for open connections, so there are none
        cold = with_ssh_config(fleet, "", operation)
        where = ["-l", tmp_path] if operation == "collect-logs" else []
        with handshakes(cold) as gained:
            cold.torc("remote", operation, number, *where)
        assert gained == dict.fromkeys(HOSTS, 1), operation


def documented() -> dict[str, tuple[int, int]]:
    """The tasks for each host by playbook, by hand and by the CLI, as the page on performance has them.

    In the order of a workflow's life.
    """
    found = DOCUMENTED.findall((ROOT / "docs/performance.md").read_text())
    return {playbook: (int(by_hand), int(cli)) for playbook, by_hand, cli in found}


def test_every_playbook_of_an_operation_is_documented() -> None:
    assert {*documented()} == {path.stem for path in (ROOT / "playbooks").glob("*.yml")}


def launch(arguments: list[str], directory: Path, environment: Mapping[str, str], url: str) -> str:
    """What Ansible prints when the CLI's launcher runs it."""
    (directory / "answers").write_text("")
    settings = settings_for_play(Settings(api_url=url))
    order = {
        "arguments": arguments,
        "answers": str(directory / "answers"),
        "settings": settings,
        "locale": {},
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "torc_remote.remote.launcher"],
        cwd=directory,
        env={**environment, "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdin
        assert launcher.stdout
        print(json.dumps(order), file=launcher.stdin, flush=True)
        said = launcher.stdout.read()
        assert launcher.wait() == 0, said
    return said


def play(arguments: list[str], directory: Path, environment: Mapping[str, str], url: str) -> str:
    """What Ansible prints when an admin runs it."""
    done = run_ansible("ansible-playbook", *arguments, cwd=directory, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("way", "cli"), [(launch, True), (play, False)], ids=["as the CLI does", "by hand"])
def test_tasks_for_each_host(fleet: SandboxFleet, tmp_path: Path, way: Callable[..., str], cli: bool) -> None:
    """On the last host, since what is done once bears the first one's name."""
    number = fleet.sleeping(HOSTS)
    (tmp_path / "torc.yml").write_text("plugin: torc.remote.torc_workers\n")
    variables = {"torc_workflow_id": str(number), "torc_local_output_dir": str(tmp_path / "logs")}
    for playbook, tasks in documented().items():
        words = [f"torc.remote.{playbook}", "-i", "torc.yml", "-e", json.dumps(variables)]
        said = way(words, tmp_path, fleet.env(), fleet.url)
        assert len(RESULT.findall(said)) == tasks[cli], said
