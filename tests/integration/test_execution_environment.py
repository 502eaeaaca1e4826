"""The execution environment, built from execution-environment.yml, runs the playbooks as a container group of AWX does:
ansible-runner in a container of that image, as its user, with a project as docs/howto/awx.md describes it. Only the
base image is another one, since the file's own has to be had from a registry.
"""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.containers import build_images
from tests.support.packages import BIN, ROOT, build
from tests.support.remote import SandboxFleet

pytestmark = pytest.mark.slow

USER = 1000  # the image's
HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
TAG = "localhost/torc-remote/execution-environment"
BASE = {
    "EE_BASE_IMAGE": "localhost/torc-remote/ee-base",
    "PYCMD": "/opt/python/bin/python3",
    "PYPKG": "python3",
}
# What podman would choose by itself is not allowed where it runs in a container.
CONTAINERS_CONF = """
[engine]
runtime = "runc"
[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image; what was built before is not built again."""
    directory = tmp_path_factory.mktemp("image")
    configuration = directory / "containers.conf"
    configuration.write_text(CONTAINERS_CONF)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(configuration))
        make_base(directory)
        build_image(directory)
        yield TAG


def make_base(directory: Path) -> None:
    context = shutil.copytree(ROOT / "tests/execution_environment", directory / "base")
    # pip has to trust what this machine trusts, which may reach the package index through a proxy of its own
    shutil.copy(ssl.get_default_verify_paths().cafile or "", context / "certificates.pem")
    build_images(context)


def build_image(directory: Path) -> None:
    """The commands in execution-environment.yml's first lines, with arguments that replace the base."""
    shutil.copy(ROOT / "execution-environment.yml", directory)
    (directory / "dist").mkdir()
    build("wheel", ROOT, directory / "dist")
    arguments = [word for name, value in BASE.items() for word in ("--build-arg", f"{name}={value}")]
    runtime = ["--container-runtime", "podman", "--extra-build-cli-args", "--network host"]
    command: list[str | Path] = [BIN / "ansible-builder", "build", "--tag", TAG, *arguments, *runtime]
    subprocess.run(command, cwd=directory, check=True, timeout=600)


@pytest.fixture
def awx(image: str, fleet: SandboxFleet, tmp_path: Path) -> "Awx":
    return Awx(image, fleet, tmp_path)


class Awx:
    """What AWX puts together for a job: project, inventory, credentials. ``/runner`` is its place in the container."""

    def __init__(self, image: str, fleet: SandboxFleet, directory: Path) -> None:
        self.image, self.fleet, self.directory = image, fleet, directory
        self.write("inventory/torc.yml", {"plugin": "torc.remote.torc_workers"})
        ssh = fleet.sandbox.layout.directory
        (directory / "ssh").mkdir()
        for name in ("user_key", "known_hosts"):
            shutil.copy(ssh / name, directory / "ssh")
        config = (ssh / "ssh_config").read_text()
        (directory / "ssh/ssh_config").write_text(config.replace(str(ssh), "/runner/ssh"))

    def write(self, name: str, content: Any) -> None:
        file = self.directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(content))

    def launch(self, playbook: str, **variables: Any) -> dict[str, dict[str, Any]]:
        """Run one of the collection's playbooks; the last answer of each host."""
        play = {"name": playbook, "ansible.builtin.import_playbook": f"torc.remote.{playbook}"}
        self.write(f"project/{playbook}.yml", [play])
        self.write("env/extravars", variables)
        environment = {
            "TORC_API_URL": self.fleet.url,
            "TORC_REMOTE_SSH_CONFIG": "/runner/ssh/ssh_config",
        }
        self.write("env/envvars", environment)
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, USER, 0)
        run = ["ansible-runner", "run", "/runner", "--playbook", f"{playbook}.yml", "--ident", playbook]
        done = subprocess.run(
            ["podman", "run", "--rm", "--volume", f"{self.directory}:/runner", self.image, *run],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(self.answers(playbook))

    def answers(self, ident: str) -> Iterator[tuple[str, dict[str, Any]]]:
        files = (self.directory / f"artifacts/{ident}/job_events").glob("*.json")
        events = sorted((json.loads(file.read_text()) for file in files), key=lambda event: event["counter"])
        for event in events:
            data = event["event_data"]
            if event["event"] == "runner_on_ok" and "state" in data["res"]:
                yield data["host"], data["res"]


def test_the_playbooks_in_the_execution_environment(awx: Awx) -> None:
    fleet = awx.fleet
    number = fleet.sleeping()

    def states(playbook: str, **variables: Any) -> list[str]:
        results = awx.launch(playbook, torc_workflow_id=number, **variables)
        return [results[host]["state"] for host in HOSTS]

    assert states("version_check") == ["ok"] * 3
    awx.launch("initialize", torc_workflow_id=number)
    assert states("start_worker") == ["registered"] * 3
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"running"}
    assert states("status") == ["running"] * 3
    assert states("stop") == ["stopped"] * 3
    assert states("fetch_logs", torc_local_output_dir="/runner/artifacts/logs") == ["collected"] * 3
    assert len(list((awx.directory / "artifacts/logs").glob("*.tar.gz"))) == 3
    assert states("delete_logs") == ["deleted"] * 3
    assert {host["state"] for host in fleet.hosts("status", number).values()} == {"none"}
