"""Why ssh failed, told in ssh's own way by real clients and servers: the report has the reason and what to do."""

import re
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.hosts import with_ssh_config
from tests.support.accounts import CAN_MAKE, WHY_NOT, account_machine
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox, start

# What the user has wrong: lines of an alias's ssh configuration, and what the report says.
OURS = {
    "nouser": ("User nosuch", r"Permission denied \(publickey\)"),
    "nokey": (
        "IdentityFile {dir}/missing",
        r"Permission denied \(publickey\): no such identity: .*/missing: .*",
    ),
    "openkey": (
        "IdentityFile {dir}/open",
        r".*: Load key .*: bad permissions \(others may read it; chmod 600\)",
    ),
    "manykeys": (
        "{keys}",
        r"Too many authentication failures \(.* set IdentityFile and IdentitiesOnly yes .*\)",
    ),
    "revoked": (
        "RevokedHostKeys {dir}/host.pub\nIdentityFile {key}",
        r"Host key ED25519 .* revoked by file .*",
    ),
    "oldhost": (
        "HostKeyAlgorithms ssh-rsa\nIdentityFile {key}",
        r"Unable to negotiate .* Their offer: ssh-ed25519",
    ),
    "nosshd": ("Port {silent}", r".* before the login\. Its sshd is busy .*, or it is no sshd"),
    "ticket": (
        "ProxyCommand sh -c 'echo gateway: your ticket has expired >&2; exit 3'",
        "the jump host failed: gateway: your ticket has expired",
    ),
    "noproxy": ("ProxyCommand /nonexistent/nc %h %p", r"the jump host failed: .*/nonexistent/nc.*"),
    "newjump": ("ProxyJump stranger", "the jump host failed: its host key is not known here; log in once .*"),
    "lostjump": (
        "ProxyJump nosuch.invalid",
        "the jump host failed: Could not resolve hostname nosuch.invalid: .*",
    ),
}
# What the host has wrong: lines of its sshd's configuration, and what the report says.
THEIRS = {
    "sandbox1": ("MaxSessions 0", r"it opens no session for this account \(.*\); see MaxSessions .*"),
    "sandbox2": (
        "ChrootDirectory /nonexistent",
        r"it ended the connection right after the login|the connection was .*",
    ),
    "sandbox3": (
        "KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive",
        r"Permission denied \(keyboard-interactive\): a key alone does not open this account",
    ),
    "sandbox4": ("DenyUsers *", r"Permission denied \(publickey\)"),
    "sandbox5": ("ForceCommand internal-sftp", ".* It said: This service allows sftp connections only."),
    "sandbox6": ("ForceCommand /bin/false", r".* \(exit code 1\)\. It said: nothing"),
    "sandbox7": ("Banner {banner}", ""),
}


