"""What the playbooks show when they are run by hand, without -v."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.remote import SandboxFleet

ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def play(fleet: SandboxFleet, playbook: str, workflow: int, *options: str) -> str:
    inventory = fleet.directory / "torc.yml"
    inventory.write_text("plugin: torc.remote.torc_workers\n")
    done = subprocess.run(
        [
            ANSIBLE_PLAYBOOK,
            f"torc.remote.{playbook}",
            "-i",
            inventory,
            "-e",
            f"torc_workflow_id={workflow}",
            *options,
        ],
        env=fleet.env() | {"ANSIBLE_NOCOLOR": "1", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_host_has_a_line(fleet: SandboxFleet) -> None:
    workflow = fleet.sleeping(["sandbox1", "sandbox2"])
    assert '"sandbox1": "none"' in play(fleet, "run", workflow, "--check")
    assert re.search(r'"sandbox2": "registered, PID \d+"', play(fleet, "run", workflow))
    assert re.search(r'"sandbox1": "already_running, PID \d+"', play(fleet, "start_worker", workflow))
    shown = play(fleet, "status", workflow)
    assert re.findall(r'"(sandbox\d)": "running, PID \d+"', shown) == ["sandbox1", "sandbox2"]
    assert re.search(r'"sandbox1": "stopped, PID \d+"', play(fleet, "stop", workflow))
    assert '"sandbox2": "not_running' in play(fleet, "stop", workflow)
    assert re.search(r'"sandbox2": "exited, PID \d+, exit code \d+"', play(fleet, "status", workflow))


def test_the_cli_has_no_need_of_it(fleet: SandboxFleet) -> None:
    workflow = fleet.sleeping(["sandbox1"])
    steps = fleet.torc("remote", "status", workflow, "--verbose").stderr
    assert steps.startswith("sandbox1: Look for the worker")
    assert "Show" not in steps
