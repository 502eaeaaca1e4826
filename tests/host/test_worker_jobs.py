"""A job's process: its command line, environment and group, and how it is ended."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import wait_until
from torc_remote.builtin.worker import signals as signals_module
from torc_remote.builtin.worker.job import RunningJob, Setting, command_line, environment, open_output, start
from torc_remote.builtin.worker.resources import Requirements
from torc_remote.builtin.worker.signals import Signals

SETTING = Setting(1, 1, "out", "http://h/v1")


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (None, "echo"),
        ("", "echo"),
        ("nice -n 5", "nice -n 5 echo"),
        ("nice\n", "nice\n echo"),
        ("set -e\nexport A=1", "set -e\nexport A=1\necho"),
    ],
)
def test_the_command_line(script: str | None, line: str) -> None:
    assert command_line({"command": "echo", "invocation_script": script}) == ["bash", "-c", line]


def test_a_host_without_bash_uses_sh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command_line({"command": "echo"})[0] == "sh"


def test_a_job_may_set_what_the_worker_withholds() -> None:
    inherited = {"PATH": "/bin", "TORC_PASSWORD": "secret", "TORC_COOKIE_HEADER": "secret"}
    job = {"id": 3, "name": "a", "env": {"TORC_PASSWORD": "mine", "TORC_JOB_ID": "0"}}
    result = environment(SETTING, job, ("4", "5"), inherited)
    assert result["TORC_PASSWORD"] == "mine"
    assert "TORC_COOKIE_HEADER" not in result
    assert (result["PATH"], result["TORC_JOB_ID"]) == ("/bin", "3")
    assert result["ROCR_VISIBLE_DEVICES"] == result["TORC_GPU_VISIBLE_DEVICES"] == "4,5"


Start = Callable[[str], RunningJob]


@pytest.fixture
def start_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts real jobs in a temporary directory."""
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> RunningJob:
        job = {"id": 1, "name": "job", "command": command}
        return start(SETTING, job, Requirements(), (), open_output(SETTING, job))

    return run


def test_a_job_leads_a_group_within_the_workers_session(start_job: Start) -> None:
    job = start_job("sleep 60")
    pid = job.process.pid
    try:
        assert (os.getsid(pid), os.getpgid(pid)) == (os.getsid(0), pid)
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
    finally:
        job.signal(9)
    assert wait_until(job.poll) == 128 + 9


def test_what_survives_its_parent_is_signalled_again(start_job: Start, tmp_path: Path) -> None:
    """A process in a group of its own, which ignores SIGTERM, whose parent has ended on SIGTERM."""
    inner = "import os, signal, time; os.setpgid(0, 0); signal.signal(15, signal.SIG_IGN)"
    inner += "; open('up', 'w'); time.sleep(60)"
    with Signals() as signals:
        job = start_job(f'{sys.executable} -c "{inner}" & wait')
        signals.add(job)
        wait_until((tmp_path / "up").exists)
        signals.stop_jobs(15)
        assert wait_until(job.poll) == 128 + 15
        assert not signals.jobs_are_gone()
        signals.stop_jobs(9)
        wait_until(signals.jobs_are_gone)


def test_the_grace_time_ends_in_a_kill(
    start_job: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals_module, "GRACE_SECONDS", 0.2)
    with Signals() as signals:
        job = start_job("trap '' TERM; touch up; sleep 60; sleep 60")
        signals.add(job)
        wait_until((tmp_path / "up").exists)
        os.kill(os.getpid(), 15)
        assert signals.stop_signal == 15
        assert wait_until(job.poll) == 128 + 9
        wait_until(signals.jobs_are_gone)


def test_a_foreign_process_with_a_recycled_pid_is_left_alone(start_job: Start) -> None:
    job = start_job("true")
    wait_until(lambda: job.poll() is not None)
    with subprocess.Popen(["sleep", "60"]) as foreign:
        job._known[foreign.pid] = "an older start"
        job.signal(9)
        assert foreign.poll() is None
        foreign.kill()
