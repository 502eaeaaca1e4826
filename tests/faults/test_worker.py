"""The worker and its host: what is the host's fault is no job's result, and jobs get what is the account's."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Server, StartServer
from tests.faults.hosts import needs_root
from tests.support import wait_until
from tests.support.remote import SandboxFleet
from tests.support.workers import Record, Rest, run_worker, worker
from torc_remote.builtin.worker.zipapp_builder import build_zipapp

IMPATIENT = (
    sys.executable,
    "-c",
    "import sys; from torc_remote.builtin.worker import main, sickness; sickness.PATIENCE_SECONDS = 1; "
    "sys.exit(main.main())",
)


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system of its own, perhaps covered by another when the test ends."""
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory], check=True)
    try:
        yield
    finally:
        while os.path.ismount(directory):
            subprocess.run(["umount", "-l", directory], check=True)


@needs_root
@pytest.mark.parametrize(
    ("makes_sick", "reason"),
    [
        ("head -c 1m /dev/zero >torc_output/fill; true", "No space left on device"),
        ("umount -l torc_output && mount -t tmpfs -o ro none torc_output", "Read-only file system"),
        ("prlimit --pid $PPID --nofile=$(($(ls /proc/$PPID/fd | wc -l) + 1))", "Too many open files"),
        ("umount -l torc_output; rmdir torc_output; touch torc_output", "Not a directory"),
    ],
)
def test_84_a_sick_host(rest: Rest, tmp_path: Path, makes_sick: str, reason: str) -> None:
    """A worker whose host can't start jobs any more gives them back and leaves, saying why; others run them."""
    first = {"name": "first", "command": makes_sick, "priority": 1}
    number = rest.create([first, *({"name": f"j{n}", "command": "true"} for n in range(30))])
    rest.initialize(number)
    directory = tmp_path / "sick"
    with small_disk(directory / "torc_output"):
        sick = run_worker(rest.url, number, directory, "--max-parallel-jobs", "1", command=IMPATIENT)
    assert sick.process.returncode == 1, sick.log
    assert reason in sick.log.splitlines()[-1]
    states = rest.states(number)
    assert (states.pop("first"), set(states.values())) == ("completed", {"ready"})
    assert [node["is_active"] for node in rest.nodes(number)] == [False]
    run_worker(rest.url, number, tmp_path / "well")
    results = rest.results(number).values()
    assert {(result["return_code"], result["attempt_id"]) for result in results} == {(0, 1)}


def test_84a_what_is_the_commands_own_fault(rest: Rest, tmp_path: Path) -> None:
    """A command that no host could start is a failed job, and the worker goes on with the others."""
    number = rest.create(
        [{"name": "long", "command": ": " + "x" * 200_000}, {"name": "good", "command": "true"}]
    )
    done = run_worker(rest.url, number, tmp_path)
    assert done.process.returncode == 0, done.log
    assert rest.states(number) == {"long": "failed", "good": "completed"}


def test_85_signals_of_a_worker_in_the_background(rest: Rest, tmp_path: Path) -> None:
    """Jobs can be interrupted and inherit no blocked signal and no descriptor, however the worker was started."""
    job = "grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd; ulimit -c; umask; nice"
    number = rest.create([{"name": "a", "command": job}])
    ignoring = (
        "import os, signal, sys\n"
        "for name in ('HUP', 'INT', 'QUIT', 'USR1', 'TSTP', 'PIPE'): signal.signal(signal.Signals['SIG' + name], "
        "signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'torc_remote.builtin.worker', *sys.argv[1:]])"
    )
    done = run_worker(rest.url, number, tmp_path, command=(sys.executable, "-c", ignoring))
    assert rest.states(number) == {"a": "completed"}, done.log
    (said,) = (tmp_path / "torc_output/job_stdio").glob("*.o")
    here = subprocess.run(
        ["bash", "-c", "ulimit -c; umask; nice"], capture_output=True, text=True, check=True
    ).stdout
    none = "0" * 16
    assert said.read_text() == f"SigBlk:\t{none}\nSigIgn:\t{none}\n0\n1\n2\n3\n{here}"


