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
    """One run: wall and processor seconds; where it was watched, the largest memory of its process tree in MiB."""

    wall: float
    cpu: float
    memory: float | None = None


class CommandFailedError(Exception):
    """A measured command did not do its work."""


def run(
    command: Sequence[str | Path], environment: Mapping[str, str], cwd: Path, watch: bool = False
) -> tuple[Sample, str]:
    """Run the command to its end; the sample and its stdout. Raises CommandFailedError for any exit but 0.

    To ``watch`` its memory costs processor time, so such a run should not count for its times.
    """
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
    peak = _PeakMemory(process.pid) if watch else None
    stdout, stderr = process.communicate()
    wall = time.monotonic() - begin
    after = os.times()
    if process.returncode != 0:
        raise CommandFailedError(f"{command} exited with {process.returncode}:\n{stdout}\n{stderr}")
    cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    return Sample(wall, cpu, peak.stop() if peak else None), stdout


class _PeakMemory:
    """Samples the resident memory of a process and its descendants (what they share is counted once)."""

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
        while not self._ended.wait(0.1):
            self._peak = max(self._peak, tree_memory(self._root))


def tree_memory(root: int) -> float:
    """Proportional set size of the tree in MiB, so that pages shared by forks count once."""
    family, found = [root], [root]
    while found:
        found = [child for pid in found for child in _children(pid)]
        family += found
    return sum(map(process_memory, family))


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    try:
        return [int(child) for file in lists for child in file.read_text().split()]
    except OSError:
        return []


def process_memory(pid: int) -> float:
    """A process's proportional set size in MiB; 0 for one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each figure by itself; of the memory where it was watched, of the times where it was not."""
    timed = [sample for sample in samples if sample.memory is None] or samples
    memory = [sample.memory for sample in samples if sample.memory is not None]
    return Sample(
        statistics.median(sample.wall for sample in timed),
        statistics.median(sample.cpu for sample in timed),
        statistics.median(memory) if memory else None,
    )


def machine() -> str:
    """One line on where the figures come from."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else "unknown processor"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.split(",")[0]
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Python {sys.version.split()[0]}, {ssh}"
