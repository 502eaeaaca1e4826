"""What an operation costs, counted rather than timed: handshakes and tasks for each host."""

import json
import re
from pathlib import Path

import pytest

from tests.faults.hosts import handshakes, with_ssh_config
from tests.packages import ROOT, run_ansible
from tests.remote_support import Fleet

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
DOCUMENTED = re.compile(r"^\| `(\w+)` \| (\d) \| (\d) \|", re.MULTILINE)
RESULT = re.compile(r"^(?:ok|changed|skipping): \[sandbox3\]", re.MULTILINE)


def test_one_handshake_for_each_host_and_operation(fleet: Fleet, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("cli", [True, False], ids=["as the CLI does", "by hand"])
def test_tasks_for_each_host(fleet: Fleet, tmp_path: Path, cli: bool) -> None:
    """On the last host, since what is done once bears the first one's name."""
    number = fleet.sleeping(HOSTS)
    (tmp_path / "torc.yml").write_text("plugin: torc.remote.torc_workers\n")
    (tmp_path / "credentials.json").write_text("{}")
    variables = {"torc_workflow_id": str(number), "torc_local_output_dir": str(tmp_path / "logs")}
    environment = fleet.env()
    if cli:
        variables["torc_credentials_file"] = str(tmp_path / "credentials.json")
        environment["_TORC_REMOTE_ANSWERS"] = str(tmp_path / "answers.jsonl")
    for playbook, tasks in documented().items():
        (tmp_path / "answers.jsonl").write_text("")
        words = [f"torc.remote.{playbook}", "-i", "torc.yml", "-e", json.dumps(variables)]
        done = run_ansible("ansible-playbook", *words, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(RESULT.findall(done.stdout)) == tasks[cli], done.stdout