def test_86_python_settings_of_the_account(rest: Rest, tmp_path: Path) -> None:
    """PYTHONHOME, PYTHONPATH and a json.py at home disturb neither the worker nor "torc --version"; jobs get them."""
    build_zipapp(tmp_path / "torc")
    for name in ("json.py", "usercustomize.py", "argparse.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')\n")
    settings = {
        "PYTHONHOME": "/nowhere", "PYTHONPATH": f":{tmp_path}", "PYTHONSTARTUP": "a b\nPYTHONFAKE=1",
        "PYTHONHASHSEED": "x", "PYTHONWARNINGS": "error",
    }  # fmt: skip
    job = "env -0 | grep -z ^PYTHON | sort -z"
    number = rest.create([{"name": "a", "command": job}])
    command = (str(tmp_path / "torc"),)
    done = run_worker(rest.url, number, tmp_path, command=command, **settings)
    assert done.process.returncode == 0, done.log
    (said,) = (tmp_path / "torc_output/job_stdio").glob("*.o")
    inherited = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    expected = sorted(f"{name}={value}" for name, value in (inherited | settings).items())
    assert sorted(said.read_text().rstrip("\0").split("\0")) == expected
    version = subprocess.run(
        [*command, "--version"], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    assert version.stdout == "torc 1.0.0\n"


@pytest.mark.parametrize("packed", [True, False])
def test_87_a_host_without_utf8(rest: Rest, tmp_path: Path, packed: bool) -> None:
    """Commands, names, environments and file names reach a job as UTF-8 whatever the host's locale is."""
    build_zipapp(tmp_path / "torc")
    command = (
        (str(tmp_path / "torc"),)
        if packed
        else (sys.executable, "-X", "utf8=0", "-m", "torc_remote.builtin.worker")
    )
    made = rest.call("POST", "/workflows", {"name": "t", "user": "tester"})["id"]
    file = rest.call(
        "POST", "/bulk_files", {"files": [{"workflow_id": made, "name": "f", "path": "gemessen-ü€"}]}
    )
    job = {
        "workflow_id": made, "name": "Привет", "env": {"GREETING": "日本"}, "output_file_ids": [file["files"][0]["id"]],
    }  # fmt: skip
    job["command"] = 'printf "%s %s é" "$TORC_JOB_NAME" "$GREETING"; : >gemessen-ü€'
    rest.call("POST", "/bulk_jobs", {"jobs": [job]})
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = run_worker(rest.url, made, tmp_path, "-o", "aus-ä", command=command, **locale)
    assert rest.states(made) == {"Привет": "completed"}, done.log
    (said,) = (tmp_path / "aus-ä/job_stdio").glob("*.o")
    assert said.read_bytes().decode() == "Привет 日本 é"


@pytest.mark.slow
def test_88_another_database(start_server: StartServer, tmp_path: Path) -> None:
    """A worker that finds another database behind its URL reports nothing to it and leaves with a sentence."""
    theirs, ours = start_server(), start_server()
    jobs: list[Record] = [
        {"name": "a", "command": "sleep 2"},
        {"name": "b", "command": "true", "depends_on": ["a"]},
    ]
    number = Rest(ours.url).create(jobs)
    assert Rest(theirs.url).create(jobs) == number
    Rest(theirs.url).initialize(number)
    port = int(ours.url.split(":")[2].split("/")[0])
    with worker(ours.url, number, tmp_path) as started:
        wait_until(lambda: "Job started" in started.log)
        for server in (ours, theirs):
            server.process.terminate()
            server.process.wait(10)
        again = start_server(database=theirs.database, port=port)
        assert started.wait() == 1
    assert "does not know this worker any more" in started.log.splitlines()[-1]
    assert Rest(again.url).states(number) == {"a": "ready", "b": "blocked"}
    assert Rest(again.url).nodes(number) == []


def test_89_all_at_once(rest: Rest, tmp_path: Path) -> None:
    """Workers that find a new workflow at the same moment initialize it together: each job runs once, in one run."""
    jobs = [{"name": f"j{n}", "command": f"echo {n} >>{tmp_path}/ran"} for n in range(12)]
    number = rest.create(jobs)
    with ExitStack() as stack:
        started = [stack.enter_context(worker(rest.url, number, tmp_path / f"w{n}")) for n in range(6)]
        assert [one.wait() for one in started] == [0] * 6, [one.log for one in started]
    assert sorted(map(int, (tmp_path / "ran").read_text().split())) == list(range(12))
    assert {result["run_id"] for result in rest.results(number).values()} == {1}


def test_90_input_files_on_the_hosts(fleet: SandboxFleet) -> None:
    """Input files are looked for on the hosts: "run" starts, and names those that this machine can't see."""
    url = Rest(fleet.url)
    number = url.call("POST", "/workflows", {"name": "t", "user": "tester"})["id"]
    file = url.call(
        "POST", "/bulk_files", {"files": [{"workflow_id": number, "name": "f", "path": "only there.txt"}]}
    )
    job = {
        "workflow_id": number,
        "name": "a",
        "command": "cat 'only there.txt'",
        "input_file_ids": [file["files"][0]["id"]],
    }
    url.call("POST", "/bulk_jobs", {"jobs": [job]})
    url.call("POST", f"/workflows/{number}/remote_workers", ["sandbox1"])
    (fleet.home("sandbox1") / "only there.txt").write_text("hello")
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(
            lambda _: fleet.torc("remote", "run", number, "-p", "0.3", code=None), range(2)
        )
    assert first.returncode == 0 or second.returncode == 0, (first, second)
    assert any("only there.txt" in one.stderr for one in (first, second))
    wait_until(lambda: url.states(number) == {"a": "completed"}, 20)


@pytest.mark.slow
def test_90a_a_workflow_is_deleted_under_its_workers(fleet: SandboxFleet, tmp_path: Path) -> None:
    """ "delete" refuses while workers are active; after --force, --workers names the machines of what is no more."""
    number = fleet.sleeping(["sandbox1"])
    fleet.hosts("run", number)
    refused = fleet.torc("delete", number, "--no-prompts", code=1)
    assert "has 1 active worker(s)" in refused.stderr
    fleet.torc("delete", number, "--force")
    assert "--workers FILE" in fleet.torc("remote", "status", number, code=1).stderr
    file = tmp_path / "workers.txt"
    file.write_text("sandbox1\n")
    fleet.torc("remote", "status", number, "--workers", file)
    fleet.torc("remote", "stop", number, "--workers", file)
    fleet.torc("remote", "collect-logs", number, "--workers", file, "-l", tmp_path / "logs")
    assert list((tmp_path / "logs").glob("*.tar.gz"))
    fleet.torc("remote", "delete-logs", number, "--workers", file)


def test_90b_a_program_that_is_no_worker(fleet: SandboxFleet) -> None:
    """A program that ends at once with exit code 0 has not finished anything: "run" says that it never registered."""
    number = fleet.sleeping(["sandbox1"])
    program = fleet.home("sandbox1") / ".local/bin/torc"
    kept = program.with_name("kept")
    shutil.move(program, kept)
    try:
        program.write_text('#!/bin/sh\n[ "$1" != --version ] || echo torc 1.0.0\n')
        program.chmod(0o755)
        report = json.loads(fleet.torc("-f", "json", "remote", "run", number, code=1).stdout)
    finally:
        shutil.move(kept, program)
    assert "without having registered" in report["hosts"][0]["reason"]
