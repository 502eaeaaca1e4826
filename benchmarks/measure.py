"""Time, processor time and memory of a whole command, as the operating system accounts them."""

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One run: wall and processor seconds, the largest resident memory of the command's process tree in MiB."""

    wall: float
    cpu: float
    memory: float


class CommandFailedError(Exception):
    """A measured command did not do its work."""


def run(command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path) -> tuple[Sample, str]:
    """Run the command to its end; the sample and its stdout. Raises CommandFailedError for any exit but 0."""
    before = os.times()
    begin = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in command],
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _PeakMemory(process.pid)
    stdout, stderr = process.communicate()
    wall = time.monotonic() - begin
    after = os.times()
    if process.returncode != 0:
        raise CommandFailedError(f"{command} exited with {process.returncode}:\n{stdout}\n{stderr}")
    cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Sample(wall, cpu, peak.stop()), stdout


class _PeakMemory:
    """Samples the resident memory of a process and its descendants (what they share is counted once each)."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peak = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self._peak = max(self._peak, _tree_memory(self._root))


def _tree_memory(root: int) -> float:
    """Proportional set size of the tree in MiB, so that pages shared by forks count once."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(map(_proportional_memory, family)) / 1024


def _proportional_memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    return Sample(
        statistics.median(sample.wall for sample in samples),
        statistics.median(sample.cpu for sample in samples),
        statistics.median(sample.memory for sample in samples),
    )


def machine() -> str:
    """One line on where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else "unknown processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.split(",")[0]
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Python {sys.version.split()[0]}, {ssh}"
