"""The launch of a worker, its lock and its processes, without ssh: whatever is slow, killed or left behind."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.faults import alive, canary
from tests.support.host_scripts import KEY, WORKER, ScriptHost, installed_shells, script_host

OTHER_KEY = "1700000000999"
OLD_KEY = "0a1b2c3d"
BOTH_KEYS = f"{KEY} {OLD_KEY}"
# A job's process that nothing but its mark tells: forked twice, in a session of its own, without descriptors.
DAEMON = f"""{sys.executable} -c '
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3): os.close(number)
        time.sleep(613)
    os._exit(0)
os.wait()'"""
IMPATIENT = {"launch_patience=25": "launch_patience=1"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path / "home") as host:
        yield host


def workers(host: ScriptHost) -> set[int]:
    """The processes `torc run 42` of the host."""
    found = set()
    for pid in host.pids():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(words[at : at + 2] == [b"run", b"42"] and words[at - 1].endswith(b"torc") for at in (1, 2)):
            found.add(pid)
    return found


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("setsid", 'sleep 3\nexec $real "$@"'),
        pytest.param("nohup", 'sleep 3\nexec $real "$@"', marks=pytest.mark.slow),
        pytest.param("setsid", '(sleep 3; exec $real "$@") &', marks=pytest.mark.slow),
        ("setsid", 'echo "no session for you" >&2; exit 1'),
        pytest.param("mv", 'case $2 in */taken.*) sleep 3;; esac\nexec $real "$@"', marks=pytest.mark.slow),
    ],
)
def test_a_launch_that_is_given_up_starts_nothing_later(host: ScriptHost, program: str, text: str) -> None:
    host.edits = IMPATIENT
    shim = host.shim(program, text)
    first = host.start()
    assert first["state"] == "failed"
    assert "nothing will start later" in first["msg"]
    shim.unlink()
    second = host.start()
    assert second["state"] == "started"
    wait_until(lambda: len(workers(host)) == 1)
    wait_until(lambda: not any(b"shims/" in _cmdline(pid) for pid in host.pids()))
    assert workers(host) == {int(second["pid"])}
    assert not [*host.state().glob("ticket.*"), *host.state().glob("lock*")]


def _cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("program", ["setsid", pytest.param("nohup", marks=pytest.mark.slow)])
def test_the_launch_of_a_command_that_was_killed_comes_to_nothing(host: ScriptHost, program: str) -> None:
    shim = host.shim(program, 'sleep 2\nexec $real "$@"')
    starter = host.popen_start()
    wait_until(lambda: any(b"shims/" in _cmdline(pid) for pid in host.pids()))
    starter.kill()
    starter.wait()
    shim.unlink()
    second = host.start()
    assert second["state"] == "started"
    wait_until(lambda: not any(b"shims/" in _cmdline(pid) for pid in host.pids()))
    assert workers(host) == {int(second["pid"])}


SLOW_RECORD = 'case $2 in */record) case $1 in */taken.*) sleep 2;; esac;; esac\nexec $real "$@"'
SLOW_TICKET = 'case $2 in */taken.*) $real "$@" && sleep 2; exit;; esac\nexec $real "$@"'


@pytest.mark.parametrize("text", [SLOW_RECORD, SLOW_TICKET], ids=["started", "about to start"])
@pytest.mark.parametrize(
    "command", ["start", *(pytest.param(c, marks=pytest.mark.slow) for c in ("stop", "delete"))]
)
def test_a_launch_that_goes_on_without_its_command_is_waited_for(
    host: ScriptHost, text: str, command: str
) -> None:
    shim = host.shim("mv", text)
    starter = host.popen_start()
    wait_until(lambda: list(host.state().glob("taken.*/parent")))
    wait_until(lambda: any(_cmdline(pid) == b"sleep\0002\0" for pid in host.pids()))
    starter.kill()
    starter.wait()
    shim.unlink()
    if command == "start":
        second = host.start()
        assert second["state"] == "already_running"
        assert workers(host) == {int(second["pid"])}
    elif command == "stop":
        assert host.stop()["state"] == "stopped"
        assert not workers(host)
    else:
        answer = host.delete()
        assert "still running" in answer.get("msg", ""), answer


