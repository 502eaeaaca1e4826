"""How hosts are reached with ssh: the options that Ansible passes, and the directory of control sockets."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torc_remote.errors import TorcError

# A unix socket's path has 104 bytes at most on macOS (108 on Linux) with its final NUL; Ansible's socket name
# takes 10 of them and the temporary suffix that ssh gives it while connecting 17.
_MAX_CONTROL_DIR = 104 - len("\0") - len("/") - 10 - 17
# ssh expands % and ${} in ControlPath, Ansible ~ and $.
_SAFE_CONTROL_DIR = re.compile(r"/[A-Za-z0-9._/+@=-]*")


@dataclass(frozen=True)
class SshOptions:
    """How the hosts are reached. ``control_persist`` (seconds) has to outlast an operation on all hosts.

    Without ``ssh_config`` ssh reads the user's and the system's files; with it, that file alone (``-F``).
    """

    control_dir: Path
    ssh_config: Path | None = None
    control_persist: int = 900
    connect_timeout: int = 30

    def group_vars(self) -> dict[str, Any]:
        """The variables of group ``torc_workers``: what Ansible's ssh connection needs besides ~/.ssh/config.

        ``ansible_ssh_common_args`` and ``ansible_ssh_extra_args`` stay free for the admin (ProxyJump).
        """
        options = {
            "ControlMaster": "auto",
            "ControlPersist": f"{self.control_persist}s",
            "ConnectTimeout": self.connect_timeout,
            "BatchMode": "yes",
            "StrictHostKeyChecking": "accept-new",
            "ServerAliveInterval": 15,
            "ServerAliveCountMax": 4,
            # A terminal or a command from ~/.ssh/config would come between us and the script's stdin.
            "RequestTTY": "no",
            "RemoteCommand": "none",
            # Jobs could use the user's agent and display; a forwarded port can be bound for one host only.
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "Tunnel": "no",
            "PermitLocalCommand": "no",
            "VisualHostKey": "no",
            # Without ssh's own words nobody could say why a host was not reached.
            "LogLevel": "INFO",
            **_options_of_new_clients(),
        }
        config = ["-F", str(self.ssh_config)] if self.ssh_config else []
        pairs = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return {
            "ansible_connection": "ssh",
            "ansible_ssh_args": shlex.join([*config, *pairs]),
            # False would put StrictHostKeyChecking=no into force.
            "ansible_host_key_checking": True,
            # A retry of Ansible's runs the script a second time.
            "ansible_ssh_retries": 0,
            "ansible_ssh_transfer_method": "sftp",
            "ansible_control_path_dir": str(self.control_dir),
        }


@cache
def _options_of_new_clients() -> dict[str, str]:
    """Since OpenSSH 8.7 a configuration can ask for no stdin or the background.

    Older clients refuse the words, and IgnoreUnknown would replace that of ~/.ssh/config.
    """
    try:
        version_line = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return {}
    version = re.match(r"OpenSSH_(\d+)\.(\d+)", version_line)
    if not version or (int(version[1]), int(version[2])) < (8, 7):
        return {}
    # not SessionType: sftp asks for a subsystem with -s, which ssh then refuses
    return {"StdinNull": "no", "ForkAfterAuthentication": "no"}


def require_ssh() -> None:
    """Raises TorcError where there is no ssh."""
    if not shutil.which("ssh"):
        path = os.environ.get("PATH", os.defpath)
        raise TorcError(f"There is no ssh on this machine's PATH ({path}). Install the OpenSSH client.")


def find_ssh_config(text: str | os.PathLike[str] | None) -> Path | None:
    """The absolute path of the ssh configuration that TORC_REMOTE_SSH_CONFIG names, None when it names none.

    Raises TorcError when the file can't be read, which ssh would tell once a host.
    """
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise TorcError(
            f"Cannot read the ssh configuration {path} (TORC_REMOTE_SSH_CONFIG). If it belonged to a sandbox "
            "that was stopped:\n    unset TORC_REMOTE_SSH_CONFIG"
        )
    return path


def default_control_dir(environ: Mapping[str, str], ssh_config: Path | None = None) -> Path:
    """Where ssh's control sockets lie: in XDG_RUNTIME_DIR, else in the user's cache, else in /tmp.

    A short path, as unix sockets need one. It differs by ssh configuration, since an alias may mean another
    machine there, and by controller, since homes may be shared.
    """
    scope = f"{platform.node()}\0{ssh_config.resolve() if ssh_config else ''}"
    name = hashlib.sha256(os.fsencode(scope)).hexdigest()[:8]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    home = environ.get("HOME", "")
    candidates = [
        Path(runtime, "torc-remote", name) if _is_own_dir(runtime) else None,
        Path(home, ".cache", "torc-remote", "cm", name) if _is_own_dir(home) else None,
    ]
    usable = (path for path in candidates if path and _can_hold_sockets(path) and _can_be_made(path))
    return next(usable, None) or _in_tmp(name)


def _is_own_dir(text: str) -> bool:
    """After sudo or su the environment may name somebody else's directory, where ours would be in the way."""
    try:
        return os.path.isabs(text) and os.stat(text).st_uid == os.geteuid()  # noqa: PTH117, PTH116
    except OSError:
        return False


def _can_be_made(path: Path) -> bool:
    """Homes can be read-only, as in containers and in batch systems."""
    there = next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110 - never raises
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _can_hold_sockets(path: Path) -> bool:
    return len(os.fsencode(path)) <= _MAX_CONTROL_DIR and bool(_SAFE_CONTROL_DIR.fullmatch(str(path)))


def _in_tmp(name: str) -> Path:
    path = Path(tempfile.gettempdir(), f"torc-remote-{os.geteuid()}-{name}")
    return path if _can_hold_sockets(path) else Path("/tmp", path.name)  # noqa: S108 - verified when made


def ensure_control_dir(path: Path) -> Path:
    """Make the directory for control sockets, for this user alone, and verify that it is so.

    Raises TorcError when it can't be made or is somebody else's, a link or open to others.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            path.chmod(0o700)
            return path
    except OSError as error:
        raise TorcError(
            f"Cannot make the directory {path} for ssh's control sockets: {error.strerror}. "
            "Set XDG_RUNTIME_DIR to a directory of yours."
        ) from error
    raise TorcError(f"{path}, meant for ssh's control sockets, is not a directory of yours; remove it.")
