"""Ending all that descends from a process, also what left its session or ignores SIGTERM."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import wait_until
from torc_remote.processes import Process, descendants

_PARENT = """
import subprocess, sys, time
from torc_remote.processes import end_descendants
children = [
    ["sleep", "100"],
    ["setsid", "sh", "-c", "sleep 100 & sleep 100"],
    ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
    ["sh", "-c", "trap 'sleep 0.3; touch cleaned; exit' TERM; touch ready; while :; do sleep 0.05; done"],
]
for command in children:
    subprocess.Popen(command)
sys.stdin.readline()
end_descendants(2)
print("ended", flush=True)
sys.stdin.readline()
"""


def living(processes: set[Process]) -> set[Process]:
    return processes & descendants(1) | processes & descendants(os.getpid())


def test_all_descendants_end_after_their_clean_up(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=tmp_path, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdin
        assert parent.stdout
        wait_until(lambda: (tmp_path / "ready").exists() and len(descendants(parent.pid)) >= 6)
        processes = descendants(parent.pid)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"ended\n"
        assert (tmp_path / "cleaned").exists()
        wait_until(lambda: not living(processes))
