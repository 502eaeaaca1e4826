"""The controller's surroundings: what the user's account is set up for does not rule the play."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hosts import connections, with_ssh_config, words
from tests.support import wait_until
from tests.support.accounts import CAN_MAKE, WHY_NOT, AccountMachine, account_machine
from tests.support.faults import parent_of, stopped
from tests.support.remote import TORC, SandboxFleet
from torc_remote import processes

_HOSTILE = {
    "ANSIBLE_STRATEGY": "free",
    "ANSIBLE_BECOME": "true",
    "ANSIBLE_BECOME_USER": "nobody",
    "ANSIBLE_REMOTE_USER": "nobody",
    "ANSIBLE_REMOTE_PORT": "1",
    "ANSIBLE_SSH_EXECUTABLE": "/bin/false",
    "ANSIBLE_VAULT_PASSWORD_FILE": "/nonexistent",
    "ANSIBLE_STDOUT_CALLBACK": "nonexistent",
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C",
}
_CYCLE = (("run", "registered"), ("status", "running"), ("stop", "stopped"))
_XDG = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


def _cycle(machines: SandboxFleet) -> None:
    number = machines.sleeping(["sandbox1", "sandbox2"])
    for operation, state in _CYCLE:
        hosts = machines.hosts(operation, number)
        assert {host["state"] for host in hosts.values()} == {state}


def test_91_settings_of_ansible_and_a_plain_locale(fleet: SandboxFleet) -> None:
    """Variables of the user's own for Ansible and the locale C change nothing: run, status and stop work."""
    _cycle(replace(fleet, environment=_HOSTILE))


def test_92_forwardings_in_the_ssh_configuration(fleet: SandboxFleet) -> None:
    """A port forwarded for every host, with ExitOnForwardFailure, and no words of ssh's: all hosts are served."""
    forward = "Host *\n LocalForward 18889 localhost:8888\n ExitOnForwardFailure yes\n LogLevel QUIET\n"
    _cycle(with_ssh_config(fleet, forward, "forwarding"))


