"""Resource monitoring of the jobs and the host in a thread of its own (torc wire 2.3, 4.5)."""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, NamedTuple, Optional, Tuple

from . import processes
from .api import JSON
from .job import RunningJob

if TYPE_CHECKING:
    from .metrics_db import MetricsDb

log = logging.getLogger("torc.worker")

TIME_SERIES = "time_series"


class MonitorConfig(NamedTuple):
    """Granularities (``summary``, ``time_series``; None = not monitored) and times in seconds."""

    jobs: Optional[str] = None
    node: Optional[str] = None
    node_cpu: bool = True
    node_memory: bool = True
    sample_seconds: float = 10.0
    flush_seconds: float = 300.0


def monitor_config(wire: Optional[Mapping[str, Any]]) -> MonitorConfig:
    """The workflow's ``resource_monitor_config``. Without ``jobs`` its older form holds for the jobs:
    ``enabled`` and ``granularity`` of the whole."""
    wire = wire or {}
    jobs = wire.get("jobs") or wire
    node = wire.get("compute_node") or {}
    return MonitorConfig(
        _granularity(jobs),
        _granularity(node),
        bool(node.get("cpu", True)),
        bool(node.get("memory", True)),
        max(0.1, float(wire.get("sample_interval_seconds") or 10)),
        max(0.1, float(wire.get("flush_interval_seconds") or 300)),
    )


def _granularity(part: Mapping[str, Any]) -> Optional[str]:
    return str(part.get("granularity") or "summary").lower() if part.get("enabled") else None


class Usage:
    """Peak and average of the samples of one job or of the host."""

    def __init__(self) -> None:
        self.count = 0
        self._cpu_sum = self._cpu_peak = 0.0
        self._memory_sum = self._memory_peak = 0

    def add(self, cpu_percent: float, memory_bytes: int) -> None:
        """Take one sample in."""
        self.count += 1
        self._cpu_sum += cpu_percent
        self._cpu_peak = max(self._cpu_peak, cpu_percent)
        self._memory_sum += memory_bytes
        self._memory_peak = max(self._memory_peak, memory_bytes)

    def as_wire(self) -> JSON:
        """The four fields of a result; zeros without a sample."""
        samples = max(1, self.count)
        return {
            "peak_memory_bytes": self._memory_peak,
            "avg_memory_bytes": self._memory_sum // samples,
            "peak_cpu_percent": self._cpu_peak,
            "avg_cpu_percent": self._cpu_sum / samples,
        }


NO_USAGE = Usage().as_wire()


class _Watched:
    """A job under observation: when its next sample is due and the CPU time at the last one."""

    def __init__(self, job: RunningJob, now: float, interval: float) -> None:
        self.job = job
        self.usage = Usage()
        self.due = now + interval
        self._cpu_seconds = 0.0
        self._at = now

    def measure(self, table: processes.Table, now: float) -> Tuple[float, int, int]:
        """Take a sample: per cent of one core since the last one, bytes, number of processes."""
        members = processes.tree(table, self.job.process.pid)
        cpu_seconds = sum(member.cpu_seconds for member in members)
        percent = max(0.0, 100 * (cpu_seconds - self._cpu_seconds) / max(now - self._at, 0.001))
        memory = sum(member.rss for member in members)
        self._cpu_seconds, self._at = cpu_seconds, now
        if members:
            self.usage.add(percent, memory)
        return percent, memory, len(members)