@pytest.mark.slow
def test_a_suspended_launch_is_named_and_ended_by_force(host: ScriptHost) -> None:
    host.edits = {"settle_launch 20": "settle_launch 1", "settle_launch 10": "settle_launch 1"}
    host.shim("mv", SLOW_TICKET)
    starter = host.popen_start()
    (parent,) = wait_until(lambda: [f for f in host.state().glob("taken.*/parent") if f.read_text()])
    pid = int(parent.read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    starter.kill()
    starter.wait()
    assert f"(PID {pid})" in host.status()["reason"]
    assert f"(PID {pid})" in host.start()["msg"]
    assert f"(PID {pid})" in host.stop()["msg"]
    assert host.stop(force=True)["state"] == "not_running"
    wait_until(lambda: not alive(pid))
    assert host.start()["state"] == "started"


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_no_lock_of_the_dead_is_in_the_way(host: ScriptHost) -> None:
    assert host.start()["state"] == "started"
    host.stop()
    state = host.state()
    dead = [f"999999:1:{boot()}", f"{os.getpid()}:1:{boot()}", "1:1:another-boot", "garbage", "::"]
    for number, owner in enumerate(dead):
        (state / "lock").symlink_to(owner)
        if number % 2:
            (state / "lock.break").mkdir()
            (state / f"lock.{owner.replace(':', '_')}").symlink_to(f"999998:1:{boot()}")
        assert host.stop()["state"] == "not_running", owner
        assert not list(state.glob("lock*")), owner


def test_a_lock_on_another_machine_holds_for_a_while(host: ScriptHost) -> None:
    host.start()
    host.edits = {'"$lock_tries" -lt 150': '"$lock_tries" -lt 2'}
    now = int(subprocess.check_output(["date", "+%s"]))
    lock = host.state() / "lock"
    for age, state in ((0, "busy"), (-5000, "stopped"), (5000, "not_running")):
        lock.symlink_to(f"999999:1:another-boot/another-machine.1/{now + age}")
        assert host.stop()["state"] == state, age
        lock.unlink(missing_ok=True)


@pytest.mark.parametrize(
    "shell",
    [name if name == "dash" else pytest.param(name, marks=pytest.mark.slow) for name in installed_shells()],
)
def test_of_many_that_find_a_dead_owner_one_gets_the_lock(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    host.state().mkdir(parents=True)
    (host.state() / "lock").symlink_to(f"999999:1:{boot()}")
    with ThreadPoolExecutor(6) as pool:
        states = sorted(answer["state"] for answer in pool.map(lambda _: host.start(), range(6)))
    assert states == ["already_running"] * 5 + ["started"]
    assert len(workers(host)) == 1
    assert not list(host.state().glob("lock*"))


def test_run_beside_delete_logs(host: ScriptHost) -> None:
    """Each is well or says why not, and what runs in the end is known."""
    host.start()
    host.stop()
    for _ in range(3):
        with ThreadPoolExecutor(3) as pool:
            deletion = pool.submit(host.delete)
            start, stop = pool.submit(host.start), pool.submit(host.stop)
        assert start.result()["state"] == "started", start.result()
        assert deletion.result()["state"] in ("deleted", "absent", "live"), deletion.result()
        assert stop.result()["state"] in ("stopped", "not_running"), stop.result()
        host.stop()
        wait_until(lambda: not host.pids())


def with_job(host: ScriptHost, job: str) -> None:
    """Let the worker's job start this, and another one stay."""
    (host.home / ".local/bin/torc").write_text(WORKER.replace("sleep 611 &", f"{job} &\nsleep 611 &"))


def daemons(host: ScriptHost) -> set[int]:
    return {pid for pid in host.pids() if b"sleep(613)" in _cmdline(pid)}


@pytest.mark.parametrize("force", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("proc", ["/proc", "/no-such-place"])
def test_what_a_job_left_behind_is_the_workers(host: ScriptHost, force: bool, proc: str) -> None:
    host.edits = {"/proc": proc}
    with_job(host, DAEMON)
    worker = int(host.start()["pid"])
    wait_until(lambda: len(daemons(host)) == 1)
    assert host.stop(force)["state"] == "stopped"
    assert not daemons(host)
    worker = int(host.start()["pid"])
    wait_until(lambda: len(daemons(host)) == 1)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not alive(worker))
    assert "still running (PID" in host.status()["reason"]
    refused = host.delete()
    assert refused["state"] == "live"
    assert "jobs of a worker that was killed are still running there (PID" in refused["msg"]
    assert host.start()["state"] == "started"
    wait_until(lambda: len(daemons(host)) == 1)
    assert host.stop(force)["state"] == "stopped"
    assert not daemons(host)
    wait_until(lambda: not host.pids())
    assert host.delete()["state"] == "deleted"


@pytest.mark.parametrize("proc", ["/proc", "/no-such-place"])
def test_nobody_elses_process_is_signalled(host: ScriptHost, proc: str) -> None:
    """What bears another worker's mark, one that only begins alike, or speaks of ours in another variable."""
    host.edits = {"/proc": proc}
    marks = [
        f"_TORC_REMOTE_WORKER={host.state(OTHER_KEY)}",
        f"_TORC_REMOTE_WORKER={host.state()}0",
        f"NOTE_TORC_REMOTE_WORKER={host.state()}",
        f"NOTE=x_TORC_REMOTE_WORKER={host.state()}",
    ]
    for force in (False, True):
        host.start()
        with (
            canary("env", marks[0], "sleep", "600"),
            canary("env", marks[1], "sleep", "600"),
            canary("env", marks[2], "sleep", "600"),
            canary("env", marks[3], "sleep", "600"),
        ):
            assert host.stop(force)["state"] == "stopped"
            assert host.stop(force)["state"] == "not_running"


def test_the_number_of_a_worker_that_has_ended_is_anybodys(host: ScriptHost) -> None:
    """It may be another process's already when what the worker left behind is looked for, and so may its session's."""
    with canary() as other, canary("setsid", "sh", "-c", "sleep 600; exit") as session:
        ended = f"worker_alive() {{ r_pid={other} r_session={session}; false; }}"
        host.edits = {"grace=$5 force=$6": f"grace=$5 force=$6\n{ended}"}
        host.start()
        host.verify()
        assert host.stop()["state"] == "stopped"


def test_without_a_key_the_only_workflow_of_this_number_is_meant(host: ScriptHost) -> None:
    assert host.status(key="")["state"] == "none"
    assert host.start(key="")["state"] == "failed"
    first = host.start()
    assert host.status(key="")["pid"] == first["pid"]
    second = host.start(key=OTHER_KEY)
    assert second["state"] == "started"
    for answer in (host.status(key=""), host.stop(key="")):
        assert answer["state"] == "ambiguous"
        assert f"{KEY}, {OTHER_KEY}" in answer["msg"]
    assert host.stop()["state"] == "stopped"
    assert alive(int(second["pid"]))
    assert host.stop(key=OTHER_KEY)["state"] == "stopped"
    assert host.delete()["state"] == "deleted"
    assert (host.home / f"torc_output/server-{OTHER_KEY}").exists()
    assert host.stop(key="")["state"] == "not_running"
    assert host.delete(key="")["state"] == "deleted"
    assert not (host.home / "torc_output").exists()


def test_the_worker_of_another_database_is_another(host: ScriptHost) -> None:
    first = host.start()
    second = host.start(key=OTHER_KEY)
    assert (second["state"], first["output_dir"]) == ("started", str(host.home / "torc_output"))
    assert second["output_dir"] == f"{first['output_dir']}/server-{OTHER_KEY}"
    assert host.stop(key=OTHER_KEY)["state"] == "stopped"
    assert host.status()["state"] == "running"


@pytest.fixture
def other_user() -> str:
    """Somebody else on the host."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    return "nobody"


def refused(host: ScriptHost, output: Path, *words: str) -> None:
    answer = host.start(str(output))
    assert answer["state"] == "failed", answer
    assert all(word in answer["msg"] for word in words), answer["msg"]
    assert not workers(host)


def test_an_output_directory_of_others_is_refused(host: ScriptHost, other_user: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    theirs = shared / "theirs"
    theirs.mkdir()
    shutil.chown(theirs, other_user)
    theirs.chmod(0o777)
    refused(host, theirs, "belongs to another user", "--output-dir")
    secret = host.home / "secret"
    secret.mkdir()
    for planted in (shared / "planted", shared / "dangling"):
        planted.symlink_to(secret if planted.name == "planted" else tmp_path / "nothing")
        os.lchown(planted, pwd.getpwnam(other_user).pw_uid, -1)
        refused(host, planted, str(planted), "symbolic link of another user")
        refused(host, planted / "deeper/still", str(planted), "symbolic link of another user")
    assert not list(secret.iterdir())
    assert host.start(str(shared / "ours"))["state"] == "started"
    assert (shared / "ours").stat().st_mode & 0o022 == 0
    host.stop()
    shutil.chown(shared / "ours", other_user)
    assert "belongs to another user" in host.delete()["msg"]
    assert (shared / "ours/.torc-remote").exists()


def test_an_own_output_directory_that_others_may_write_to(
    host: ScriptHost, other_user: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    output.chmod(0o777)
    refused(host, output, "written to by every user", "chmod o-w")
    output.chmod(0o1777)
    (output / "planted").symlink_to("/etc")
    os.lchown(output / "planted", 12345, -1)
    refused(host, output, "holds planted of another user")
    (output / "planted").unlink()
    output.chmod(0o775)
    os.chown(output, -1, 12345)
    refused(host, output, "other members of its group")
    assert not list(output.iterdir())
    os.chown(output, -1, os.getegid())
    assert host.start(str(output))["state"] == "started"


def test_links_and_pipes_in_the_place_of_our_files(host: ScriptHost) -> None:
    victim = host.home / "victim"
    victim.write_text("precious")
    output = host.home / "torc_output"
    output.mkdir()
    log = output / f"torc_worker_42_{os.uname().nodename}_{KEY}.log"
    for name in (log, output / ".torc-remote"):
        name.symlink_to(victim)
        refused(host, output, str(name), "no regular file")
        name.unlink()
        os.mkfifo(name)
        refused(host, output, str(name), "no regular file")
        name.unlink()
    assert victim.read_text() == "precious"
    assert host.start()["state"] == "started"


def test_links_of_ones_own_are_followed(host: ScriptHost, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (host.home / "torc_output").symlink_to(tmp_path / "scratch")
    assert host.start()["output_dir"] == str(tmp_path / "scratch")


def test_a_worker_that_an_earlier_version_started_is_found(host: ScriptHost) -> None:
    first = host.start(key=OLD_KEY)
    assert first["state"] == "started"
    assert host.status(key=BOTH_KEYS)["pid"] == first["pid"]
    assert host.start(key=BOTH_KEYS)["state"] == "already_running"
    assert host.delete(key=BOTH_KEYS)["state"] == "live"
    stopped = host.stop(key=BOTH_KEYS)
    assert (stopped["state"], stopped["pid"], stopped["nodes"][:6]) == ("stopped", first["pid"], "node 7")
    second = host.start(key=BOTH_KEYS)
    assert (second["state"], second["output_dir"]) == ("started", first["output_dir"])
    assert not host.state(OLD_KEY).exists()
    assert host.status()["pid"] == second["pid"], "also under another name of the server"
    assert host.stop()["state"] == "stopped"
    assert host.pack(key=BOTH_KEYS)["state"] == "packed"
    assert host.delete(key=BOTH_KEYS)["state"] == "deleted"
    assert not (host.home / "torc_output").exists()


def test_a_worker_that_is_older_than_the_workflow_is_not_its_own(host: ScriptHost) -> None:
    """An earlier version started it for the workflow of this number in a database that was there before."""
    first = host.start(key=OLD_KEY)
    keys = f"{(int(first['since']) + 3600) * 1000} {OLD_KEY}"
    assert host.status(key=keys)["state"] == "none"
    second = host.start(key=keys)
    assert second["state"] == "started"
    assert host.stop(key=keys)["pid"] == second["pid"]
    assert alive(int(first["pid"]))
