"""The tools that are compared: each does an operation on all hosts and proves that it did."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import CommandFailedError, Sample, process_memory, run
from torc_remote.sandbox import Sandbox

TORC = Path(sys.executable).with_name("torc")
# one job for each worker, which then has nothing to do but to wait
RUN_OPTIONS = ("-p", "3600", "--max-parallel-jobs", "1")


@dataclass
class Bench:
    """Where everything happens: the hosts, the server, a directory for what the tools leave."""

    sandbox: Sandbox
    url: str
    directory: Path
    forks: int
    ssh_config: Path
    watch: bool = False

    @property
    def hosts(self) -> list[str]:
        return [host.name for host in self.sandbox.hosts]

    def env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
        ours = {
            "TORC_API_URL": self.url,
            "TORC_USERNAME": "bench",
            "TORC_REMOTE_SSH_CONFIG": str(self.ssh_config),
        }
        return clean | ours

    def run(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> tuple[Sample, str]:
        """The command's sample and what it says."""
        return run(command, environment or self.env(), self.directory, self.watch)

    def new_workflow(self) -> str:
        """A workflow that keeps its workers busy with waiting, with all hosts as workers; its ID."""
        spec = self.directory / "wait.json"
        jobs = [{"name": f"wait_{host}", "command": "sleep 100000"} for host in self.hosts]
        spec.write_text(json.dumps({"name": "wait", "jobs": jobs}))
        _, said = self.run([TORC, "create", spec])
        number = said.split()[-1]
        workers = self.sandbox.layout.worker_file
        self.run([TORC, "remote", "add-workers-from-file", workers, number, "--skip-ssh-check"])
        return number

    def ssh_options(self) -> list[str]:
        return ["-F", str(self.ssh_config)]


def expect(said: str, text: str) -> None:
    """A fast answer that is wrong would be no answer."""
    if text not in said:
        raise CommandFailedError(f"{text!r} is not in:\n{said}")


class TorcRemote:
    """Ours. Cold: no ssh connection is open when the command begins."""

    name = "torc-remote"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.workflow = bench.new_workflow()

    def operations(self) -> dict[str, Callable[[], Sample]]:
        """In the order of a workflow's life."""
        total = len(self.bench.hosts)
        logs = self.bench.directory / "logs-ours"
        return {
            "run": lambda: self._cold("run", *RUN_OPTIONS, said=f"Started {total}/{total} workers"),
            "status": lambda: self._cold("status", said=f"{total}/{total} workers running"),
            "status, warm": lambda: self._timed("status", said=f"{total}/{total} workers running"),
            "collect-logs": lambda: self._cold(
                "collect-logs", "-l", str(logs), said=f"{total}/{total} workers"
            ),
            "stop": lambda: self._cold("stop", said=f"{total}/{total} workers stopped"),
            "delete-logs": lambda: self._cold("delete-logs", said=f"{total}/{total} workers deleted"),
        }

    def _cold(self, *words: str, said: str) -> Sample:
        close_connections(self.bench)
        return self._timed(*words, said=said)

    def _timed(self, *words: str, said: str) -> Sample:
        forks = ["--max-parallel-ssh", str(self.bench.forks)]
        command: list[str | Path] = [TORC, "remote", words[0], self.workflow, *words[1:], *forks]
        sample, answer = self.bench.run(command)
        expect(answer, said)
        return sample


