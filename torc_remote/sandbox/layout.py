"""What a sandbox consists of on disk: its directory, its hosts, the files that sshd and ssh read."""

import dataclasses
import json
import os
import pwd
import re
import shutil
import string
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torc_remote.errors import TorcError, UsageError

MARKER = "sandbox.json"
MAX_HOSTS = 1000
_HOSTS_PER_NET = 250
# These paths stand in files of sshd, ssh and sh, which all quote differently.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/+@-]+")
_SFTP_SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
)

_SSHD_CONFIG = string.Template("""\
${extra}\
HostKey $directory/host_key
AuthorizedKeysFile $directory/user_key.pub
PermitRootLogin prohibit-password
AuthenticationMethods publickey
StrictModes no
UsePAM no
UseDNS no
PidFile none
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
MaxStartups 1000
MaxSessions 1000
Subsystem sftp $sftp_server
ForceCommand exec /bin/sh $directory/session
""")

# The login shell runs this in the account's real home, with the host's HOME in its environment. SHLVL keeps a
# bash from reading its start-up files twice.
_SESSION = """\
cd || exit 1
command=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND OLDPWD
if [ -z "$command" ]; then
  exec "$SHELL" -l
fi
SHLVL=1 exec "$SHELL" -c "$command"
"""

_SSH_CONFIG = string.Template("""\
Host ${prefix}* 127.$network.*
  User $user
  Port $port
  IdentityFile $directory/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile $directory/known_hosts
  GlobalKnownHostsFile /dev/null
""")


@dataclass(frozen=True)
class Host:
    """One host of a sandbox: its alias, loopback address, home directory and the log of its sshd."""

    name: str
    address: str
    home: Path
    log: Path


@dataclass(frozen=True)
class Layout:
    """The facts that make a sandbox, as its marker file keeps them; all hosts share one port.

    ``network`` is the second number of the hosts' addresses 127.network.y.z. ``id`` marks the processes.
    """

    directory: Path
    id: str
    network: int
    port: int
    size: int
    user: str

    PREFIX = "sandbox"

    @cached_property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts in order, sandbox1 first."""
        return tuple(self._host(number) for number in range(1, self.size + 1))

    def _host(self, number: int) -> Host:
        net, node = divmod(number - 1, _HOSTS_PER_NET)
        name = f"{self.PREFIX}{number}"
        return Host(
            name=name,
            address=f"127.{self.network}.{net}.{node + 1}",
            home=self.directory / "hosts" / name,
            log=self.directory / "logs" / f"{name}.log",
        )

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F`` and TORC_REMOTE_SSH_CONFIG."""
        return self.directory / "ssh_config"

    @property
    def worker_file(self) -> Path:
        """One host name a line, for ``torc remote run --workers``."""
        return self.directory / "workers.txt"

    @property
    def sshd_config(self) -> Path:
        """Shared by all hosts' sshds."""
        return self.directory / "sshd_config"


def default_directory() -> Path:
    """Where the sandbox lives unless told: ``$XDG_STATE_HOME/torc-remote/sandbox``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    return base / "torc-remote" / "sandbox"


def current_user() -> str:
    """The account that the sandbox runs as and logs in to."""
    return pwd.getpwuid(os.getuid()).pw_name


def make_directory(directory: Path) -> None:
    """Make the sandbox's private directory; an empty one may be there already.

    Raises UsageError for a path that the generated files can't carry and for a directory in use.
    """
    if not _PLAIN_PATH.fullmatch(str(directory)):
        raise UsageError(f"{directory}: choose a directory whose path has only letters, digits and ._/+@-")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = next(directory.iterdir(), None)
        if not content:
            directory.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}; choose another directory with --dir") from error
    if content:
        raise UsageError(f"{directory} is not empty; name a new directory with --dir")


def write_marker(layout: Layout) -> None:
    """Claim the directory. The marker is the first file written and the last one removed."""
    fields = dataclasses.asdict(layout) | {"directory": str(layout.directory)}
    try:
        with (layout.directory / MARKER).open("x") as file:
            json.dump(fields, file)
    except FileExistsError as error:
        raise TorcError(f"Another sandbox is just being started in {layout.directory}.") from error


def read_marker(directory: Path) -> Layout | None:
    """The sandbox that lives in a directory, None without one. Raises TorcError for a broken marker."""
    marker = directory / MARKER
    try:
        fields = json.loads(marker.read_text())
        return Layout(**fields | {"directory": directory})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise TorcError(f"{marker} can't be read ({error}); remove {directory} yourself.") from error


def write_files(layout: Layout, sshd_config: str) -> None:
    """Write all but what ssh-keygen makes; ``sshd_config`` has lines that win over ours."""
    values = dataclasses.asdict(layout) | {"prefix": layout.PREFIX}
    layout.sshd_config.write_text(
        _SSHD_CONFIG.substitute(values, extra=sshd_config, sftp_server=_sftp_server())
    )
    aliases = "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in layout.hosts)
    layout.ssh_config.write_text(aliases + _SSH_CONFIG.substitute(values))
    layout.worker_file.write_text("".join(f"{host.name}\n" for host in layout.hosts))
    (layout.directory / "session").write_text(_SESSION)
    (layout.directory / "logs").mkdir()
    for host in layout.hosts:
        host.home.mkdir(parents=True)


def write_known_hosts(layout: Layout) -> None:
    """All hosts show one key, so one pattern line knows them all."""
    kind, key = (layout.directory / "host_key.pub").read_text().split()[:2]
    (layout.directory / "known_hosts").write_text(f"[127.{layout.network}.*]:{layout.port} {kind} {key}\n")


def remove_directory(directory: Path) -> None:
    """Remove a sandbox's directory, also where a host made parts of it read-only; the marker goes last."""
    for parent, names, _ in os.walk(directory):
        for path in (Path(parent, name) for name in names):
            if not path.is_symlink():
                path.chmod(0o700)
    for path in directory.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (directory / MARKER).unlink()
    directory.rmdir()


def _sftp_server() -> str:
    for path in _SFTP_SERVERS:
        if Path(path).exists():
            return path
    raise TorcError("The sandbox needs OpenSSH's sftp-server: apt install openssh-server")


def require_linux() -> None:
    """Other systems have neither /proc nor all of 127.0.0.0/8. Raises TorcError."""
    if not sys.platform.startswith("linux"):
        raise TorcError("The sandbox needs Linux: elsewhere the loopback device has one address only.")
