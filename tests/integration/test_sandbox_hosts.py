"""What a sandbox host looks like to those who log in."""

import os
import subprocess
from pathlib import Path

import pytest

from torc_remote.processes import tcp_sockets
from torc_remote.sandbox import Sandbox, start


def client(sandbox: Sandbox, program: str, *words: str | Path, stdin: str = "") -> str:
    """Run scp or sftp with the sandbox's ssh configuration; its stdout."""
    argv = [program, "-q", "-F", sandbox.layout.ssh_config, *words]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_host_has_its_own_name_home_and_address(sandbox: Sandbox) -> None:
    report = 'echo "$TORC_WORKER_NAME $HOME $PWD ${SSH_CONNECTION#* * }"'
    for host in sandbox.hosts:
        done = sandbox.ssh(host.name, report)
        expected = f"{host.name} {host.home} {host.home} {host.address} {sandbox.layout.port}\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_sessions_inherit_nothing_from_the_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORC_PASSWORD", "TORC_API_URL", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TZ", "LEAK"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.chdir(tmp_path)
    previous = os.umask(0o077)
    try:
        with start(1, tmp_path / "s") as sandbox:
            found = sandbox.ssh("sandbox1", "/usr/bin/env; umask").stdout
    finally:
        os.umask(previous)
    assert "leaked" not in found
    assert found.endswith("0022\n")
    names = {line.partition("=")[0] for line in found.splitlines()[:-1]} - {"_", "SHLVL", "MAIL", "PWD"}
    assert names == {
        *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "TORC_WORKER_NAME"),
        *("SSH_CLIENT", "SSH_CONNECTION", "_TORC_SANDBOX"),
    }


def test_path_is_the_systems(sandbox: Sandbox) -> None:
    path = sandbox.ssh("sandbox1", 'echo "$PATH"').stdout.strip().split(":")
    assert path == [f"{base}/{kind}" for base in ("/usr/local", "/usr", "") for kind in ("sbin", "bin")]


def test_commands_arrive_unchanged(sandbox: Sandbox) -> None:
    done = sandbox.ssh("sandbox2", "printf '%s|' \"a  b\" 'c\"d' \\$HOME; exit 7")
    assert (done.returncode, done.stdout) == (7, 'a  b|c"d|$HOME|')


def test_a_script_runs_from_stdin(sandbox: Sandbox) -> None:
    argv: list[str | Path] = ["ssh", "-F", sandbox.layout.ssh_config, "sandbox3", "/bin/sh -s"]
    script = "cat <<'EOF'\n$x \"'\nEOF\npwd\n"
    done = subprocess.run(argv, input=script, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"$x \"'\n{sandbox.hosts[2].home}\n"


def test_an_interactive_login_gets_a_login_shell_at_home(sandbox: Sandbox) -> None:
    profile = sandbox.hosts[0].home / ".profile"
    profile.write_text("echo profile was read\n")
    try:
        argv: list[str | Path] = ["ssh", "-tt", "-F", sandbox.layout.ssh_config, "sandbox1"]
        done = subprocess.run(
            argv, input="pwd; exit\n", capture_output=True, text=True, timeout=30, check=False
        )
    finally:
        profile.unlink()
    assert "profile was read" in done.stdout
    assert str(sandbox.hosts[0].home) in done.stdout


def test_hosts_read_their_own_start_up_files_once(sandbox: Sandbox) -> None:
    if Path(sandbox.ssh("sandbox1", "echo $SHELL").stdout.strip()).name != "bash":
        pytest.skip("only bash reads .bashrc")
    bashrc = sandbox.hosts[0].home / ".bashrc"
    bashrc.write_text("echo noise\n")
    try:
        assert sandbox.ssh("sandbox1", "echo done").stdout == "noise\ndone\n"
    finally:
        bashrc.unlink()
    assert sandbox.ssh("sandbox1", "echo done").stdout == "done\n"


@pytest.mark.parametrize("protocol", ["-s", "-O"], ids=["sftp", "legacy"])
@pytest.mark.parametrize("place", ["", "~/"], ids=["relative", "tilde"])
def test_scp_copies_into_the_hosts_home(sandbox: Sandbox, tmp_path: Path, protocol: str, place: str) -> None:
    content = bytes(range(256)) * 100
    (tmp_path / "there").write_bytes(content)
    client(sandbox, "scp", protocol, tmp_path / "there", f"sandbox2:{place}copied")
    assert (sandbox.hosts[1].home / "copied").read_bytes() == content
    client(sandbox, "scp", protocol, f"sandbox2:{place}copied", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    (sandbox.hosts[1].home / "copied").unlink()


def test_sftp_begins_in_the_hosts_home(sandbox: Sandbox) -> None:
    said = client(sandbox, "sftp", "-b", "-", "sandbox3", stdin="pwd\n")
    assert said.splitlines()[-1].endswith(f": {sandbox.hosts[2].home}")


def test_hosts_are_known_by_address_too_and_nothing_is_asked(sandbox: Sandbox) -> None:
    known = (sandbox.layout.directory / "known_hosts").read_text()
    for name in ("sandbox1", sandbox.hosts[0].address):
        done = sandbox.ssh(name, "echo $TORC_WORKER_NAME", options=["-o", "StrictHostKeyChecking=accept-new"])
        assert (done.stdout, done.stderr) == ("sandbox1\n", "")
    assert (sandbox.layout.directory / "known_hosts").read_text() == known


def test_only_the_sandboxs_key_and_user_are_let_in(sandbox: Sandbox, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    other_key = sandbox.layout.ssh_config.read_text().replace(
        f"{sandbox.layout.directory}/user_key", str(tmp_path / "key")
    )
    (tmp_path / "config").write_text(other_key)
    for config, user in ((tmp_path / "config", sandbox.layout.user), (sandbox.layout.ssh_config, "games")):
        argv: list[str | Path] = ["ssh", "-o", "BatchMode=yes", "-F", config, "-l", user, "sandbox1", "true"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 255
        assert "Permission denied (publickey)" in done.stderr


def test_sshds_listen_on_their_own_loopback_addresses_only(sandbox: Sandbox) -> None:
    heard = {
        entry.local for entry in tcp_sockets() if entry.listening and entry.local[1] == sandbox.layout.port
    }
    assert heard == {(host.address, sandbox.layout.port) for host in sandbox.hosts}
    assert {address.split(".")[0] for address, _ in heard} == {"127"}


def test_one_connection_carries_many_sessions_and_counts_as_one_handshake(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    before = sandbox.handshakes()
    master = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/c", "-o", "ControlPersist=30"]
    sandbox.ssh("sandbox2", "true", options=master)
    sleepers = [
        subprocess.Popen(["ssh", "-F", sandbox.layout.ssh_config, *master, "sandbox2", "echo up; cat"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(20)
    ]  # fmt: skip
    for sleeper in sleepers:
        assert sleeper.stdout and sleeper.stdout.readline() == "up\n"
    for sleeper in sleepers:
        sleeper.communicate("", timeout=30)
    after = sandbox.handshakes()
    assert {name: after[name] - before[name] for name in after} == {
        "sandbox1": 0,
        "sandbox2": 1,
        "sandbox3": 0,
    }
    subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={tmp_path}/c", "sandbox2"], check=True)
