"""The scripts that run on hosts, run here: in a home of their own, under any shell, with tools taken away."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torc_remote.host
from tests.support import wait_until
from torc_remote import processes
from torc_remote.host import program
from torc_remote.ssh import script as frame
from torc_remote.ssh.transfer import Meeting, new_meeting

HOST = Path(torc_remote.host.__file__).parent
"""The scripts' folder."""
KEY = "1700000000001"
"""Of the workflow 42, which was made in 2023."""
SHELLS = {
    "dash": "dash",
    "busybox": "busybox",
    "bash": "bash",
    "mksh": "mksh",
    "zsh": "zsh",
}
# What the scripts use, as POSIX systems have it; the rest is what each test is about.
TOOLS = (
    *(
        "awk",
        "cat",
        "cut",
        "date",
        "dirname",
        "env",
        "find",
        "grep",
        "gzip",
        "head",
        "id",
        "kill",
        "ln",
        "ls",
    ),
    *("mkdir", "mktemp", "mv", "nohup", "paste", "printf", "ps", "readlink", "rm", "rmdir", "sed", "sh"),
    *("sleep", "sort", "stat", "tail", "tar", "touch", "tr", "uname", "wc", "who", "chmod", "cp"),
)
# Installed as `torc` where a worker is needed: one that registers, with a job in its session and one outside.
WORKER = """#!/bin/sh
[ "$1" != --version ] || { echo "torc 1.0.0"; exit; }
echo "[2026-11-22T18:46:53Z INFO  torc] Starting torc job runner compute_node_id=7"
mkdir -p "$4/job_stdio" && echo "a line" >"$4/job_stdio/job_wf$2_j1_r1_a1.o"
sleep 611 &
sleep 612 &
wait
"""


def installed_shells() -> list[str]:
    """The shells of SHELLS that this machine has."""
    return [name for name, program in SHELLS.items() if shutil.which(program)]


