"""Every playbook as an admin runs it, by ansible-playbook with the inventory plugin, a real server and real hosts."""

import hashlib
import json
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.conftest import Server
from tests.faults.hosts import other_torc
from tests.support import wait_until
from tests.support.packages import ROOT, run_ansible
from tests.support.remote import SandboxFleet

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """What ansible-playbook printed, and from its recap the number of changed and of failed tasks by host."""

    code: int
    text: str

    @property
    def recap(self) -> dict[str, tuple[int, int]]:
        return {
            host: (int(changed), int(bad) + int(gone))
            for host, changed, gone, bad in RECAP.findall(self.text)
        }

    @property
    def changed(self) -> dict[str, int]:
        return {host: changed for host, (changed, _) in self.recap.items() if changed}


@dataclass(frozen=True)
class Admin:
    """Runs ansible-playbook in a directory that has no more than torc.yml."""

    fleet: SandboxFleet
    directory: Path

    def play(self, playbook: str, number: int, *args: str, code: int | None = 0) -> Played:
        command = [f"torc.remote.{playbook}", "-i", "torc.yml", "-e", f"torc_workflow_id={number}", *args]
        done = run_ansible("ansible-playbook", *command, cwd=self.directory, env=self.fleet.env())
        text = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{command}\n{text}"
        return Played(done.returncode, text)

    def states(self, number: int) -> list[str]:
        """What the hosts say of their workers."""
        answers = self.fleet.hosts("status", number, code=None)
        return [answers[host]["state"] for host in HOSTS]

    def snapshot(self, server: Server) -> Mapping[str, object]:
        """All files of the hosts and of this directory with their times, all rows of the server's database."""
        homes = [host.home for host in self.fleet.sandbox.hosts]
        found: dict[str, object] = {
            str(path): (entry.st_mtime_ns, entry.st_mode, _checksum(path))
            for top in (*homes, self.directory)
            for path in top.rglob("*")
            if (entry := path.lstat())
        }
        with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True) as database:
            found["rows"] = list(database.iterdump())
        return found


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@pytest.fixture
def admin(fleet: SandboxFleet, tmp_path: Path) -> Admin:
    (tmp_path / "torc.yml").write_text("plugin: torc.remote.torc_workers\n")
    return Admin(fleet, tmp_path)


# in the order of a workflow's life; with what each changes on how many hosts
LIFE = {
    "reach": 0,
    "install_torc": 3,
    "version_check": 0,
    "initialize": 1,
    "start_worker": 3,
    "run": 0,
    "status": 0,
    "stop": 3,
    "fetch_logs": 3,
    "delete_logs": 3,
}


def test_each_playbook_is_checked_then_run_then_run_again(
    fleet: SandboxFleet, server: Server, admin: Admin
) -> None:
    """--check changes nothing anywhere and says what the play then changes; a second one says changed=0."""
    assert sorted(LIFE) == PLAYBOOKS
    number = fleet.sleeping([*HOSTS])
    for host in HOSTS:
        (fleet.home(host) / ".local/bin/torc").write_text("#!/bin/sh\necho torc 0.9.0\n")
    for playbook, hosts in LIFE.items():
        before = admin.snapshot(server)
        checked = admin.play(playbook, number, "--check", "--diff", "-e", "torc_local_output_dir=logs")
        assert admin.snapshot(server) == before, playbook
        assert len(checked.changed) == hosts, checked.text
        played = admin.play(playbook, number, "-e", "torc_local_output_dir=logs")
        # of a stop, making the jobs ready again is a change as well, which the play counts for its first host
        assert played.changed.keys() == checked.changed.keys(), played.text
        again = admin.play(playbook, number, "-e", "torc_local_output_dir=logs")
        assert again.changed == {}, again.text
        if playbook == "install_torc":
            assert "-torc 0.9.0\n" in checked.text
            assert "+torc 1.0.0\n" in checked.text
    assert admin.states(number) == ["none"] * 3
    assert len(list(admin.directory.glob("logs/*.tar.gz"))) == 3


