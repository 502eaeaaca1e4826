"""The files of a sandbox, without starting one."""

from pathlib import Path

import pytest

from torc_remote.errors import TorcError, UsageError
from torc_remote.sandbox import layout as files
from torc_remote.sandbox import sshd, start
from torc_remote.sandbox.layout import Layout


def make(directory: Path, size: int = 3) -> Layout:
    return Layout(directory, id="id", network=77, port=2200, size=size, user="alice")


def test_addresses_of_a_thousand_hosts_differ_and_are_hosts_addresses() -> None:
    hosts = make(Path("/s"), 1000).hosts
    assert len({host.address for host in hosts}) == len({host.home for host in hosts}) == 1000
    assert [hosts[index].address for index in (0, 249, 250, 999)] == [
        "127.77.0.1",
        "127.77.0.250",
        "127.77.1.1",
        "127.77.3.250",
    ]
    assert hosts[999].name == "sandbox1000"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("/x/state", "/x/state"), ("", "/home/alice/.local/state"), ("relative", "/home/alice/.local/state")],
)
def test_default_directory(monkeypatch: pytest.MonkeyPatch, variable: str, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setenv("XDG_STATE_HOME", variable)
    assert files.default_directory() == Path(expected, "torc-remote/sandbox")


@pytest.mark.parametrize("name", ["with blank", "quote'", "new\nline", "100%", "ü", "$HOME"])
def test_paths_that_need_quoting_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="choose a directory"):
        files.make_directory(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_directories_are_private_and_empty(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a/b")
    files.make_directory(tmp_path / "a/b")
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not empty"):
        files.make_directory(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    with pytest.raises(UsageError, match="choose another"):
        files.make_directory(tmp_path / "file")


def test_the_marker_brings_the_layout_back_and_is_written_once(tmp_path: Path) -> None:
    assert files.read_marker(tmp_path) is None
    assert files.read_marker(tmp_path / "missing") is None
    files.write_marker(make(tmp_path))
    assert files.read_marker(tmp_path) == make(tmp_path)
    with pytest.raises(TorcError, match="just being started"):
        files.write_marker(make(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", '{"id": 1}', '{"other": 1}'])
def test_a_broken_marker_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / files.MARKER).write_text(content)
    with pytest.raises(TorcError, match=str(tmp_path / files.MARKER)):
        files.read_marker(tmp_path)


def test_removal_keeps_the_marker_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "s"
    files.make_directory(directory)
    files.write_marker(make(directory))
    (directory / "hosts").mkdir()
    with monkeypatch.context() as broken:
        broken.setattr("shutil.rmtree", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.remove_directory(directory)
    assert files.read_marker(directory)
    files.remove_directory(directory)
    assert not directory.exists()


def test_a_missing_sshd_is_told_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sshd, "_SYSTEM_PATH", str(tmp_path))
    with pytest.raises(TorcError, match="apt install openssh-server"):
        start(1, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hosts", [0, -1, 1001])
def test_the_number_of_hosts_is_bounded(tmp_path: Path, hosts: int) -> None:
    with pytest.raises(UsageError, match="1 to 1000"):
        start(hosts, tmp_path / "s")