@dataclass
class ScriptHost:
    """A home directory and what the host's scripts find around them.

    ``shell`` is what /bin/sh is: for root really, in a mount namespace, else only for the script itself. ``path``
    is the search path, ``edits`` are replacements in the scripts' text. ``spaces`` are unshare's options for more
    namespaces and ``inside`` what a root shell does in them first. ``account`` is what login files export,
    ``login_shell`` the shell that they put in place of /bin/sh.
    """

    home: Path
    shell: str = "dash"
    path: str = "/usr/bin:/bin"
    edits: Mapping[str, str] = field(default_factory=dict)
    meeting: Meeting = field(init=False)
    account: Mapping[str, str] = field(default_factory=dict)
    login_shell: str = ""
    spaces: Sequence[str] = ()
    inside: str = ":"

    def run(
        self, script: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Run a script; its answer. Fails the test when there is none."""
        return self.run_text(program(script), arguments, environment)

    def popen_start(self) -> "subprocess.Popen[bytes]":
        """As `start`, for tests that end it in its midst: the process is the script's own."""
        arguments = ("42", KEY, "", "torc_output", "", "1.0.0", "me")
        return self._popen("start_worker", arguments, subprocess.DEVNULL)

    def popen_pack(self) -> "subprocess.Popen[bytes]":
        """As `pack`, for tests that stop listening to it."""
        return self._popen("pack_logs", self._pack_words(), subprocess.PIPE)

    def _popen(self, script: str, arguments: Sequence[str], stdout: int) -> "subprocess.Popen[bytes]":
        text = frame.compose(frame.new_nonce(), self._edited(program(script)), arguments)
        process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=stdout,
            env={"HOME": os.fspath(self.home), "PATH": self.path},
        )
        assert process.stdin
        process.stdin.write(text)
        process.stdin.close()
        return process

    def _edited(self, parts: Sequence[str]) -> Sequence[str]:
        for old, new in self.edits.items():
            parts = [part.replace(old, new) for part in parts]
        return parts

    def shim(self, name: str, text: str) -> Path:
        """Put a shell script of this name before the host's own programs; it finds the real one as ``$real``."""
        directory = self.home / "shims"
        directory.mkdir(exist_ok=True)
        file = directory / name
        file.write_text(f"#!/bin/sh\nreal={shutil.which(name)}\n{text}\n")
        file.chmod(0o755)
        if not self.path.startswith(f"{directory}:"):
            self.path = f"{directory}:{self.path}"
        return file

    def run_text(
        self,
        parts: Sequence[str],
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        parts = self._edited(parts)
        nonce = frame.new_nonce()
        done = subprocess.run(
            self._command(),
            input=frame.compose(nonce, parts, arguments, environment),
            env={"HOME": os.fspath(self.home), "PATH": self.path},
            capture_output=True,
            timeout=60,
            check=False,
        )
        answer = frame.parse_answer(nonce, done.stdout.decode("utf-8", "surrogateescape"))
        assert answer.complete, (done.returncode, done.stdout, done.stderr)
        assert not done.stderr, done.stderr
        return dict(answer.values)

    def _command(self) -> list[str]:
        shell = shutil.which(SHELLS[self.shell]) or self.shell
        exported = [f"{name}={value}" for name, value in {"PATH": self.path, **self.account}.items()]
        if os.geteuid() == 0:
            mount = f'mount --bind {shlex.quote(shell)} "$(readlink -f /bin/sh)"'
            started = [shutil.which(self.login_shell) or "/bin/sh", "-s"]
            switch = f"{self.inside} && {mount} && exec {shlex.join(['env', *exported, *started])}"
            environment = ["env", "-i", f"HOME={self.home}"]
            return [
                *environment,
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "unshare",
                "-m",
                *self.spaces,
                "sh",
                "-c",
                switch,
            ]
        if self.login_shell:
            return ["env", *exported, self.login_shell, "-s"]
        return ["env", *exported, "-a", "sh", shell, "-s"]

    def install_worker(self, text: str = WORKER) -> None:
        """Put a program named torc where it is found."""
        torc = self.home / ".local/bin/torc"
        torc.parent.mkdir(parents=True)
        torc.write_text(text)
        torc.chmod(0o755)

    def start(
        self, output_dir: str = "torc_output", key: str = KEY, known: str = "", workflow: int = 42
    ) -> dict[str, str]:
        words = [str(workflow), key, known, output_dir, "", "1.0.0", "me"]
        return self.run("start_worker", *words)

    def verify(self) -> dict[str, str]:
        return self.run("verify_worker", "42", KEY, "", "0", "10")

    def status(self, key: str = KEY, known: str = "") -> dict[str, str]:
        return self.run("status", "42", key, known, "")

    def stop(
        self, force: bool = False, grace: int = 20, key: str = KEY, known: str = "", workflow: int = 42
    ) -> dict[str, str]:
        words = [str(workflow), key, known, "", str(grace), "1" if force else "0"]
        return self.run("stop", *words)

    def state(self, key: str = KEY) -> Path:
        """The worker's state directory."""
        return self.home / ".local/state/torc-remote" / os.uname().nodename / f"42-{key}"

    def pack(self, known: str = "", key: str = KEY, output_dir: str = "") -> dict[str, str]:
        return self.run("pack_logs", *self._pack_words(known, key, output_dir))

    def _pack_words(self, known: str = "", key: str = KEY, output_dir: str = "") -> list[str]:
        self.meeting = new_meeting(f"torc-logs-42-{key}")
        return ["42", key, output_dir, "0", known, "0", "0", self.meeting.name, self.meeting.file]

    def discard(self) -> dict[str, str]:
        return self.run("discard_archive", self.meeting.name)

    def delete(
        self, manifest: str = "", output_dir: str = "", key: str = KEY, workflow: int = 42
    ) -> dict[str, str]:
        words = [str(workflow), key, output_dir, "0", manifest]
        return self.run("delete_logs", *words)

    def forget(self) -> dict[str, str]:
        return self.run("forget_lost", "42", KEY)

    def pids(self) -> set[int]:
        """What was started from this home and lives."""
        return processes.processes_with(f"HOME={self.home}")

    def end(self) -> None:
        """Kill what was started from this home."""
        processes.signal_all(self.pids(), signal.SIGKILL)


@contextmanager
def script_host(home: Path, worker: str = WORKER) -> Iterator[ScriptHost]:
    """A host with this program as torc and this home, made if need be; at the end nothing of it runs."""
    home.mkdir(exist_ok=True)
    host = ScriptHost(home)
    host.install_worker(worker)
    yield host

    def is_gone() -> bool:
        host.end()  # again and again: what is being ended may start something
        return not host.pids()

    wait_until(is_gone)


def toolbox(directory: Path, without: Sequence[str] = (), extra: Sequence[str] = ()) -> str:
    """A search path with the tools that scripts may count on, and no others."""
    directory.mkdir()
    for name in {*TOOLS, *extra} - set(without):
        program = shutil.which(name)
        assert program, f"{name} is not installed here"
        (directory / name).symlink_to(program)
    return os.fspath(directory)
