"""Containers as hosts, for what neither a sandbox nor an account can show: a reboot, process tables of their own."""

import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.accounts import Host
from tests.support.packages import ROOT
from torc_remote.sandbox import sshd

IMAGES = ROOT / "scripts/container-images"
SYSTEMS = ROOT / "molecule/containers/files"


def build_images(directory: Path) -> None:
    """Build those of a Containerfile; skips the test where this machine can't have containers."""
    check = subprocess.run([IMAGES, "--check"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.skip(f"no containers: {check.stdout.strip()}")
    subprocess.run([IMAGES, directory], check=True, timeout=600)


def podman(*words: str | Path) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """Takes a sandbox's place in a Fleet; its one host is the container."""

    name: str
    directory: Path
    port: int

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (Host("container", Path("/home/worker")),)

    @property
    def environment(self) -> dict[str, str]:
        return {"TORC_REMOTE_SSH_CONFIG": str(self.directory / "ssh_config")}

    def sh(self, command: str) -> str:
        """What a shell command there prints; it is run as root."""
        return podman("exec", self.name, "sh", "-c", command)

    def reboot(self) -> None:
        podman("restart", "--time", "0", self.name)
        self.await_ssh()

    def await_ssh(self) -> None:
        def greeted() -> bool:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(3) == b"SSH"

        wait_until(greeted, 30)


@contextmanager
def container(*command: str) -> Iterator[Container]:
    """A Debian with Python, whose sshd listens on a loopback port of ours; ``command`` is its first process.

    It shares our network, since the servers of the tests listen on loopback only.
    """
    with tempfile.TemporaryDirectory() as name:
        directory, port = Path(name), sshd.free_port("127.0.0.1")
        made = Container(f"torc-test-{uuid.uuid4()}", directory, port)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / "key"], check=True)
        (directory / "ssh_config").write_text(
            f"Host container\n  HostName 127.0.0.1\n  Port {port}\n  User worker\n"
            f"  IdentityFile {directory}/key\n  UserKnownHostsFile {directory}/known_hosts\n"
        )
        (directory / "listen.conf").write_text(f"ListenAddress 127.0.0.1:{port}\n")
        files = {"key.pub": "authorized_keys", "listen.conf": "sshd_config.d/listen.conf"}
        options = [f"--volume={directory}/{file}:/etc/ssh/{place}:ro" for file, place in files.items()]
        # as in molecule/containers/create.yml
        options += ["--cap-add=SYS_ADMIN", "--security-opt=unmask=ALL"]
        options += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        options += ["--network=host", f"--name={made.name}", "--hostname=container"]
        podman("--runtime=runc", "run", "--detach", *options, "localhost/torc-remote/bash", *command)
        try:
            made.await_ssh()
            yield made
        finally:
            podman("rm", "--force", "--time", "0", made.name)
