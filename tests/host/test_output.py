"""Workflows that share an output directory on a host: whose it is, whose files are in it, who is at work there."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.host_scripts import KEY, ScriptHost, script_host

OTHER_KEY = "1700000000999"
NAME = os.uname().nodename
ROUNDS = 4


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path / "home") as host:
        yield host


def marker(host: ScriptHost) -> list[str]:
    return (host.home / "torc_output/.torc-remote").read_text().splitlines()


def left(host: ScriptHost) -> set[str]:
    """What is in the home beside what was there before any start."""
    return {path.name for path in host.home.iterdir()} - {".local"}


def test_two_workflows_that_make_the_directory_at_one_moment(host: ScriptHost) -> None:
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda number: host.start(workflow=number), (42, 43)))
        assert [answer["state"] for answer in answers] == ["started"] * 2, answers
        lines = marker(host)
        assert lines.count("made created=1") == 1
        assert {f"started {number} {KEY} {NAME} created=0" for number in (42, 43)} < {*lines}
        host.stop()
        host.stop(workflow=43)
        assert host.delete()["removed"].endswith(f" files in {host.home}/torc_output")
        assert any(f"_43_{NAME}" in path.name for path in (host.home / "torc_output").iterdir())
        assert host.delete(workflow=43)["removed"] == f"{host.home}/torc_output"
        assert not left(host)


def test_one_number_of_two_databases_at_one_moment(host: ScriptHost) -> None:
    """One of the two gets the directory, the other a place of its own in it."""
    keys = (KEY, OTHER_KEY)
    for number in range(ROUNDS):
        with ThreadPoolExecutor(2) as pool:
            places = [a["output_dir"] for a in pool.map(lambda key: host.start(key=key), keys)]
        root = f"{host.home}/torc_output"
        first = 0 if places[0] == root else 1
        assert places[first] == root
        assert places[1 - first] == f"{root}/server-{keys[1 - first]}"
        for key in keys:
            assert host.stop(key=key)["state"] == "stopped"
        for index in (first, 1 - first) if number % 2 else (1 - first, first):
            assert host.delete(key=keys[index])["state"] == "deleted"
        assert not left(host)


def test_run_beside_the_deletion_of_another_workflows_logs(host: ScriptHost) -> None:
    """What is started has its directory and its place in the marker, whatever is removed at that moment."""
    for _ in range(ROUNDS):
        host.start()
        host.verify()
        host.stop()
        with ThreadPoolExecutor(2) as pool:
            deletion = pool.submit(host.delete)
            start = pool.submit(lambda: host.start(workflow=43))
        assert start.result()["state"] == "started", start.result()
        assert deletion.result()["state"] in ("deleted", "live"), deletion.result()
        assert f"started 43 {KEY} {NAME} created=0" in marker(host)
        assert list((host.home / "torc_output").glob("torc_worker_43_*.log"))
        host.stop(workflow=43)
        host.delete()
        host.delete(workflow=43)
        for name in left(
            host
        ):  # the directory that the one had made, where the other came while it was removed
            (host.home / name).rmdir()


def test_an_end_that_is_noted_during_a_deletion_is_kept(host: ScriptHost) -> None:
    for number in (42, 43):
        host.start(workflow=number)
        host.stop(workflow=number)
    late = f"ended 43 {KEY} {NAME}"
    host.shim("mv", f'case $2 in .torc-remote) echo "{late}" >>"$2";; esac\n$real "$@"')
    count = marker(host).count(late)
    assert host.delete()["state"] == "deleted"
    assert marker(host).count(late) == count + 1


def test_files_of_another_databases_workflow_are_not_ours(host: ScriptHost) -> None:
    host.start(key=OTHER_KEY)
    host.stop(key=OTHER_KEY)
    output = host.home / "torc_output"
    before = sorted(output.rglob("*"))
    for where in ("", "torc_output"):
        packed = host.pack(output_dir=where)
        assert packed["state"] == "absent", packed
        assert host.delete(output_dir=where)["state"] in ("absent", "refused")
    host.start()
    host.stop()
    assert host.delete()["state"] == "deleted"
    assert host.pack()["state"] == "absent"
    assert host.delete()["state"] == "absent"
    assert sorted(output.rglob("*")) == before
    assert host.delete(key=OTHER_KEY)["state"] == "deleted"
    assert not left(host)


def test_who_is_at_work_there_is_named_with_the_command_that_ends_it(host: ScriptHost) -> None:
    host.start()
    other = host.start(workflow=43)["pid"]
    foreign = host.start("torc_output/deep", key=OTHER_KEY)["pid"]
    host.stop()
    with (host.home / "torc_output/.torc-remote").open("a") as lines:
        lines.write(f"started 44 {KEY} far created=0\n")
    (host.home / "torc_output/mine").touch()
    assert host.delete()["msg"] == (
        f"a worker is still running there (PID {foreign} of workflow 42 of another server, PID {other} of workflow "
        "43, one on far of workflow 44). Stop it first: torc remote stop 42 with the URL of that server, "
        "torc remote stop 43, torc remote stop 44"
    )
    for record in (host.home / ".local/state/torc-remote").rglob("43-*/record"):
        record.unlink()
    assert f"PID {other} of workflow 43" in host.delete()["msg"]


def test_what_stays_is_named_in_order_and_counted(host: ScriptHost) -> None:
    host.start()
    host.stop()
    for number in range(1, 14):
        (host.home / f"torc_output/mine{number:02d}").touch()
    (host.home / "torc_output/.torc-remote").write_text(
        (host.home / "torc_output/.torc-remote").read_text().replace("made created=1\n", "")
    )
    deleted = host.delete()
    assert deleted["kept"].split("\n") == [f"mine{number:02d}" for number in range(1, 11)]
    assert deleted["kept_more"] == "3"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user")
def test_the_end_of_a_worker_is_not_noted_in_a_directory_of_another_user(host: ScriptHost) -> None:
    """Which somebody who may write to the one above has put in the place of the worker's own."""
    assert host.start()["state"] == "started"
    host.verify()
    output = host.home / "torc_output"
    output.rename(host.home / "moved")
    output.mkdir()
    precious = host.home / "precious"
    before = (host.home / "moved/.torc-remote").read_text()
    precious.write_text(before)
    (output / ".torc-remote").symlink_to(precious)
    os.chown(output, 12345, 12345)
    assert host.stop()["state"] == "stopped"
    wait_until(lambda: not host.pids())
    assert precious.read_text() == before