class NativeTorc:
    """torc's own `torc remote`. It knows no ssh configuration but the user's, so ssh and scp are wrapped for it."""

    name = "torc"

    def __init__(self, bench: Bench, program: Path) -> None:
        self.bench = bench
        self.workflow = bench.new_workflow()
        self._program = program
        self._wrappers = bench.directory / "wrappers"
        self._wrappers.mkdir(exist_ok=True)
        for tool in ("ssh", "scp"):
            wrapper = self._wrappers / tool
            words = shlex.join([f"/usr/bin/{tool}", *bench.ssh_options()])
            wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            wrapper.chmod(0o755)

    def operations(self) -> dict[str, Callable[[], Sample]]:
        """torc has nothing that stays warm."""
        total = len(self.bench.hosts)
        logs = self.bench.directory / "logs-native"
        output = ["--output-dir", "native_output"]
        return {
            "run": lambda: self._timed("run", *RUN_OPTIONS, *output, said=f"Started {total}/{total}"),
            "status": lambda: self._timed("status", *output, said=f"{total}/{total} workers running"),
            "status, warm": lambda: self._timed("status", *output, said=f"{total}/{total} workers running"),
            "collect-logs": lambda: self._timed(
                "collect-logs", "-l", str(logs), "--remote-output-dir", "native_output", said=""
            ),
            "stop": lambda: self._timed("stop", *output, said=""),
            "delete-logs": lambda: self._timed(
                "delete-logs", "--remote-output-dir", "native_output", said=""
            ),
        }

    def _timed(self, *words: str, said: str) -> Sample:
        environment = self.bench.env()
        environment["PATH"] = f"{self._wrappers}{os.pathsep}{environment['PATH']}"
        forks = ["--max-parallel-ssh", str(self.bench.forks)]
        command: list[str | Path] = [self._program, "remote", words[0], self.workflow, *words[1:], *forks]
        sample, answer = self.bench.run(command, environment)
        expect(answer, said)
        if answer.count("[FAILED]"):
            raise CommandFailedError(answer)
        return sample


class Floor:
    """The least that ssh can do: one handshake a host, `true`, as many at a time."""

    name = "xargs ssh"

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def operations(self) -> dict[str, Callable[[], Sample]]:
        return {"status": self._timed}

    def _timed(self) -> Sample:
        words = shlex.join(["ssh", *self.bench.ssh_options(), "-o", "BatchMode=yes"])
        hosts = " ".join(self.bench.hosts)
        script = f"printf '%s\\n' {hosts} | xargs -P{self.bench.forks} -I@ {words} @ echo well"
        sample, answer = self.bench.run(["sh", "-c", script])
        if answer.count("well") != len(self.bench.hosts):
            raise CommandFailedError(answer)
        return sample


class Pyinfra:
    """pyinfra asking every host for a process: its nearest to a status."""

    name = "pyinfra"

    def __init__(self, bench: Bench, program: Path) -> None:
        self.bench = bench
        self._program = program
        self._inventory = bench.directory / "pyinfra_hosts.py"
        config = str(bench.ssh_config)
        hosts = [(name, {"ssh_config_file": config}) for name in bench.hosts]
        self._inventory.write_text(f"hosts = {hosts!r}\n")

    def operations(self) -> dict[str, Callable[[], Sample]]:
        return {"status": self._timed}

    def _timed(self) -> Sample:
        forks = ["--parallel", str(self.bench.forks)]
        before = self.bench.sandbox.handshakes()
        sample, _ = self.bench.run([self._program, "-y", *forks, self._inventory, "exec", "--", "true"])
        missed = [host for host, count in self.bench.sandbox.handshakes().items() if count == before[host]]
        if missed:
            raise CommandFailedError(f"pyinfra did not log in to {missed}")
        return sample


def close_connections(bench: Bench) -> None:
    """End the ssh masters that our commands have left."""
    for socket in _control_dir(bench).glob("*"):
        subprocess.run(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "-F", "/dev/null", "any"],
            capture_output=True,
            check=False,
        )


def kept_connections(bench: Bench) -> list[float]:
    """The memory in MiB of each ssh master that our commands have left."""
    title = f"ssh: {_control_dir(bench)}/"
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    lines = [line.split(None, 1) for line in listed.splitlines()]
    return [process_memory(int(pid)) for pid, args in lines if args.startswith(title)]


def _control_dir(bench: Bench) -> Path:
    printed = subprocess.run(
        [sys.executable, "-c", _PRINT_CONTROL_DIR],
        env=bench.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(printed.stdout.strip())


_PRINT_CONTROL_DIR = """
import os
from torc_remote.ssh.options import default_control_dir, find_ssh_config
print(default_control_dir(os.environ, find_ssh_config(os.environ.get("TORC_REMOTE_SSH_CONFIG"))))
"""
