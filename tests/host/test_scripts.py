"""The scripts that run on hosts, without ssh: under every shell, and where the usual tools are missing."""

import base64
import hashlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.faults import alive
from tests.support.host_scripts import KEY, WORKER, ScriptHost, installed_shells, script_host, toolbox
from torc_remote.host.answers import read_answer

NODE = "node 7 2026-11-22T18:46:53Z"
DIGESTS = ("sha256sum", "shasum", "sha256", "openssl")
# A stat as BSD and macOS have it, made of GNU's.
BSD_STAT = """#!/bin/sh
[ "$1" = -f ] && [ "$2" = '%N %z %Fm' ] || { echo "stat: illegal option" >&2; exit 1; }
shift 2
exec /usr/bin/stat -c '%n %s %.Y' "$@"
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path / "home of 'somebody' $HOME") as host:
        yield host


def node_of(answer: dict[str, str]) -> str:
    """What was said of the compute node, up to the time of the worker's start."""
    return " ".join(answer["nodes"].split()[:3])


def live(host: ScriptHost) -> None:
    """A worker's whole life."""
    started = host.start()
    assert started["state"] == "started", started
    assert host.verify()["state"] == "registered"
    assert host.start()["state"] == "already_running"
    status = host.status()
    assert (status["state"], status["pid"]) == ("running", started["pid"])
    assert host.delete()["state"] == "live"
    wait_until(lambda: len(host.pids()) >= 3)
    stopped = host.stop()
    assert (stopped["state"], stopped["pid"], node_of(stopped)) == ("stopped", started["pid"], NODE)
    wait_until(lambda: not host.pids())
    assert host.stop()["state"] == "not_running"
    ended = wait_until(lambda: (now := host.status())["exit_code"] and now)
    assert (ended["state"], ended["exit_code"]) == ("exited", "143")
    keep_and_delete(host)


def keep_and_delete(host: ScriptHost) -> None:
    packed = host.pack()
    assert packed["state"] == "packed"
    with tarfile.open(fileobj=io.BytesIO(taken(host, packed))) as tar:
        assert "./job_stdio/job_wf42_j1_r1_a1.o" in tar.getnames()
    assert host.pack(packed["manifest"])["state"] == "unchanged"
    (host.home / "torc_output/later").touch()
    assert host.delete(packed["manifest"])["state"] == "refused"
    packed = host.pack()
    taken(host, packed)
    assert host.delete(packed["manifest"])["state"] == "deleted"
    assert not (host.home / "torc_output").exists()
    assert host.status()["state"] == "none"


def taken(host: ScriptHost, packed: dict[str, str]) -> bytes:
    """The archive: from the answer, or from its file where the host has no program for base64."""
    if "content" in packed:
        data = base64.b64decode(packed["content"])
    else:
        archive = Path(host.meeting.path(int(packed["place"])))
        data = archive.read_bytes()
        host.discard()
        assert not archive.parent.exists()
    assert packed["sha256"] == hashlib.sha256(data).hexdigest()
    return data


