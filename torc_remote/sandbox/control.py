"""Start, find and stop sandboxes."""

import os
import re
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from torc_remote import processes
from torc_remote.errors import TorcError, UsageError
from torc_remote.sandbox import layout as files
from torc_remote.sandbox import sshd
from torc_remote.sandbox.layout import Host, Layout

_MARK = "_TORC_SANDBOX"
_READY_SECONDS = 30.0
_TERM_SECONDS = 5.0
_KILL_SECONDS = 10.0
_CLIENT_SECONDS = 5.0
_TITLE = re.compile(r"sshd: \S+ -f (/\S+)/sshd_config .*\[listener\]")


@dataclass(frozen=True)
class Sandbox:
    """Private ssh hosts on loopback addresses of this machine, each with its own home and its own sshd.

    A process belongs to the sandbox when it has the sandbox's mark in its environment, descends from one that
    has, or holds the server's side of a connection to one of the hosts.
    """

    layout: Layout

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts in order, sandbox1 first."""
        return self.layout.hosts

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point our commands to these hosts."""
        return {"TORC_REMOTE_SSH_CONFIG": str(self.layout.ssh_config)}

    def ssh(
        self, host: str, command: str, *, timeout: float = 30, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host; ``timeout`` in seconds, ``options`` go to ssh."""
        return sshd.run_ssh(self.layout, host, command, timeout=timeout, options=options)

    def listening(self) -> set[str]:
        """The names of the hosts whose sshd accepts connections."""
        heard = {entry.local for entry in processes.tcp_sockets() if entry.listening}
        return {host.name for host in self.hosts if (host.address, self.layout.port) in heard}

    def handshakes(self) -> dict[str, int]:
        """How many logins each host has accepted so far."""
        return {host.name: host.log.read_text().count("Accepted publickey") for host in self.hosts}

    def sshd_pids(self, *names: str) -> set[int]:
        """The sshds of these hosts (of all, without names): listeners and the servers of connections."""
        ends = {(host.address, self.layout.port) for host in self._named(names)}
        holders = {entry.pid for entry in processes.tcp_sockets() if entry.local in ends and entry.pid}
        # a connection is held by a server and the one that it runs for the user; the list names one of them
        return processes.with_descendants(holders, program="sshd")

    def kill_sshd(self, *names: str) -> None:
        """Kill the sshds of these hosts (of all, without names) with their connections; workers live on."""
        _end(lambda: self.sshd_pids(*names), term_seconds=0)

    def restart_sshd(self, *names: str) -> None:
        """Kill the sshds of these hosts (of all, without names), start them, return when they listen."""
        self.kill_sshd(*names)
        self._spawn(self._named(names))

    def stop(self) -> None:
        """End the sshds, every session and every process started from the hosts; remove the directory.

        The processes get SIGTERM and, after five seconds, SIGKILL. Raises TorcError when called on one of the
        hosts or when something survives.
        """
        if os.environ.get(_MARK) == self.layout.id:
            raise TorcError("This is one of the sandbox's own hosts; stop the sandbox from outside.")
        _end(self.pids, term_seconds=_TERM_SECONDS)
        self._await_clients()
        files.remove_directory(self.layout.directory)

    def pids(self) -> set[int]:
        """All processes of the sandbox."""
        return processes.with_descendants(self.sshd_pids() | processes.processes_with(self._mark))

    @property
    def _mark(self) -> str:
        return f"{_MARK}={self.layout.id}"

    def _named(self, names: Collection[str]) -> list[Host]:
        hosts = [host for host in self.hosts if not names or host.name in names]
        if unknown := set(names) - {host.name for host in hosts}:
            raise UsageError(f"the sandbox has no host {', '.join(sorted(unknown))}")
        return hosts

    def _spawn(self, hosts: Sequence[Host]) -> None:
        program = sshd.program()
        for host in hosts:
            sshd.spawn(program, self.layout, host, self._mark)
        names = {host.name for host in hosts}
        if not _until(lambda: names <= self.listening(), _READY_SECONDS):
            dead = next(host for host in hosts if host.name not in self.listening())
            raise TorcError(f"{dead.name} does not listen: {sshd.last_lines(dead.log)}")

    def _shake_hands(self) -> None:
        """Log in to the first host. All sshds share one configuration, so this speaks for all that listen."""
        host = self.hosts[0]
        done = self.ssh(host.name, 'echo "$TORC_WORKER_NAME $HOME"', timeout=_READY_SECONDS)
        if done.returncode or done.stdout.splitlines()[-1:] != [f"{host.name} {host.home}"]:
            reason = done.stderr.strip() or done.stdout.strip()
            raise TorcError(f"ssh to {host.name} fails: {reason}; sshd says: {sshd.last_lines(host.log)}")

    def _await_clients(self) -> None:
        """An ssh master that loses its server ends and removes its control socket: give it the time."""
        ends = {(host.address, self.layout.port) for host in self.hosts}
        _until(lambda: not any(entry.remote in ends for entry in processes.tcp_sockets()), _CLIENT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(hosts: int, directory: Path | None = None, *, sshd_config: str = "") -> Sandbox:
    """Start a sandbox and return it once a login has succeeded.

    ``directory`` is new or empty (default: a fixed place of the user, so only one runs there); the lines of
    ``sshd_config`` win over ours. Raises TorcError, UsageError; whatever fails, nothing is left behind.
    """
    if not 1 <= hosts <= files.MAX_HOSTS:
        raise UsageError(f"a sandbox has 1 to {files.MAX_HOSTS} hosts, not {hosts}")
    files.require_linux()
    program = sshd.program()
    directory = (directory or files.default_directory()).absolute()
    if old := find(directory):
        state = "runs already" if old.listening() else "was left behind"
        raise TorcError(
            f"A sandbox of {old.layout.size} hosts {state} in {directory}. To end it:\n"
            f"    torc sandbox stop --dir {shlex.quote(str(directory))}"
        )
    files.make_directory(directory)
    sandbox = Sandbox(_new_layout(directory, hosts))
    files.write_marker(sandbox.layout)
    try:
        _bring_up(sandbox, program, sshd_config)
    except BaseException:  # Ctrl-C too must leave nothing behind
        sandbox.stop()
        raise
    return sandbox


def find(directory: Path) -> Sandbox | None:
    """The sandbox of a directory, whether its sshds run or not. Raises TorcError for a broken marker file."""
    layout = files.read_marker(directory.absolute())
    return Sandbox(layout) if layout else None


def running() -> list[Sandbox]:
    """This user's sandboxes that have at least one sshd, and the one in the default place in any state."""
    directories = {Path(match[1]) for title in processes.titles() if (match := _TITLE.match(title))}
    own = {path for path in directories if path.exists() and path.stat().st_uid == os.getuid()}
    sandboxes = (find(path) for path in sorted(own | {files.default_directory()}))
    return [sandbox for sandbox in sandboxes if sandbox]


def _new_layout(directory: Path, hosts: int) -> Layout:
    heard = {entry.local[0] for entry in processes.tcp_sockets()}
    taken = {int(address.split(".")[1]) for address in heard if address.startswith("127.")}
    network = secrets.choice(sorted(set(range(1, 255)) - taken))
    return Layout(
        directory=directory,
        id=secrets.token_hex(8),
        network=network,
        port=sshd.free_port(f"127.{network}.0.1"),
        size=hosts,
        user=files.current_user(),
    )


def _bring_up(sandbox: Sandbox, program: str, sshd_config: str) -> None:
    layout = sandbox.layout
    sshd.make_keys(layout.directory)
    files.write_known_hosts(layout)
    lines = f"{sshd_config.strip()}\n{sshd.optional_lines(program, layout.directory / 'host_key')}"
    files.write_files(layout, lines)
    sandbox.restart_sshd()
    sandbox._shake_hands()


def _end(find_pids: Callable[[], set[int]], term_seconds: float) -> None:
    """Signal processes until none is found: SIGTERM once, then SIGKILL. Raises TorcError for survivors."""
    if term_seconds:
        processes.signal_all(find_pids(), signal.SIGTERM)
        if _until(lambda: not find_pids(), term_seconds):
            return

    def killed() -> bool:
        pids = find_pids()
        processes.signal_all(pids, signal.SIGKILL)
        return not pids

    if not _until(killed, _KILL_SECONDS):
        raise TorcError(f"These processes of the sandbox can't be ended: {sorted(find_pids())}")


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; False when time is up first."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
