"""What ssh makes of the sandbox's files."""

import subprocess
from pathlib import Path

import pytest

from torc_remote.sandbox import layout as files
from torc_remote.sandbox.layout import Layout


def make(directory: Path, size: int = 3) -> Layout:
    return Layout(directory, id="id", network=77, port=2200, size=size, user="alice")


@pytest.mark.parametrize("name", ["sandbox2", "127.77.0.2"])
def test_ssh_reads_aliases_and_addresses(tmp_path: Path, name: str) -> None:
    layout = make(tmp_path)
    files.write_files(layout, "")
    said = subprocess.run(
        ["ssh", "-G", "-F", layout.ssh_config, name], capture_output=True, text=True, check=True
    )
    options = dict(line.split(" ", 1) for line in said.stdout.splitlines())
    assert (options["hostname"], options["port"], options["user"]) == ("127.77.0.2", "2200", "alice")
    assert options["identityfile"] == f"{tmp_path}/user_key"
    assert options["userknownhostsfile"] == f"{tmp_path}/known_hosts"


def test_known_hosts_knows_every_host_of_the_sandbox_only(tmp_path: Path) -> None:
    (tmp_path / "host_key.pub").write_text("ssh-ed25519 AAAA comment\n")
    files.write_known_hosts(make(tmp_path))
    for name, known in (
        ("[127.77.3.250]:2200", True),
        ("[127.7.3.250]:2200", False),
        ("[127.77.0.1]:2201", False),
    ):
        argv = ["ssh-keygen", "-F", name, "-f", f"{tmp_path}/known_hosts"]
        assert (subprocess.run(argv, capture_output=True, check=False).returncode == 0) is known