@contextmanager
def _no_sshd(address: str) -> Iterator[int]:
    """The port of a server that hangs up."""
    with socketserver.TCPServer((address, 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def _check(said: str, host: str, expected: str) -> None:
    reason = said.removeprefix(f"SSH connection failed to {host}: ")
    assert re.fullmatch(expected, reason), f"{host}: {said}"


def test_95_mistakes_on_the_controller(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A wrong user, a key that is missing, open to others or one of many, a dead jump host: each reason is told."""
    layout = fleet.sandbox.layout
    (tmp_path / "open").write_text((layout.directory / "user_key").read_text())
    (tmp_path / "open").chmod(0o644)
    keys = "\n".join(f"IdentityFile {_make_key(tmp_path / f'key{number}')}" for number in range(8))
    (tmp_path / "host.pub").write_text((layout.directory / "host_key.pub").read_text())
    with _no_sshd(layout.hosts[0].address) as silent:
        values = {"dir": tmp_path, "keys": keys, "silent": silent, "key": layout.directory / "user_key"}
        own = "".join(f"Host {name}\n{lines.format(**values)}\n" for name, (lines, _) in OURS.items())
        rest = f"HostName {layout.hosts[0].address}\nPort {layout.port}\nIdentitiesOnly yes\nIdentityAgent none\n"
        names = " ".join(OURS)
        strange = f"Host stranger\n{rest}UserKnownHostsFile {tmp_path}/none\n"
        known = f"Host {names}\n{rest}UserKnownHostsFile {layout.directory}/known_hosts\n"
        machines = with_ssh_config(fleet, own + strange + known, "mistakes")
        hosts = machines.hosts("status", machines.sleeping(list(OURS)), code=3)
    for name, (_, expected) in OURS.items():
        _check(hosts[name]["reason"], name, expected)


def _restart(sandbox: Sandbox, host: str, change: Callable[[str], str]) -> None:
    """Let one host's sshd have another configuration."""
    config = sandbox.layout.sshd_config
    text = config.read_text()
    config.write_text(change(text))
    sandbox.restart_sshd(host)
    config.write_text(text)


@pytest.mark.slow
def test_95a_refusals_of_hosts(fleet: SandboxFleet, tmp_path: Path) -> None:
    """No sessions, no shell, a second factor, a banner that lies, no sftp: each host is reported with its reason."""
    banner = tmp_path / "banner"
    banner.write_text("u@h: Permission denied (publickey).\nConnection closed by 10.0.0.1 port 22\n")
    with start(len(THEIRS), tmp_path / "refusing") as refusing:
        for host, (lines, _) in THEIRS.items():
            own = lines.format(banner=banner)
            _restart(refusing, host, lambda text, own=own: f"{own}\n{text}")
        machines = replace(fleet, sandbox=refusing)
        number = machines.sleeping()
        hosts = machines.hosts("status", number, code=1)
        for host, (_, expected) in THEIRS.items():
            _check(hosts[host]["reason"], host, expected)
        _restart(
            refusing, "sandbox7", lambda text: re.sub("Subsystem sftp .*", "Subsystem sftp /missing", text)
        )
        hosts = machines.hosts("install", number, "--limit", "sandbox7", code=3)
        assert "sftp ended (Connection closed): the link was cut, or the" in hosts["sandbox7"]["reason"]


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MAKE, reason=WHY_NOT)
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["chage", "-d", "0"], "Password change required but no TTY available."),
        (["chage", "-E", "0"], "Your account has expired"),
        (["usermod", "--shell", "/usr/sbin/nologin"], "This account is currently not available."),
    ],
)
def test_95b_accounts_that_are_closed(fleet: SandboxFleet, command: list[str], reason: str) -> None:
    """An expired password or account and one without a shell: the host's own sentence is in the report."""
    with account_machine("UsePAM yes") as machine:
        subprocess.run([*command, machine.user.pw_name], check=True)
        machines = replace(fleet, sandbox=machine)  # type: ignore[arg-type]  # has what a fleet needs
        number = machines.workflow([{"name": "one", "command": "true"}], ["account"])
        hosts = machines.hosts("status", number, code=None)
        assert reason in hosts["account"]["reason"]


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MAKE, reason=WHY_NOT)
@pytest.mark.parametrize("pam", ["no", "yes"])
def test_95c_a_machine_that_is_down_for_others(fleet: SandboxFleet, pam: str) -> None:
    """A machine with /etc/nologin, with PAM and without: its text is in the report, nothing is started."""
    text = "Down until 18:00.\nAsk \x1b[31mthe operators\x1b[0m.\n"
    with account_machine(f"UsePAM {pam}", nologin=text) as machine:
        machines = replace(fleet, sandbox=machine)  # type: ignore[arg-type]  # has what a fleet needs
        number = machines.workflow([{"name": "one", "command": "true"}], ["account"])
        for operation, code in (("status", None), ("run", 1)):
            reason = machines.hosts(operation, number, code=code)["account"]["reason"]
            assert re.search(r"Down until 18:00\. / Ask .*the operators", reason), reason
            assert "\x1b" not in reason


@pytest.mark.parametrize("line", ["Port abc", "Include {dir}/included"])
def test_95d_a_broken_ssh_configuration(fleet: SandboxFleet, tmp_path: Path, line: str) -> None:
    """A line of the ssh configuration that ssh can't read: its file and number are told, and that nothing was sent."""
    (tmp_path / "included").write_text("Match nonsense\n")
    machines = with_ssh_config(fleet, line.format(dir=tmp_path), "broken")
    host = machines.hosts("stop", machines.sleeping(["sandbox1"]), code=3)["sandbox1"]
    assert host["state"] == "unreachable"
    assert re.fullmatch(r".*/(ssh_config\.broken|included):? line 1: .*; nothing was sent\)", host["reason"])