@pytest.mark.parametrize("shell", installed_shells())
def test_a_workers_life_under_each_shell(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    live(host)


@pytest.mark.parametrize("shell", installed_shells())
def test_without_proc_ps_tells_who_is_who(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    host.edits = {"/proc": "/no-such-place"}
    live(host)


@pytest.mark.parametrize("tools", [[], ["perl"], ["setsid"]], ids=["nohup alone", "perl", "setsid"])
def test_a_worker_is_detached_by_whatever_the_host_has(
    host: ScriptHost, tools: list[str], tmp_path: Path
) -> None:
    host.path = toolbox(tmp_path / "bin", extra=["sha256sum", *tools])
    live(host)


@pytest.mark.parametrize("digest", [name for name in DIGESTS if shutil.which(name)])
def test_any_program_for_checksums_will_do(host: ScriptHost, digest: str, tmp_path: Path) -> None:
    host.path = toolbox(tmp_path / "bin", extra=[digest, *(["perl"] if digest == "shasum" else [])])
    start_and_end(host)
    keep_and_delete(host)


def test_without_any_program_for_checksums_nothing_is_packed(host: ScriptHost, tmp_path: Path) -> None:
    start_and_end(host)
    host.path = toolbox(tmp_path / "bin")
    answer = host.pack()
    assert answer["state"] == "failed"
    assert "sha256sum" in answer["msg"]


def test_without_stat_nothing_is_packed(host: ScriptHost, tmp_path: Path) -> None:
    """All logs would look alike, and those that came later would be deleted as if they had been collected."""
    start_and_end(host)
    host.path = toolbox(tmp_path / "bin", without=["stat"], extra=["sha256sum"])
    answer = host.pack()
    assert answer["state"] == "failed"
    assert "stat" in answer["msg"]


@pytest.mark.parametrize("shell", installed_shells())
@pytest.mark.parametrize("end", ["deaf", "TERM"])
def test_an_archive_that_nobody_waits_for_is_removed(host: ScriptHost, shell: str, end: str) -> None:
    """The command was interrupted, or the link lost, while the host packed."""
    start_and_end(host)
    host.shell = shell
    (host.home / "torc_output/big").write_bytes(os.urandom(200_000))
    packing, go = host.home / "packing", host.home / "go"
    wait = f"touch {shlex.quote(str(packing))}; until [ -e {shlex.quote(str(go))} ]; do sleep 0.05; done"
    host.shim("gzip", f'if [ "$1" = -1 ]; then {wait}; fi\nexec "$real" "$@"')
    running = host.popen_pack()
    places = [Path(place, host.meeting.name) for place in ("/tmp", "/var/tmp", host.home)]
    wait_until(packing.exists, 20)
    assert [place for place in places if place.exists()]
    assert running.stdout
    if end == "deaf":
        running.stdout.close()
    else:
        running.send_signal(signal.SIGTERM)
    go.touch()
    running.wait(20)
    assert not [place for place in places if place.exists()]


def test_archives_left_behind_long_ago_are_removed(host: ScriptHost) -> None:
    """Not younger ones, which another collector may be reading."""
    start_and_end(host)
    old, young = (Path(tempfile.mkdtemp(prefix=f"torc-logs-42-{KEY}.", dir="/tmp")) for _ in range(2))
    (old / "logs.tar.gz").touch()
    long_ago = time.time() - 3 * 86400
    os.utime(old, (long_ago, long_ago))
    try:
        taken(host, host.pack())
        assert young.exists()
        assert not old.exists()
    finally:
        for path in (old, young):
            shutil.rmtree(path, ignore_errors=True)


def test_bsd_stat(host: ScriptHost, tmp_path: Path) -> None:
    host.path = toolbox(tmp_path / "bin", without=["stat"], extra=["sha256sum"])
    stat = tmp_path / "bin/stat"
    stat.write_text(BSD_STAT)
    stat.chmod(0o755)
    start_and_end(host)
    keep_and_delete(host)


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox is not installed")
def test_a_userland_of_busybox_alone(host: ScriptHost, tmp_path: Path) -> None:
    tools, busybox = tmp_path / "bin", str(shutil.which("busybox"))
    tools.mkdir()
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in set(applets) - {"busybox"}:
        (tools / applet).symlink_to(busybox)
    if "nohup" not in applets:  # Debian's has none
        (tools / "nohup").symlink_to(str(shutil.which("nohup")))
    host.path, host.shell = str(tools), "busybox"
    live(host)


def start_and_end(host: ScriptHost) -> None:
    assert host.start()["state"] == "started"
    host.verify()
    assert host.stop(force=True)["state"] == "stopped"
    wait_until(lambda: host.status()["exit_code"])


def test_a_worker_whose_record_is_lost_is_found_again(host: ScriptHost) -> None:
    started = host.start()
    host.verify()
    for record in (host.home / ".local/state/torc-remote").rglob("record"):
        record.unlink()
    assert host.status()["pid"] == started["pid"]
    assert host.start()["state"] == "already_running"
    assert host.delete()["state"] == "live"
    assert node_of(host.stop()) == NODE
    wait_until(lambda: not host.pids())


def test_what_nobody_has_heard_of_a_lost_worker_is_said_again(host: ScriptHost) -> None:
    """Until the next script in the play comes, which the play sends when it has told the server."""
    lose_worker(host)
    first = host.start()
    assert (first["state"], node_of(first)) == ("started", NODE)
    again = host.start()
    assert (again["state"], node_of(again)) == ("already_running", NODE)
    host.verify()
    assert "nodes" not in host.start()
    host.stop()
    lose_worker(host)
    host.start()
    host.stop(force=True)
    for _ in range(2):
        deleted = host.delete()
        assert (node_of(deleted), deleted["lost"]) == (NODE, "1")
    host.forget()
    assert not list((host.home / ".local/state/torc-remote").iterdir())


def test_logs_of_a_lost_worker_can_be_deleted_to_make_room(host: ScriptHost) -> None:
    lose_worker(host)
    host.edits = {"/lost.new": "/no/lost.new"}  # there it can't be written, as on a full disk
    assert "disk full" in host.start()["msg"]
    deleted = host.delete()
    assert (deleted["state"], node_of(deleted)) == ("deleted", NODE)
    assert "lost" not in deleted


def lose_worker(host: ScriptHost) -> None:
    started = host.start()
    host.verify()
    os.kill(int(started["pid"]), signal.SIGKILL)
    wait_until(lambda: host.status()["state"] == "exited")


def test_the_exit_of_an_earlier_worker_is_not_taken_for_the_next_ones(host: ScriptHost) -> None:
    first = host.start()
    parent = int(Path(f"/proc/{first['pid']}/stat").read_text().rpartition(") ")[2].split()[1])
    os.kill(parent, signal.SIGSTOP)  # it will learn of its child's end when the next worker runs
    os.kill(int(first["pid"]), signal.SIGKILL)
    wait_until(lambda: not alive(int(first["pid"])))
    second = host.start()
    assert second["state"] == "started"
    os.kill(parent, signal.SIGCONT)
    wait_until(lambda: not Path(f"/proc/{parent}").exists())
    assert host.status()["pid"] == second["pid"]
    assert host.status()["state"] == "running"


def test_a_killed_workers_jobs_are_ended_by_stop(host: ScriptHost) -> None:
    started = host.start()
    wait_until(lambda: len(host.pids()) >= 4)
    os.kill(int(started["pid"]), signal.SIGKILL)
    wait_until(lambda: host.status()["state"] == "exited")
    assert host.stop()["state"] == "stopped"
    wait_until(lambda: not host.pids())
    assert host.stop()["state"] == "not_running"


def test_who_ignores_sigterm_is_named_and_force_ends_it(host: ScriptHost) -> None:
    torc = host.home / ".local/bin/torc"
    torc.write_text(WORKER.replace("#!/bin/sh\n", "#!/bin/sh\ntrap '' TERM\n", 1))
    started = host.start()
    host.verify()
    refused = host.stop(grace=1)
    assert refused["state"] == "still_running"
    assert f"PID {started['pid']} did not end within 1 s" in refused["msg"]
    assert host.stop(force=True)["state"] == "stopped"
    wait_until(lambda: not host.pids())


def test_a_damaged_file_names_no_worker(host: ScriptHost) -> None:
    """A number that no process can have is not told as one: the controller would refuse the answer."""
    (host.home / "torc_output").mkdir()
    (host.home / "torc_output/torc_worker_42.pid").write_text("999999999999\n")
    status = host.status()
    assert status["state"] == "exited"
    assert "pid" not in read_answer(status)