def test_check_of_a_deletion_that_comes_with_collecting(fleet: SandboxFleet, admin: Admin) -> None:
    number = fleet.sleeping(["sandbox1"], seconds=0)
    admin.play("run", number)
    wait_until(lambda: fleet.hosts("status", number, code=None)["sandbox1"]["state"] == "exited", 60)
    admin.play("fetch_logs", number)
    assert admin.play("fetch_logs", number, "--check").changed == {}
    checked = admin.play("fetch_logs", number, "--check", "-e", "torc_delete=true")
    played = admin.play("fetch_logs", number, "-e", "torc_delete=true")
    assert checked.changed == played.changed == {"sandbox1": 1}


def test_roles_among_foreign_tasks_host_by_host(fleet: SandboxFleet, admin: Admin) -> None:
    """A play with `serial`: each host goes through all tasks before the next one begins, with answers of its own."""
    number = fleet.sleeping(HOSTS[:2])
    role = "ansible.builtin.import_role"
    tasks = [
        {role: {"name": "torc.remote.initialize"}},
        {role: {"name": "torc.remote.start_worker"}},
        {
            "name": "Foreign",
            "ansible.builtin.set_fact": {"told": "{{ inventory_hostname }} {{ torc_start_check.state }}"},
            "when": "torc_start.state == 'started'",
        },
        {role: {"name": "torc.remote.status"}},
        {"name": "Tell", "ansible.builtin.debug": {"msg": "{{ told }}, then {{ torc_status.state }}"}},
    ]
    play = {"hosts": f"torc_workflow_{number}", "gather_facts": False, "serial": 1, "tasks": tasks}
    (admin.directory / "site.yml").write_text(yaml.safe_dump([play]))
    words = ["site.yml", "-i", "torc.yml", "-e", f"torc_workflow_id={number}"]
    done = run_ansible("ansible-playbook", *words, cwd=admin.directory, env=fleet.env())
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.findall(r'"msg": "(sandbox\d \w+, then \w+)"', done.stdout)
    assert told == [f"{host} registered, then running" for host in HOSTS[:2]]
    fleet.torc("remote", "stop", number)


def test_limit_and_forks(fleet: SandboxFleet, admin: Admin) -> None:
    """What is left out by --limit is neither checked nor started, and does not count for the gate either."""
    number = fleet.sleeping()
    handshakes = fleet.sandbox.handshakes()
    played = admin.play("run", number, "--limit", "sandbox2:sandbox3", "-f", "1")
    assert sorted(played.recap) == ["sandbox2", "sandbox3"]
    assert admin.states(number) == ["none", "running", "running"]
    assert admin.play("stop", number, "--limit", "sandbox3", "-f", "1").changed.keys() == {"sandbox3"}
    assert admin.states(number) == ["none", "running", "exited"]
    nobody = admin.play("stop", number, "--limit", "sandbox9", code=None)
    assert nobody.code != 0
    assert "no hosts to target" in nobody.text
    assert "sandbox2" in admin.play("stop", number).changed
    assert fleet.sandbox.handshakes() == handshakes, "one connection a host for all plays"


@pytest.mark.parametrize(
    ("tags", "job", "worker"),
    [
        (("--tags", "check"), "uninitialized", "none"),
        (("--tags", "initialize"), "ready", "none"),
        (("--skip-tags", "start"), "ready", "none"),
        (("--tags", "initialize,start"), "running", "running"),
    ],
    ids=str,
)
def test_parts_of_run(
    tags: tuple[str, str], job: str, worker: str, fleet: SandboxFleet, admin: Admin
) -> None:
    """By tag; the hosts are checked in any case."""
    number = fleet.sleeping()
    played = admin.play("run", number, *tags)
    assert "Compare the version of torc" in played.text
    assert admin.states(number) == [worker] * 3
    wait_until(lambda: job_status(fleet, number) == job)
    admin.play("stop", number)