def _start(
    fleet: SandboxFleet, shell: str, environment: Mapping[str, str], *words: object
) -> "subprocess.Popen[bytes]":
    """Start `torc WORDS` by a shell that runs ``shell`` first."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f'{shell}\nexec "$@"', "sh", TORC, *map(str, words)],
        cwd=fleet.directory,
        env={**fleet.env(), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _hosts(fleet: SandboxFleet, shell: str, environment: Mapping[str, str], *words: object) -> dict[str, Any]:
    running = _start(fleet, shell, environment, "-f", "json", "remote", *words)
    said, complaints = running.communicate(timeout=120)
    assert said, complaints.decode()
    # as bytes, whose encoding json finds out
    return {host["host"]: host for host in json.loads(said)["hosts"]}


_STATES = {
    "no home, no locale, nothing to say it to": (
        "unset HOME LANG LC_ALL XDG_RUNTIME_DIR; umask 077; trap '' HUP CHLD PIPE; exec 0<&- 2>&-; ulimit -n 64",
        {"TMPDIR": "{odd}", "PYTHONIOENCODING": "utf-16", "PYTHONUTF8": "0"},
    ),
    "files where directories belong": (
        "umask 000; trap '' INT TERM ALRM",
        {**dict.fromkeys(("HOME", *_XDG), "{file}"), "TMPDIR": ".", "LC_ALL": "xx_YY.UTF-8"},
    ),
    "odd names and relative ones": (
        "umask 777; unset LC_ALL LANG",
        {
            **dict.fromkeys(_XDG, "relative"),
            "HOME": "{odd}",
            "TMPDIR": "/nonexistent",
            "LC_CTYPE": "en_US.ISO-8859-1",
        },
    ),
}


@pytest.mark.parametrize("state", _STATES)
def test_93_odd_states_of_the_controller(fleet: SandboxFleet, tmp_path: Path, state: str) -> None:
    """Locale, streams, umask, signals, limits, home and temporary directory in odd states: run, status, stop work."""
    odd = tmp_path / "100% of {{ it }}, $HOME and 'more'" / ("long" * 40)
    odd.mkdir(parents=True)
    (tmp_path / "file").touch()
    shell, settings = _STATES[state]
    environment = {
        name: value.replace("{odd}", str(odd)).replace("{file}", str(tmp_path / "file"))
        for name, value in settings.items()
    }
    number = fleet.sleeping(["sandbox1"])
    for operation, expected in _CYCLE:
        host = _hosts(fleet, shell, environment, operation, number)["sandbox1"]
        assert (host["state"], host["reason"]) == (expected, "")
    assert not [*odd.iterdir(), *fleet.directory.glob("torc-play-*")]


@pytest.mark.parametrize(
    ("shell", "environment", "words"),
    [
        ("mkdir gone; cd gone; rmdir ../gone", {}, "The current directory has been removed"),
        ("ulimit -f 0", {}, "There is no place for temporary files: "),
        ("", {"PATH": ""}, "There is no ssh on this machine's PATH"),
        (
            "ulimit -n 5",
            {},
            "This process may have 5 files open, and needs 64. Raise the limit with ulimit -n.",
        ),
        ("ulimit -n 32", {}, "This process may have 32 files open, and needs 64. "),
    ],
)
def test_93a_a_controller_that_lacks_something(
    fleet: SandboxFleet, shell: str, environment: dict[str, str], words: str
) -> None:
    """No current directory, no place for temporary files, no ssh, few open files: one sentence says so, exit code 1."""
    number = fleet.workflow([{"name": "one", "command": "true"}], ["sandbox1"])
    running = _start(fleet, shell, environment, "remote", "collect-logs", number, "-l", "logs")
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == 1
    assert said.startswith(f"Error: {words}")
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MAKE, reason=WHY_NOT)
def test_93b_an_account_that_may_start_no_more_processes(fleet: SandboxFleet, tmp_path: Path) -> None:
    """However few processes the account may have: one sentence for the command or for each host, and nothing stays."""
    with account_machine() as machine:
        tmp_path.chmod(0o711)
        for parent in tmp_path.parents[:-2]:
            parent.chmod(0o711)
        (tmp_path / "tmp").mkdir(mode=0o777)
        (tmp_path / "tmp").chmod(0o777)
        environment = {"TMPDIR": str(tmp_path / "tmp"), "HOME": machine.user.pw_dir, "XDG_CACHE_HOME": ""}
        machines = replace(fleet, sandbox=machine, environment=environment)  # type: ignore[arg-type]
        number = machines.workflow([{"name": "one", "command": "true"}], ["account"])
        sentences = [_with_processes(machines, machine, count, number) for count in range(13)]
        assert {sentence for sentence in sentences if "ulimit -u" in sentence}
        assert not list((tmp_path / "tmp").iterdir())


def _with_processes(machines: SandboxFleet, machine: AccountMachine, count: int, number: int) -> str:
    """What the account is told when it may have so many processes. It reads our files as root does."""
    caps = "-all,+dac_override"
    done = subprocess.run(
        [
            *("setpriv", f"--reuid={machine.user.pw_uid}", "--clear-groups", f"--inh-caps={caps}"),
            *(f"--ambient-caps={caps}", f"--bounding-set={caps}", "prlimit", f"--nproc={count}:{count}"),
            *(TORC, "-f", "json", "remote", "status", str(number)),
        ],
        cwd="/",
        env={name: value for name, value in machines.env().items() if name != "XDG_RUNTIME_DIR"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.stdout:
        return str(json.loads(done.stdout)["hosts"][0]["reason"])
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert "torc-remote" not in done.stderr
    return done.stderr


def test_94_ansible_is_killed(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Ansible gets SIGKILL: the processes that ask hosts for it end as well, and what was not answered is unknown."""
    machines = with_ssh_config(fleet, "", "killed")
    environment = {"TMPDIR": str(tmp_path)}
    number = machines.sleeping(["sandbox1", "sandbox2"])
    before = connections(machines, "sandbox2")
    with stopped(machines.sandbox, "sandbox2"):
        running = _start(machines, "", environment, "-f", "json", "remote", "status", number)
        wait_until(lambda: connections(machines, "sandbox2") > before, 30)
        os.kill(_ansible(running.pid), signal.SIGKILL)
        started = processes.processes_with(f"TMPDIR={tmp_path}") - {running.pid}
        wait_until(lambda: not [pid for pid in started if _asks(pid)], 10)
        assert connections(machines, "sandbox2") == before
    hosts = {host["host"]: host for host in json.loads(running.communicate()[0])["hosts"]}
    assert hosts["sandbox2"]["state"] == "unknown"
    assert running.returncode == 3
    assert not list(tmp_path.iterdir())


def _ansible(command: int) -> int:
    """The process that runs Ansible for a command, a child of the launcher."""
    found = {pid: parent_of(pid) for pid in processes.with_descendants([command]) if _asks(pid)}
    launcher = next(pid for pid, parent in found.items() if parent == command)
    return next(pid for pid, parent in found.items() if parent == launcher)


def _asks(pid: int) -> bool:
    """Whether it is a living process of a play; ssh's shared connections stay."""
    return "torc_remote.remote.launcher" in words(pid)
