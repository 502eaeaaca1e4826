"""The CLI as a user starts it, with a server and hosts of its own, for tests of the remote commands."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import wait_until
from torc_remote import processes
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.sandbox import Sandbox

TORC = Path(sys.executable).with_name("torc")


@dataclass(frozen=True)
class SandboxFleet:
    """A workflow's machines: a built-in server, sandbox hosts with torc installed, and the CLI to reach both.

    ``directory`` is the CLI's working directory; ``environment`` is laid over ours.
    """

    sandbox: Sandbox
    url: str
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        """The environment of the CLI: no torc variable of the developer's own gets in."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
        state = {"XDG_STATE_HOME": str(self.directory / "state")}
        return {**ours, **state, "TORC_API_URL": self.url, **self.sandbox.environment, **self.environment}

    def torc(
        self, *args: str | int | Path, code: int | None = 0, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `torc ARGS`; fails the test with both outputs unless it exits with ``code`` (None: any)."""
        done = subprocess.run(
            [TORC, *map(str, args)],
            cwd=self.directory,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"torc {args} exited with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def popen(self, *args: str | int | Path) -> "subprocess.Popen[str]":
        """Start `torc ARGS` in a process group of its own, for tests that interrupt it."""
        return subprocess.Popen(
            [TORC, *map(str, args)],
            cwd=self.directory,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def report(self, *args: str | int | Path, code: int | None = 0) -> dict[str, Any]:
        """The JSON report of `torc -f json remote ARGS`."""
        answer: dict[str, Any] = json.loads(self.torc("-f", "json", "remote", *args, code=code).stdout)
        return answer

    def hosts(self, *args: str | int | Path, code: int | None = 0) -> dict[str, dict[str, Any]]:
        """The hosts of the JSON report by name."""
        return {host["host"]: host for host in self.report(*args, code=code)["hosts"]}

    def workflow(self, jobs: Sequence[Mapping[str, Any]], workers: Sequence[str] = (), **keys: Any) -> int:
        """Create a workflow with these jobs and workers (stored without a check); its ID."""
        spec = self.directory / "workflow.json"
        spec.write_text(json.dumps({"name": "test", "jobs": list(jobs), **keys}))
        number = int(json.loads(self.torc("-f", "json", "create", spec).stdout)["workflow_id"])
        if workers:
            self.torc("remote", "add-workers", number, "--skip-ssh-check", "--", *workers)
        return number

    def sleeping(self, workers: Sequence[str] | None = None, seconds: int = 300) -> int:
        """A workflow whose only job sleeps on one host, so that the workers stay; by default on all hosts."""
        names = [host.name for host in self.sandbox.hosts] if workers is None else workers
        return self.workflow([{"name": "sleep", "command": f"sleep {seconds}"}], names)

    def key(self, number: int) -> str:
        """What the hosts know the workflow by."""
        return TorcClient(Settings(api_url=self.url)).workflow_key(number)

    def home(self, host: str) -> Path:
        """A host's home directory, seen from here."""
        return next(h.home for h in self.sandbox.hosts if h.name == host)


def end_leftovers(sandbox: Sandbox) -> None:
    """Kill what runs on the hosts: workers of a test that failed in the module before would make this one's fail."""

    def killed() -> set[int]:
        found = set[int]().union(*(processes.processes_with(f"HOME={host.home}") for host in sandbox.hosts))
        processes.signal_all(found, signal.SIGKILL)
        return found

    wait_until(lambda: not killed(), 20)