def test_the_start_alone(fleet: SandboxFleet, admin: Admin) -> None:
    number = fleet.sleeping()
    admin.play("run", number, "--skip-tags", "start")
    admin.play("run", number, "--tags", "start")
    wait_until(lambda: job_status(fleet, number) == "running")
    admin.play("stop", number)


def job_status(fleet: SandboxFleet, number: int) -> str:
    (job,) = json.loads(fleet.torc("-f", "json", "jobs", "list", number).stdout)["items"]
    return str(job["status"])


@pytest.mark.parametrize(
    "tags", [(), ("--tags", "start"), ("--skip-tags", "initialize"), ("--tags", "initialize")]
)
def test_a_wrong_version_on_one_host_starts_nothing_anywhere(
    tags: tuple[str, ...], fleet: SandboxFleet, server: Server, admin: Admin
) -> None:
    number = fleet.sleeping()
    with other_torc(fleet, "sandbox2", "echo torc 0.9.0"):
        before = admin.snapshot(server)
        played = admin.play("run", number, *tags, code=2)
        assert admin.snapshot(server) == before
    assert "Version mismatch: local=1.0.0, sandbox2=0.9.0" in played.text
    assert "not all hosts passed the check: sandbox2." in played.text


@pytest.mark.parametrize("playbook", sorted({*PLAYBOOKS} - {"reach"}))
def test_an_id_that_the_inventory_lacks_is_an_error_before_any_connection(
    playbook: str, fleet: SandboxFleet, admin: Admin
) -> None:
    numbers = [fleet.sleeping(["sandbox1"]) for _ in range(2)]
    (admin.directory / "torc.yml").write_text(
        f"plugin: torc.remote.torc_workers\nworkflow_ids: {numbers[0]}\n"
    )
    logs = [host.log.read_text() for host in fleet.sandbox.hosts]
    played = admin.play(playbook, numbers[1], code=None)
    assert played.code != 0
    assert f"The inventory has no workflow {numbers[1]}" in " ".join(played.text.split())
    assert played.recap == {}
    assert [host.log.read_text() for host in fleet.sandbox.hosts] == logs


def test_an_unreachable_host_starts_nothing_unless_told_to_keep_going(
    fleet: SandboxFleet, server: Server, admin: Admin
) -> None:
    number = fleet.sleeping([*HOSTS, "127.0.0.1:1"])
    before = admin.snapshot(server)
    played = admin.play("run", number, code=4)
    assert admin.snapshot(server) == before
    assert "Nothing was started, as not all hosts passed the check: 127.0.0.1_" in played.text
    admin.play("run", number, "-e", "torc_keep_going=true", code=4)
    assert admin.states(number) == ["running"] * 3
    admin.play("stop", number, code=4)


@pytest.fixture
def no_connections(fleet: SandboxFleet) -> Iterator[SandboxFleet]:
    """The fleet without the connections that earlier plays left open."""
    with tempfile.TemporaryDirectory() as runtime:
        yield replace(fleet, environment={"XDG_RUNTIME_DIR": runtime})
        for socket in Path(runtime).rglob("*"):
            if socket.is_socket():
                exit_request = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "any"]
                subprocess.run(exit_request, capture_output=True, check=True)


def test_jump_host_of_the_admins_group_vars(no_connections: SandboxFleet, admin: Admin) -> None:
    number = no_connections.sleeping(["sandbox2"])
    (admin.directory / "group_vars").mkdir()
    (admin.directory / "group_vars/torc_workers.yml").write_text(
        "ansible_ssh_common_args: -o ProxyJump=sandbox1\n"
    )
    jumper = replace(admin, fleet=no_connections)
    before = no_connections.sandbox.handshakes()
    for playbook in ("run", "fetch_logs", "stop"):
        assert jumper.play(playbook, number).changed, playbook
    after = no_connections.sandbox.handshakes()
    assert {host: after[host] - before[host] for host in HOSTS} == {
        "sandbox1": 1,
        "sandbox2": 1,
        "sandbox3": 0,
    }
