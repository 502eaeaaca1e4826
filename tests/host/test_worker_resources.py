"""What the worker finds on its host: processes and what they use, GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import wait_until
from torc_remote.builtin.worker import processes
from torc_remote.builtin.worker.resources import (
    detect,
)


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 'GPU 0: A100 (UUID: x)'; echo 'GPU 1: A100 (UUID: y)'", ("0", "1")),
        ("echo 'NVIDIA-SMI has failed' >&2; exit 9", ()),
    ],
)
def test_gpus_that_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: tuple[str, ...]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert detect({}).gpus == gpus


def test_a_process_is_found_whatever_its_name(tmp_path: Path) -> None:
    strange = tmp_path / ") S 1 (x"
    strange.symlink_to("/bin/sleep")
    with subprocess.Popen([str(strange), "60"]) as process:
        found = wait_until(lambda: processes.snapshot().get(process.pid))
        process.kill()
    assert (found.parent, found.group) == (os.getpid(), os.getpgid(0))
    assert processes.snapshot().get(process.pid) is None


def test_zombies_do_not_count() -> None:
    process = subprocess.Popen(["true"])
    wait_until(lambda: process.pid not in processes.snapshot())
    assert process.wait() == 0


BURN = "import os, time\nos.fork()\nwhile time.process_time() < 1: pass\ntime.sleep(60)"


def test_ps_tells_the_same_as_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], process_group=0) as process:
        try:
            wait_until(lambda: sum(p.cpu_seconds for p in _tree(process.pid)) > 1.9)
            from_proc = _tree(process.pid)
            monkeypatch.setattr(processes, "PROC", tmp_path)
            from_ps = _tree(process.pid)
        finally:
            os.killpg(process.pid, 9)
    assert len(from_proc) == 2
    assert [(p.pid, p.parent, p.group) for p in from_ps] == [(p.pid, p.parent, p.group) for p in from_proc]
    for one, other in zip(from_proc, from_ps, strict=True):
        assert other.cpu_seconds == pytest.approx(one.cpu_seconds, abs=1.1)  # ps knows whole seconds
        assert other.rss == pytest.approx(one.rss, rel=0.1)
    assert processes.host_usage() is None


def _tree(pid: int) -> list[processes.Process]:
    return processes.tree(processes.snapshot(), pid)


def test_the_cpu_time_of_children_that_have_ended_stays() -> None:
    script = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.5: pass'; echo; sleep 60"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, process_group=0) as process:
        try:
            assert process.stdout.readline() == b"\n"
            [shell, *_] = _tree(process.pid)
        finally:
            os.killpg(process.pid, 9)
    assert shell.pid == process.pid
    assert shell.cpu_seconds > 0.4
