"""Sandbox hosts with torc on them, native or ours, and what a server of either kind says about a workflow."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import wait_until
from tests.support.native import Native, native_environment
from tests.support.remote import SandboxFleet, end_leftovers
from tests.support.workers import Rest
from torc_remote.sandbox import Sandbox

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]


def native_fleet(
    sandbox: Sandbox, url: str, directory: Path, native: Native, environment: Mapping[str, str] | None = None
) -> SandboxFleet:
    """Our CLI with this server, as the user "tester", and hosts whose torc is the native one.

    Workers that torc starts all write to the same directory, those for other servers' workflows as well: it is removed.
    """
    end_leftovers(sandbox)
    for host in sandbox.hosts:
        shutil.rmtree(host.home / "torc_output", ignore_errors=True)
    machines = SandboxFleet(sandbox, url, directory, {"TORC_USERNAME": "tester", **(environment or {})})
    machines.torc("remote", "install", machines.sleeping(), "--binary", native.torc)
    return machines


def active_nodes(rest: Rest, workflow_id: int) -> list[int]:
    """The compute nodes whose workers are alive, as far as the server knows."""
    return [node["id"] for node in rest.nodes(workflow_id) if node["is_active"]]


def wait_for_states(rest: Rest, workflow_id: int, wanted: Mapping[str, str], timeout: float = 60) -> None:
    """Until the jobs of these names are in these states."""

    def reached() -> bool:
        states = rest.states(workflow_id)
        assert {name: states[name] for name in wanted} == wanted
        return True

    wait_until(reached, timeout)


def running_workers(fleet: SandboxFleet, workflow_id: int) -> set[str]:
    """The hosts whose worker `torc remote status` shows as running."""
    hosts: dict[str, dict[str, Any]] = fleet.hosts("status", workflow_id)
    return {name for name, host in hosts.items() if host["state"] == "running"}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to look doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class NativeCli:
    """The native `torc` command as the user "tester", which reaches sandbox hosts with the ssh and scp on its PATH."""

    native: Native
    url: str
    directory: Path
    path: str = os.defpath

    def __call__(self, *words: str | int | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `torc WORDS`; fails the test with both outputs unless it exits with ``code``, or warns of a version."""
        done = self.native.run(*map(str, words), url=self.url, cwd=self.directory, PATH=self.path)
        if done.returncode != code:
            raise AssertionError(
                f"native torc {words} exited with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
            )
        assert "version mismatch" not in done.stderr.lower()
        return done

    def json(self, *words: str | int) -> Any:
        """What `torc -f json WORDS` prints."""
        return json.loads(self("-f", "json", *words).stdout)

    def create(self, jobs: Sequence[Mapping[str, Any]], **keys: Any) -> int:
        """Create a workflow with these jobs; its ID."""
        spec = self.directory / "native.json"
        spec.write_text(json.dumps({"name": "native", "jobs": list(jobs), **keys}))
        return int(self.json("create", spec.name)["workflow_id"])

    @property
    def environment(self) -> dict[str, str]:
        """For a native `torc` that a test starts itself."""
        return native_environment(self.directory) | {"TORC_API_URL": self.url, "PATH": self.path}


def native_cli(native: Native, url: str, directory: Path, sandbox: Sandbox) -> NativeCli:
    """Torc knows no option for ssh's configuration file, and ssh takes the home from the password database."""
    programs = directory / "bin"
    programs.mkdir()
    for name in ("ssh", "scp"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {sandbox.layout.ssh_config} "$@"\n')
        program.chmod(0o755)
    return NativeCli(native, url, directory, f"{programs}:{os.environ['PATH']}")


@contextmanager
def torc_on_path(sandbox: Sandbox) -> Iterator[None]:
    """Torc's own `remote run` starts what is on the PATH of a non-interactive shell, and looks nowhere else."""
    profiles = [host.home / ".bashrc" for host in sandbox.hosts]
    for profile in profiles:
        profile.write_text("export PATH=$HOME/.local/bin:$PATH\n")
    try:
        yield
    finally:
        for profile in profiles:
            profile.unlink()
