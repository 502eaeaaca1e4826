"""The programs of OpenSSH that a sandbox starts: ssh-keygen, one sshd a host, ssh."""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from torc_remote.errors import TorcError
from torc_remote.sandbox.layout import Host, Layout

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PRIVILEGE_SEPARATION = Path("/run/sshd")
# sshd 9.8 and later shuts clients out that fail to log in, and all clients here share 127.0.0.1.
_WITHOUT_PENALTIES = "PerSourcePenalties no"


def program() -> str:
    """The absolute path of sshd (it insists on one). Raises TorcError when it is not installed."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
    if not found:
        raise TorcError("The sandbox needs sshd, which is not installed: apt install openssh-server")
    if os.getuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    return str(Path(found).resolve())


def make_keys(directory: Path) -> None:
    """Make the key that all hosts show and the one that lets the user in."""
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"torc-sandbox-{name}", "-f", name]
        subprocess.run(command, cwd=directory, check=True)


def optional_lines(sshd: str, host_key: Path) -> str:
    """The configuration lines that we want and that not every sshd knows."""
    probe = [sshd, "-t", "-f", "/dev/null", "-h", str(host_key), "-o", _WITHOUT_PENALTIES]
    known = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return f"{_WITHOUT_PENALTIES}\n" if known else ""


def free_port(address: str) -> int:
    """A TCP port that nobody listens on at this address, nor at all addresses."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port


def spawn(sshd: str, layout: Layout, host: Host, mark: str) -> None:
    """Start a host's sshd in the background, with nothing of our own environment. Raises TorcError."""
    session = f"HOME={host.home} PATH={_SYSTEM_PATH} TORC_WORKER_NAME={host.name} {mark}"
    command = [sshd, "-f", str(layout.sshd_config), "-E", str(host.log)]
    command += ["-o", f"ListenAddress={host.address}:{layout.port}", "-o", f"SetEnv={session}"]
    name, _, value = mark.partition("=")
    done = subprocess.run(
        command,
        env={name: value},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        umask=0o022,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        raise TorcError(f"sshd refuses to start: {last_lines(host.log)}")


def last_lines(log: Path) -> str:
    """The end of an sshd's log, as a reason in one line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "; ".join(lines[-3:]) or "it says nothing"


def run_ssh(
    layout: Layout, host: str, command: str, *, timeout: float, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command on a host by its alias, as anybody would who was given the ssh config."""
    argv = ["ssh", "-F", str(layout.ssh_config), "-o", "BatchMode=yes", *options, "--", host, command]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )
