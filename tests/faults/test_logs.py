"""Faults 45 to 56: no log is lost, and nothing is deleted that our workers did not make."""

import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import wait_until
from tests.support.accounts import CAN_MAKE, account_machine
from tests.support.faults import await_running, hook_sessions, shims, start_worker
from tests.support.remote import TORC, SandboxFleet

MIB = 1024 * 1024
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")


def log_of(fleet: SandboxFleet, host: str, number: int, directory: str = "torc_output") -> Path:
    """Where a job's output of this workflow is on a host; made as any worker of torc makes it."""
    path = fleet.home(host) / directory / "job_stdio" / f"job_wf{number}_j1_r1_a1.o"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def with_logs(fleet: SandboxFleet, hosts: list[str], text: str = "a line\n") -> tuple[int, dict[str, Path]]:
    """A workflow that has left one job's output on each of the hosts; its ID and those files."""
    number = fleet.workflow([{"name": "a", "command": "true"}], hosts)
    logs = {host: log_of(fleet, host, number) for host in hosts}
    for log in logs.values():
        log.write_text(text)
    return number, logs


def finished(fleet: SandboxFleet, hosts: list[str], *options: str) -> int:
    """A workflow whose workers have run a job each and ended."""
    jobs = [{"name": f"speak{index}", "command": "echo spoken; sleep 0.2"} for index, _ in enumerate(hosts)]
    number = fleet.workflow(jobs, hosts)
    start_worker(fleet, number, "--max-parallel-jobs", "1", "-p", "0.2", *options)
    states = [fleet.home(host) / ".local/state/torc-remote" for host in hosts]
    wait_until(
        lambda: all(list(state.glob(f"*/{number}-{fleet.key(number)}/exit.*")) for state in states), 30
    )
    return number


def content(archive: str | Path) -> dict[str, bytes]:
    """The regular files of an archive."""
    with tarfile.open(archive) as tar:
        files = [member for member in tar.getmembers() if member.isreg()]
        return {member.name: file.read() for member in files if (file := tar.extractfile(member))}


def leftovers(fleet: SandboxFleet, number: int) -> list[Path]:
    """Archives of this workflow that lie about on the hosts."""
    name = f"torc-logs-{number}-{fleet.key(number)}.*"
    homes = [host.home for host in fleet.sandbox.hosts]
    states = [home / ".local/state/torc-remote" for home in homes]
    return [
        found for place in (Path("/tmp"), Path("/var/tmp"), *states, *homes) for found in place.glob(name)
    ]


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of this size."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def test_45_none(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Hosts without logs are well and say so, the others are collected; nothing is created for them here."""
    number, _ = with_logs(fleet, ["sandbox1"])
    fleet.torc("remote", "add-workers", number, "--skip-ssh-check", "sandbox2")
    said = fleet.torc("remote", "collect-logs", number, "-l", tmp_path / "logs").stdout
    assert "[OK] sandbox2: No logs: " in said
    assert "Logs of 1/2 workers collected" in said
    archives = [path.name for path in (tmp_path / "logs").glob("torc_logs*")]
    assert archives == [f"torc_logs_{number}_sandbox1.tar.gz"]


def test_45a_nothing_is_fetched_twice(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A repeated collect fetches only from the hosts where something has changed, and keeps the earlier archive \
beside the new one; a damaged archive is fetched again."""
    number, logs = with_logs(fleet, ["sandbox1", "sandbox2"])
    where = ["collect-logs", number, "-l", tmp_path]
    first = fleet.hosts(*where)
    logs["sandbox2"].write_text("a line\nanother\n")
    second = fleet.hosts(*where)
    assert [host["state"] for host in second.values()] == ["unchanged", "collected"]
    assert second["sandbox2"]["archive"] == first["sandbox2"]["archive"].replace(".tar.gz", ".2.tar.gz")
    assert list(content(first["sandbox2"]["archive"]).values()) == [b"a line\n"]
    Path(first["sandbox1"]["archive"]).write_bytes(b"damaged")
    third = fleet.hosts(*where)
    assert [host["state"] for host in third.values()] == ["collected", "unchanged"]
    assert list(content(third["sandbox1"]["archive"]).values()) == [b"a line\n"]


@pytest.mark.slow
def test_46_two_gigabytes(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Logs of 2 GB are streamed: no process here needs more memory for them than for small ones."""
    number, logs = with_logs(fleet, ["sandbox1"])
    small = peak_memory(fleet, "collect-logs", number, "-l", tmp_path)
    with logs["sandbox1"].open("wb") as file:
        file.write(os.urandom(64 * MIB))
        file.truncate(2048 * MIB)
    try:
        large = peak_memory(fleet, "collect-logs", number, "-l", tmp_path)
    finally:
        logs["sandbox1"].unlink()
    (archive,) = tmp_path.glob("*.2.tar.gz")
    assert archive.stat().st_size > 64 * MIB
    listed = subprocess.run(["tar", "-tvzf", archive], capture_output=True, text=True, check=True).stdout
    assert f" {2048 * MIB} " in listed
    assert large - small < 32 * MIB
    assert not leftovers(fleet, number)


def peak_memory(fleet: SandboxFleet, *args: str | int | Path) -> int:
    """The resident memory in bytes of the largest process of `torc remote ARGS`."""
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", measure, TORC, "remote", *map(str, args)]
    done = subprocess.run(
        command, env=fleet.env(), cwd=fleet.directory, capture_output=True, text=True, check=True, timeout=300
    )
    return int(done.stdout) * 1024


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """Something writes to a file all the time."""
    over = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not over.wait(0.0005):
                file.write(b"one more line\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def test_47_growing_while_packed(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A log grows while it is packed: the archive holds it up to some moment, `--delete` leaves it alone and says \
why (exit code 1), and the next collect brings the rest."""
    number, logs = with_logs(fleet, ["sandbox1"], "one more line\n" * 500_000)
    log = logs["sandbox1"]
    with growing(log):
        refused = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete", code=1)["sandbox1"]
    assert refused["state"] == "not_deleted"
    assert "have changed since they were collected" in refused["reason"]
    (early,) = content(refused["archive"]).values()
    assert log.read_bytes().startswith(early)
    deleted = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete")["sandbox1"]
    (late,) = content(deleted["archive"]).values()
    assert len(late) > len(early)
    assert late.startswith(early)
    assert not log.exists()


def test_48_symlinks_out_of_the_directory(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Links in the output directory are collected and deleted as links; what they point to stays on the host."""
    number, logs = with_logs(fleet, ["sandbox1"])
    home = fleet.home("sandbox1")
    secrets = home / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("secret")
    logs["sandbox1"].with_suffix(".e").symlink_to(secrets / "key")
    (home / f"torc_output/torc_worker_{number}_x").symlink_to(secrets)
    collected = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete")["sandbox1"]
    assert list(content(collected["archive"]).values()) == [b"a line\n"]
    with tarfile.open(collected["archive"]) as tar:
        assert sum(member.issym() for member in tar) == 2
    assert (secrets / "key").read_text() == "secret"
    assert not logs["sandbox1"].with_suffix(".e").is_symlink()


def test_49_unreadable_file(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A file that can't be read is named and the host fails; all else is in the archive, and nothing is deleted \
however often `--delete` is tried."""
    if os.geteuid() == 0 and not CAN_MAKE:
        pytest.skip("root reads every file, and there is no useradd")
    if not CAN_MAKE:
        unreadable_file(fleet, "sandbox1", tmp_path)
        return
    with account_machine() as machine:
        there: Any = machine
        unreadable_file(replace(fleet, sandbox=there), "account", tmp_path)


def unreadable_file(fleet: SandboxFleet, host: str, tmp_path: Path) -> None:
    number, logs = with_logs(fleet, [host])
    hidden = logs[host].with_suffix(".e")
    hidden.write_text("unread")
    owner = fleet.home(host).stat()
    for path in (hidden, *hidden.parents[:2]):
        os.chown(path, owner.st_uid, owner.st_gid)
    hidden.chmod(0)
    for _ in range(2):
        failed = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete", code=1)[host]
        assert failed["state"] == "incomplete"
        assert hidden.name in failed["reason"]
        assert list(content(failed["archive"]).values()) == [b"a line\n"]
    assert logs[host].exists()
    assert hidden.exists()
    hidden.chmod(0o600)
    deleted = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete")[host]
    assert sorted(content(deleted["archive"]).values()) == [b"a line\n", b"unread"]
    assert not hidden.exists()


@root_only
def test_50_local_disk_full(fleet: SandboxFleet, tmp_path: Path) -> None:
    """The local disk fills up during a fetch: that host fails with the reason, no half archive stays on either \
side, its logs stay, and hosts whose archives fit are collected."""
    number, logs = with_logs(fleet, ["sandbox1", "sandbox2"])
    logs["sandbox1"].write_bytes(os.urandom(4 * MIB))
    with small_disk(tmp_path / "disk", "1m") as disk:
        command = ["collect-logs", number, "-l", disk, "--delete", "--max-parallel-ssh", 1]
        hosts = fleet.hosts(*command, code=1)
        assert not hosts["sandbox1"]["ok"]
        assert "No space left on device" in hosts["sandbox1"]["reason"]
        assert list(content(hosts["sandbox2"]["archive"]).values()) == [b"a line\n"]
        assert not [path for path in disk.iterdir() if "sandbox1" in path.name]
    assert logs["sandbox1"].stat().st_size == 4 * MIB
    assert not logs["sandbox2"].exists()
    assert not leftovers(fleet, number)


FULL_DISKS = """
export command
exec unshare -m sh -ec '
  fill() {{ mount -t tmpfs -o size=4k,nr_inodes=20 none "$1"; echo full >"$1/file"; }}
  mkdir -p /run/torc-test-keep
  mount --bind {directory} /run/torc-test-keep
  fill /tmp
  fill /var/tmp
  mkdir -p {directory}
  mount --bind /run/torc-test-keep {directory}
  {more}
  for number in $(seq 20); do mkdir "/tmp/$number" "/var/tmp/$number" || :; done 2>/dev/null
  exec "$SHELL" -c "$command"'
"""


@root_only
def test_51_remote_tmp_full(fleet: SandboxFleet, tmp_path: Path) -> None:
    """/tmp and /var/tmp of a host are full: the archive is made beside the worker's record instead; when that is \
full as well, the host fails and says where it looked, and nothing is deleted."""
    number, logs = with_logs(fleet, ["sandbox1", "sandbox2"])
    logs["sandbox1"].write_bytes(os.urandom(MIB))
    hook_sessions(fleet.sandbox)
    home = fleet.home("sandbox1")
    state = home / ".local/state/torc-remote"
    state.mkdir(parents=True, exist_ok=True)
    directory = fleet.sandbox.layout.directory
    host = home / ".host"
    try:
        host.write_text(FULL_DISKS.format(directory=directory, more=f"fill {state}"))
        failed = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete", code=1)
        assert (failed["sandbox1"]["state"], failed["sandbox2"]["state"]) == ("failed", "collected")
        assert "no room for the archive in /tmp, /var/tmp or" in failed["sandbox1"]["reason"]
        assert logs["sandbox1"].stat().st_size == MIB
        host.write_text(FULL_DISKS.format(directory=directory, more=""))
        collected = fleet.hosts("collect-logs", number, "-l", tmp_path)["sandbox1"]
        assert [len(data) for data in content(collected["archive"]).values()] == [MIB]
    finally:
        host.unlink()
        Path("/run/torc-test-keep").rmdir()
    assert not leftovers(fleet, number)


@pytest.mark.parametrize(
    ("size", "damage"),
    [
        (
            100 * 1024,
            """case $command in *sftp-server*)
            for file in /tmp/torc-logs-{name}.*/*; do
              printf X | dd of="$file" bs=1 seek=20 conv=notrunc 2>/dev/null
            done
        esac""",
        ),
        (8, """exec "$SHELL" -c "$command" | sed '/content=/s/A/B/'"""),
    ],
    ids=["fetched", "in the answer"],
)
def test_52_archive_corrupted(fleet: SandboxFleet, tmp_path: Path, size: int, damage: str) -> None:
    """An archive is damaged on its way: the checksum tells, the host fails, nothing of it is kept here and its \
logs are not deleted; the next collect brings them."""
    number, logs = with_logs(fleet, ["sandbox1", "sandbox2"])
    text = os.urandom(size)
    logs["sandbox1"].write_bytes(text)
    hook_sessions(fleet.sandbox)
    host = fleet.home("sandbox1") / ".host"
    host.write_text(damage.format(name=f"{number}-{fleet.key(number)}") + "\n")
    command = ["collect-logs", number, "-l", tmp_path, "--delete", "--max-parallel-ssh", 1]
    try:
        hosts = fleet.hosts(*command, code=1)
    finally:
        host.unlink()
    assert "damaged on its way" in hosts["sandbox1"]["reason"]
    assert hosts["sandbox2"]["state"] == "collected"
    assert not [path for path in tmp_path.iterdir() if "sandbox1" in path.name]
    assert logs["sandbox1"].exists()
    assert not leftovers(fleet, number)
    again = fleet.hosts(*command)
    assert list(content(again["sandbox1"]["archive"]).values()) == [text]
    assert not logs["sandbox1"].exists()


def test_53_names_of_archives(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Workers whose names look alike, `a.b`, `a_b` and `u@a.b:2200`, give three archives."""
    layout = fleet.sandbox.layout
    text = layout.ssh_config.read_text().replace("Host sandbox*", "Host a.b a_b sandbox*")
    addresses = [host.address for host in fleet.sandbox.hosts]
    aliases = f"Host a.b\n  HostName {addresses[0]}\nHost a_b\n  HostName {addresses[1]}\n"
    config = tmp_path / "ssh_config"
    config.write_text(aliases + text)
    aliased = replace(fleet, environment={"TORC_REMOTE_SSH_CONFIG": str(config)})
    number, _ = with_logs(fleet, ["sandbox1", "sandbox2"])
    workers = ["a.b", "a_b", f"{layout.user}@a.b:{layout.port}"]
    url = f"{fleet.url}/workflows/{number}/remote_workers"
    for worker in ("sandbox1", "sandbox2"):
        fleet.torc("remote", "remove-worker", worker, number)
    requests.post(url, json=workers, timeout=10).raise_for_status()
    hosts = aliased.report("collect-logs", number, "-l", tmp_path / "logs")["hosts"]
    assert sorted(host["worker"] for host in hosts) == sorted(workers)
    archives = {host["archive"] for host in hosts}
    assert len(archives) == 3
    assert all(list(content(archive).values()) == [b"a line\n"] for archive in archives)


def test_54_delete_under_a_live_worker(fleet: SandboxFleet, tmp_path: Path) -> None:
    """`collect-logs --delete` and `delete-logs` while a worker of this or of another workflow runs in the \
directory: collected, not deleted, the PID named, exit code 1."""
    ended = finished(fleet, ["sandbox1"], "-o", "live")
    number = fleet.sleeping(["sandbox1"])
    pid = start_worker(fleet, number, "-o", "live")["sandbox1"]
    await_running(fleet, number)
    refused = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete", code=1)["sandbox1"]
    assert refused["state"] == "not_deleted"
    assert (
        f"a worker is still running there (PID {pid} of workflow {number}). Stop it first: torc remote stop {number}"
        in refused["reason"]
    )
    assert any(name.endswith(".o") for name in content(refused["archive"]))
    others = fleet.hosts("delete-logs", ended, code=1)["sandbox1"]
    assert f"PID {pid}" in others["reason"]
    assert list((fleet.home("sandbox1") / "live/job_stdio").glob(f"job_wf{ended}_*.o"))
    fleet.hosts("stop", number)
    assert fleet.hosts("delete-logs", number)["sandbox1"]["state"] == "deleted"


def test_55_another_workflows_data(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Several workflows in one output directory: collect and delete take the files of the one that is meant and \
leave the others', `--all-workflows` takes everything."""
    one, other = (finished(fleet, ["sandbox1"], "-o", "both") for _ in range(2))
    directory = fleet.home("sandbox1") / "both"
    collected = fleet.hosts("collect-logs", one, "-l", tmp_path)["sandbox1"]
    names = list(content(collected["archive"]))
    assert any(f"job_wf{one}_" in name for name in names)
    assert not [name for name in names if f"wf{other}_" in name or f"torc_worker_{other}" in name]
    whole = fleet.hosts("collect-logs", other, "-l", tmp_path, "--all-workflows")["sandbox1"]
    names = list(content(whole["archive"]))
    assert all(any(f"job_wf{number}_" in name for name in names) for number in (one, other))
    fleet.hosts("delete-logs", one)
    left = [path.name for path in directory.rglob("*") if path.is_file()]
    assert any(f"job_wf{other}_" in name for name in left)
    assert not [name for name in left if f"wf{one}_" in name]
    fleet.hosts("delete-logs", other, "--all-workflows")
    assert not directory.exists()


def test_55a_a_users_own_file_in_a_directory_made_before(fleet: SandboxFleet, tmp_path: Path) -> None:
    """The output directory existed before, with a file of the user's: delete-logs removes what the workers made, \
leaves the directory and that file, and says so."""
    directory = fleet.home("sandbox1") / "made before"
    directory.mkdir()
    (directory / "thesis.tex").write_text("mine")
    number = finished(fleet, ["sandbox1"], "-o", "made before")
    assert len(list(directory.rglob("*"))) > 3
    said = fleet.torc("remote", "delete-logs", number).stdout
    assert "Left there, not made by this workflow: thesis.tex" in said
    assert [path.name for path in directory.rglob("*")] == ["thesis.tex"]
    again = fleet.torc("remote", "delete-logs", number).stdout
    assert "Nothing to delete" in again
    assert "Logs of 0/1 workers deleted" in again


def test_56_delete_of_a_dangerous_directory(fleet: SandboxFleet, tmp_path: Path) -> None:
    """An empty name, `/`, `.`, `..`, `~`, the home, what is above it, a directory of somebody else and a link: \
refused with the reason (exit code 1; 2 for the empty name), and nothing is removed."""
    number, logs = with_logs(fleet, ["sandbox1"])
    home = fleet.home("sandbox1")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "data").write_text("theirs")
    (home / "link").symlink_to(foreign)
    assert "is empty" in fleet.torc("remote", "delete-logs", number, "--remote-output-dir", "", code=2).stderr
    reasons = {
        **dict.fromkeys(
            ["/", ".", "..", "~", home, home.parent, "torc_output/.."], "home directory or above it"
        ),
        "link": "is a symbolic link",
        foreign: f"holds nothing that a worker of workflow {number} made",
    }
    for directory, reason in reasons.items():
        refused = fleet.torc("remote", "delete-logs", number, "--remote-output-dir", directory, code=1).stderr
        assert reason in refused, directory
        assert "Nothing was removed" in refused
    assert (foreign / "data").read_text() == "theirs"
    assert (home / "link").is_symlink()
    assert logs["sandbox1"].exists()


@pytest.mark.slow
def test_96_a_local_directory_of_an_odd_name(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Archives are fetched into a local directory whatever its name is: spaces, quotes, patterns, line breaks."""
    number, logs = with_logs(fleet, ["sandbox1"])
    logs["sandbox1"].write_bytes(os.urandom(200_000))
    for name in ["-a 'b' \"c\"", "d\\e [f]*?", "g\n!touch h\n#i"]:
        where = tmp_path / name
        (archive,) = fleet.hosts("collect-logs", number, "-l", where).values()
        assert Path(archive["archive"]).parent == where
        assert [len(data) for data in content(archive["archive"]).values()] == [200_000]
        assert not {"unsafe", "outside_links", "unchecked"} & set(archive)
        assert len(list(where.iterdir())) == 2


@pytest.mark.slow
def test_97_a_worker_with_a_very_long_name(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A worker whose host name has 229 characters, or as many as there can be: its archives have names too."""
    layout = fleet.sandbox.layout
    names = [("long-" * 60)[:length] + "x" for length in (228, 252)]
    address = fleet.sandbox.hosts[0].address
    config = tmp_path / "ssh_config"
    alias = f"Host {' '.join(names)}\n  HostName {address}\n"
    config.write_text(alias + layout.ssh_config.read_text().replace("Host sandbox*", "Host long-* sandbox*"))
    aliased = replace(fleet, environment={"TORC_REMOTE_SSH_CONFIG": str(config)})
    number, logs = with_logs(fleet, ["sandbox1"])
    logs["sandbox1"].write_bytes(os.urandom(200_000))
    fleet.torc("remote", "remove-worker", "sandbox1", number)
    fleet.torc("remote", "add-workers", number, "--skip-ssh-check", *names)
    for suffix in (".tar.gz", ".2.tar.gz"):
        hosts = aliased.hosts("collect-logs", number, "-l", tmp_path / "logs").values()
        assert all(host["archive"].endswith(suffix) for host in hosts)
        logs["sandbox1"].write_bytes(os.urandom(200_000))
    assert len(list((tmp_path / "logs").glob("*.tar.gz"))) == 4


def test_98_an_archive_that_would_write_elsewhere(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A host's archive holds names with `..`, absolute ones, or files behind links: it is collected, and the report \
warns of unpacking it, also when the logs are collected again."""
    number, logs = with_logs(fleet, ["sandbox1", "sandbox2"])
    bad = fleet.home("sandbox1") / "bad.tar"
    with tarfile.open(bad, "w") as tar:
        tar.add(logs["sandbox1"], f"job_stdio/{logs['sandbox1'].name}")
        tar.addfile(tarfile.TarInfo("../.bashrc"))
    hook_sessions(fleet.sandbox)
    pack_badly = f'case $1 in -c*) cat {bad} ;; *) exec {shutil.which("tar")} "$@" ;; esac'
    with shims(fleet.home("sandbox1"), tar=pack_badly):
        for state in ("collected", "unchanged"):
            hosts = fleet.hosts("collect-logs", number, "-l", tmp_path)
            assert hosts["sandbox1"]["state"] == state
            assert hosts["sandbox1"]["unsafe"] == "'../.bashrc': a name with .."
            assert "unsafe" not in hosts["sandbox2"]
        said = fleet.torc("remote", "collect-logs", number, "-l", tmp_path).stdout
    assert "WARNING: unpacked as it is, this would be written outside of the directory: '../.bashrc'" in said
