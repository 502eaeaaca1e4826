"""ssh's options as group variables, and the directory of its control sockets."""

import os
import socket
from pathlib import Path

import pytest
import yaml
from ansible.plugins.connection import ssh as ansible_ssh

from torc_remote.errors import TorcError
from torc_remote.ssh.options import SshOptions, default_control_dir, ensure_control_dir, find_ssh_config

CONTROL_DIR = Path("/run/user/1000/torc-remote/0a1b2c3d")
ANSIBLE_NAME = "0123456789"
SSH_SUFFIX = "." + "x" * 16


def test_ansible_knows_the_variables() -> None:
    options = yaml.safe_load(ansible_ssh.DOCUMENTATION)["options"]
    known = {variable["name"] for option in options.values() for variable in option.get("vars", [])}
    given = set(SshOptions(CONTROL_DIR).group_vars())
    assert given - {"ansible_connection"} <= known
    assert not given & {"ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_user", "ansible_port"}


def test_missing_ssh_config(tmp_path: Path) -> None:
    assert find_ssh_config(None) is None
    assert find_ssh_config("") is None
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(TorcError, match="TORC_REMOTE_SSH_CONFIG"):
            find_ssh_config(path)


def test_runtime_directory_first_then_cache_then_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path("/tmp") / f"t{os.getpid()}"
    runtime, home = short / "run", short / "home"
    for path in (runtime, home):
        path.mkdir(parents=True)
    try:
        environ = {"XDG_RUNTIME_DIR": str(runtime), "HOME": str(home)}
        assert default_control_dir(environ).parent == runtime / "torc-remote"
        assert default_control_dir({"HOME": str(home)}).parent == home / ".cache/torc-remote/cm"
        runtime.rmdir()
        assert default_control_dir(environ).parent == home / ".cache/torc-remote/cm"
        in_tmp = default_control_dir({"HOME": str(home / ("x" * 60))})
        assert in_tmp.name.startswith(f"torc-remote-{os.geteuid()}-")
        long_home = tmp_path / ("y" * 60)
        long_home.mkdir()
        assert default_control_dir({"HOME": str(long_home)}) == in_tmp
        percent = short / "100%"
        percent.mkdir()
        assert default_control_dir({"HOME": str(percent)}) == in_tmp
        percent.rmdir()
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        assert str(default_control_dir(environ)).startswith("/tmp/torc-remote-12345-")
    finally:
        for path in (home, short):
            path.rmdir()


def test_control_directory_differs_by_ssh_config(tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    link.symlink_to(one)
    found = [default_control_dir({}, config) for config in (None, one, two, link)]
    assert len(set(found)) == 3
    assert found[1] == found[3]


def test_longest_directory_holds_a_socket(tmp_path: Path) -> None:
    """The longest path that is chosen can be bound with the names of Ansible and ssh in it."""
    base = Path("/tmp") / f"t{os.getpid()}b"
    for length in range(1, 60):
        home = base / ("z" * length)
        home.mkdir(parents=True)
        chosen = default_control_dir({"HOME": str(home)})
        home.rmdir()
        if base not in chosen.parents:
            break
        longest = chosen
    base.rmdir()
    path = f"{longest}/{ANSIBLE_NAME}{SSH_SUFFIX}"
    assert len(path) + 1 == 104
    with socket.socket(socket.AF_UNIX) as unix, pytest.raises(FileNotFoundError):
        unix.bind(path)


def test_control_directory_is_private(tmp_path: Path) -> None:
    path = ensure_control_dir(tmp_path / "a" / "b")
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o777)
    assert ensure_control_dir(path).stat().st_mode & 0o777 == 0o700


def test_control_directory_of_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    with pytest.raises(TorcError, match="not a directory of yours"):
        ensure_control_dir(tmp_path / "link")
    with pytest.raises(TorcError, match="Cannot make"):
        ensure_control_dir(tmp_path / "file")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(TorcError, match="not a directory of yours"):
        ensure_control_dir(tmp_path / "real")