class Monitor:
    """The thread that samples. ``enforce_memory``: a job that is seen above its memory is killed."""

    def __init__(self, config: MonitorConfig, database: Path, enforce_memory: bool) -> None:
        self._config = config
        self._path = database
        self._enforce_memory = enforce_memory
        self._watched: Dict[int, _Watched] = {}
        self._node = Usage()
        self._node_due = time.monotonic() + config.sample_seconds
        self._host = processes.host_usage() if config.node else None
        self._end = threading.Event()
        self._thread: Optional[threading.Thread] = None
        if config.jobs or config.node:
            self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
            self._thread.start()

    def watch(self, job: RunningJob) -> None:
        """Sample this job from now on."""
        if self._config.jobs:
            self._watched[job.id] = _Watched(job, time.monotonic(), self._config.sample_seconds)

    def forget(self, job_id: int) -> JSON:
        """The job has ended: its usage, for the result."""
        watched = self._watched.pop(job_id, None)
        return watched.usage.as_wire() if watched else NO_USAGE

    def stop(self) -> JSON:
        """End the thread, write what is left; the host's usage, for the compute node's record."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if not self._config.node:
            return {}
        fields = self._node.as_wire()
        wanted = {"cpu": self._config.node_cpu, "memory": self._config.node_memory}
        kept = {name: value for name, value in fields.items() if wanted[name.split("_")[1]]}
        return dict(kept, sample_count=self._node.count)

    def _run(self) -> None:
        database = self._open_database()
        flush_at = time.monotonic() + self._config.flush_seconds
        while not self._end.wait(self._pause()):
            now = time.monotonic()
            self._sample_jobs(database, now)
            self._sample_node(database, now)
            if now >= flush_at:
                self._flush(database)
                flush_at = now + self._config.flush_seconds
        self._flush(database, at_end=True)

    def _pause(self) -> float:
        due = [watched.due for watched in list(self._watched.values())]
        if self._host is not None:
            due.append(self._node_due)
        # A job that is watched meanwhile is due after one interval at the earliest.
        pause = min(due, default=float("inf")) - time.monotonic()
        return min(max(pause, 0.02), self._config.sample_seconds)

    def _sample_jobs(self, database: Optional[MetricsDb], now: float) -> None:
        due = [watched for watched in list(self._watched.values()) if watched.due <= now]
        table = processes.snapshot() if due else {}
        for watched in due:
            percent, memory, count = watched.measure(table, now)
            watched.due = max(watched.due + self._config.sample_seconds, now)
            job = watched.job
            if count and database is not None and self._config.jobs == TIME_SERIES:
                database.jobs[job.id] = str(job.job["name"])
                database.job_samples.append((job.id, int(time.time()), percent, memory, count))
            self._limit(job, memory)

    def _limit(self, job: RunningJob, memory: int) -> None:
        # A job without requirements of its own has the server's nominal 1 MiB, which nobody means.
        limited = self._enforce_memory and job.need.name != "default"
        if limited and memory > job.need.memory_bytes and not job.out_of_memory:
            log.warning(
                "OOM: killing job job_id=%s memory_bytes=%s limit=%s", job.id, memory, job.need.memory_bytes
            )
            job.out_of_memory = True
            job.signal(signal.SIGKILL)

    def _sample_node(self, database: Optional[MetricsDb], now: float) -> None:
        if self._host is None or now < self._node_due:
            return
        host = processes.host_usage() or self._host
        self._node_due = max(self._node_due + self._config.sample_seconds, now)
        percent = 100 * (host.busy - self._host.busy) / max(host.total - self._host.total, 1)
        self._host = host
        self._node.add(percent, host.used_memory)
        if database is not None and self._config.node == TIME_SERIES:
            database.system_samples.append((int(time.time()), percent, host.used_memory, host.total_memory))

    def _open_database(self) -> Optional[MetricsDb]:
        if TIME_SERIES not in (self._config.jobs, self._config.node):
            return None
        try:
            from .metrics_db import MetricsDb  # some systems package Python without SQLite

            return MetricsDb(self._path)
        except (ImportError, OSError) as error:
            log.warning("No time series of resources: %s", error)
            return None

    def _flush(self, database: Optional[MetricsDb], at_end: bool = False) -> None:
        summary = None
        if at_end and self._node.count:
            usage = self._node.as_wire()
            summary = (
                self._node.count,
                usage["peak_cpu_percent"],
                usage["avg_cpu_percent"],
                usage["peak_memory_bytes"],
                usage["avg_memory_bytes"],
            )
        try:
            if database is not None:
                database.flush(summary)
        except OSError as error:
            log.warning("Cannot write the time series of resources: %s", error)
