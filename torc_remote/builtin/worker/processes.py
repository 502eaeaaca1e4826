"""The host's process table, from /proc or, where there is none, from ps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional

PROC = Path("/proc")


class Process(NamedTuple):
    """One process. ``start`` tells it from a later one with its pid; ``cpu_seconds`` includes children that
    it has waited for; ``rss`` is in bytes."""

    pid: int
    parent: int
    group: int
    start: str
    cpu_seconds: float
    rss: int


Table = Dict[int, Process]


def snapshot() -> Table:
    """All processes that are alive (zombies are not)."""
    source = _from_proc() if (PROC / "self" / "stat").exists() else _from_ps()
    try:
        return {process.pid: process for process in source}
    except OSError:  # no descriptor is free to list /proc: signals still reach the process groups
        return {}


def tree(table: Table, root: int) -> List[Process]:
    """``root``, its descendants, and what else is in its process group."""
    children: Dict[int, List[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found = {pid for pid, process in table.items() if process.group == root or pid == root}
    waiting = list(found)
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(new)
        waiting.extend(new)
    return [table[pid] for pid in sorted(found)]


def _from_proc() -> Iterator[Process]:
    tick = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_bytes()
        except OSError:
            continue  # it has just ended
        # The command name stands in brackets and may hold anything, so fields are counted from the last one.
        fields = text[text.rindex(b")") + 2 :].split()
        if fields[0] in (b"Z", b"X"):
            continue
        cpu = sum(int(field) for field in fields[11:15]) / tick
        yield Process(
            int(entry.name), int(fields[1]), int(fields[2]), fields[19].decode(), cpu, int(fields[21]) * page
        )


def _from_ps() -> Iterator[Process]:
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,rss=,time=,lstart="]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return  # neither /proc nor ps: signals still reach the process groups
    listing = done.stdout.decode("utf-8", "replace")
    for line in listing.splitlines():
        fields = line.split(None, 6)
        if len(fields) == 7 and not fields[3].startswith("Z"):
            pid, parent, group, _, rss, cpu, start = fields
            yield Process(int(pid), int(parent), int(group), start.strip(), _seconds(cpu), int(rss) * 1024)


def _seconds(text: str) -> float:
    """``[[days-]hours:]minutes:seconds`` as ps prints a time."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part.replace(",", "."))
    return total + int(days or 0) * 86400


class HostUsage(NamedTuple):
    """CPU time counters of the whole host (any unit) and its memory in bytes."""

    busy: float
    total: float
    used_memory: int
    total_memory: int


def host_usage() -> Optional[HostUsage]:
    """The host's counters; None where there is no /proc."""
    try:
        with (PROC / "stat").open() as stream:
            ticks = [float(field) for field in stream.readline().split()[1:9]]
        lines = (PROC / "meminfo").read_text().splitlines()
    except OSError:
        return None
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    total = memory["MemTotal"]
    idle = ticks[3] + ticks[4]
    used = total - memory.get("MemAvailable", memory["MemFree"])
    return HostUsage(sum(ticks) - idle, sum(ticks), used, total)
