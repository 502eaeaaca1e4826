"""A real account on this machine behind an sshd of its own, for what the sandbox's hosts can't show: file
permissions that hold (root reads everything), login shells and their start-up files. Only root can make one."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import wait_until
from torc_remote import processes
from torc_remote.sandbox import sshd

CAN_MAKE = os.geteuid() == 0 and bool(shutil.which("useradd"))
WHY_NOT = "only root can make an account to log in to"
_SFTP = "/usr/lib/openssh/sftp-server"


@dataclass(frozen=True)
class Host:
    """As the sandbox's: what ssh calls it and where its home is."""

    name: str
    home: Path


@dataclass(frozen=True)
class AccountMachine:
    """Takes a sandbox's place in a Fleet; its one host is the account."""

    directory: Path
    user: pwd.struct_passwd
    port: int

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (Host("account", Path(self.user.pw_dir)),)

    @property
    def environment(self) -> dict[str, str]:
        return {"TORC_REMOTE_SSH_CONFIG": str(self.directory / "ssh_config")}

    def set_shell(self, program: str) -> None:
        """Another login shell. Open connections would keep the one before, so they are cut."""
        subprocess.run(["usermod", "--shell", program, self.user.pw_name], check=True)
        ours = ("127.0.0.1", self.port)
        sockets = processes.tcp_sockets()
        serving = {
            entry.pid for entry in sockets if entry.local == ours and not entry.listening and entry.pid
        }
        processes.signal_all(processes.with_descendants(serving, program="sshd"), signal.SIGKILL)
        wait_until(lambda: not [entry for entry in processes.tcp_sockets() if entry.remote == ours])

    def write(self, name: str, text: str) -> Path:
        """A file of the account's own in its home."""
        path = Path(self.user.pw_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        subprocess.run(["chown", "-R", self.user.pw_name, self.user.pw_dir], check=True)
        return path


@contextmanager
def account_machine(sshd_config: str = "", nologin: str = "") -> Iterator[AccountMachine]:
    """Make an account and start an sshd for it; both are gone afterwards, with all of its processes.

    ``nologin``: what /etc/nologin says, as that sshd alone sees it.
    """
    directory = Path(tempfile.mkdtemp(prefix="torc-account-"))
    directory.chmod(0o755)
    name = f"torc{directory.name[-8:].lower().replace('_', 'x')}"
    subprocess.run(
        ["useradd", "--create-home", "--base-dir", directory, "--shell", "/bin/sh", "--password", "*", name],
        check=True,
    )
    machine = AccountMachine(directory, pwd.getpwnam(name), sshd.free_port("127.0.0.1"))
    server = _serve(machine, sshd_config, nologin)
    try:
        yield machine
    finally:
        server.terminate()
        server.wait(10)
        wait_until(lambda: not _kill_all(machine.user.pw_uid), 20)
        subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)
        shutil.rmtree(directory)


def _serve(machine: AccountMachine, sshd_config: str, nologin: str) -> "subprocess.Popen[bytes]":
    directory, port = machine.directory, machine.port
    program = sshd.program()
    sshd.make_keys(directory)
    lines = [sshd_config, sshd.optional_lines(program, directory / "host_key")]
    lines += [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {directory}/host_key"]
    lines += [f"AuthorizedKeysFile {directory}/user_key.pub", "StrictModes no", "UsePAM no", "UseDNS no"]
    lines += ["PidFile none", "PrintMotd no", f"Subsystem sftp {_SFTP}", "MaxStartups 100", "MaxSessions 100"]
    (directory / "sshd_config").write_text("\n".join(lines) + "\n")
    (directory / "ssh_config").write_text(
        f"Host account\n  HostName 127.0.0.1\n  Port {port}\n  User {machine.user.pw_name}\n"
        f"  IdentityFile {directory}/user_key\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {directory}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
    )
    log = directory / "sshd.log"
    command = [program, "-D", "-f", directory / "sshd_config", "-E", log]
    if nologin:
        command = [*_with_own_etc(directory / "etc", nologin), *command]
    server = subprocess.Popen(command, env={}, start_new_session=True)
    wait_until(lambda: "Server listening" in log.read_text(), 20)
    return server


def _with_own_etc(directory: Path, nologin: str) -> list[str]:
    """What to put before a command that is to see another /etc, with this text as /etc/nologin."""
    shutil.copytree("/etc", directory, symlinks=True)
    (directory / "nologin").write_text(nologin)
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {directory} /etc && exec "$@"', "sh"]


def _kill_all(uid: int) -> bool:
    """Kill what the account has running; whether there was anything."""
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _owner(entry) == uid]
    processes.signal_all(pids, signal.SIGKILL)
    return bool(pids)


def _owner(entry: Path) -> int | None:
    try:
        return entry.stat().st_uid
    except OSError:
        return None
