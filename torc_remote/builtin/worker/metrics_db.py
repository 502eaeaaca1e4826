"""The time series file of torc wire 4.5.

It uses SQLite's default journal, not WAL: homes on NFS can't have WAL, and a copy of the file is complete
after each commit. Several workers of one host may share the file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job_resource_samples (job_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
  cpu_percent REAL NOT NULL, memory_bytes INTEGER NOT NULL, num_processes INTEGER NOT NULL,
  PRIMARY KEY (job_id, timestamp));
CREATE INDEX IF NOT EXISTS idx_job_resource_samples_job_id ON job_resource_samples(job_id);
CREATE TABLE IF NOT EXISTS job_metadata (job_id INTEGER PRIMARY KEY, job_name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS system_resource_samples (id INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL,
  cpu_percent REAL NOT NULL, memory_bytes INTEGER NOT NULL, total_memory_bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS system_resource_summary (id INTEGER PRIMARY KEY CHECK (id = 1),
  sample_count INTEGER NOT NULL, peak_cpu_percent REAL NOT NULL, avg_cpu_percent REAL NOT NULL,
  peak_memory_bytes INTEGER NOT NULL, avg_memory_bytes INTEGER NOT NULL);
"""

JobSample = Tuple[int, int, float, int, int]
"""job id, unix seconds, per cent of one core, bytes, processes"""
SystemSample = Tuple[int, float, int, int]
"""unix seconds, per cent of the host, bytes used, bytes of the host"""
Summary = Tuple[int, float, float, int, int]
"""samples, peak and average per cent of the host, peak and average bytes"""


class MetricsDb:
    """Rows are kept in memory and written by ``flush``. Raises OSError when that is impossible."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.jobs: Dict[int, str] = {}
        self.job_samples: List[JobSample] = []
        self.system_samples: List[SystemSample] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as database:
            database.executescript(_SCHEMA)

    def flush(self, summary: Optional[Summary] = None) -> None:
        """Write what has come together; ``summary`` of the host at the end."""
        with self._transaction() as database:
            database.executemany("INSERT OR REPLACE INTO job_metadata VALUES (?, ?)", self.jobs.items())
            database.executemany(
                "INSERT OR REPLACE INTO job_resource_samples VALUES (?, ?, ?, ?, ?)", self.job_samples
            )
            database.executemany(
                "INSERT INTO system_resource_samples"
                " (timestamp, cpu_percent, memory_bytes, total_memory_bytes) VALUES (?, ?, ?, ?)",
                self.system_samples,
            )
            if summary is not None:
                database.execute(
                    "INSERT OR REPLACE INTO system_resource_summary VALUES (1, ?, ?, ?, ?, ?)", summary
                )
        self.jobs.clear()
        self.job_samples.clear()
        self.system_samples.clear()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(str(self._path), timeout=20)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise OSError("{}: {}".format(self._path, error)) from error
