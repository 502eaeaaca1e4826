"""What users choose for a worker: one table for everything that takes these options.

Those are `torc run`, `torc remote run`, ``[client.run]`` of torc.toml, the role start_worker (a test compares its
files) and the command line that hosts have. Only the standard library and Python 3.8: workers on hosts have this too.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Optional

from .values import read_count, read_count_or_zero, read_directory, read_positive


class WorkerOptions(NamedTuple):
    """One worker's options; None: the worker finds out for itself."""

    output_dir: str = "torc_output"
    poll_interval: float = 5.0
    max_parallel_jobs: Optional[int] = None
    num_cpus: Optional[int] = None
    memory_gb: Optional[float] = None
    num_gpus: Optional[int] = None


class Declaration(NamedTuple):
    """How users give an option: its reader (a ValueError says what is wrong), its unit, its meaning, a short name."""

    read: Callable[[str], Any]
    unit: str
    meaning: str
    short: str = ""

    def flags(self, name: str) -> list[str]:
        """Its spellings on a command line, the long one last."""
        return [flag for flag in (self.short, "--" + name.replace("_", "-")) if flag]


DECLARATIONS: Mapping[str, Declaration] = {
    "output_dir": Declaration(read_directory, "DIR", "Directory for logs and job output", "-o"),
    "poll_interval": Declaration(
        read_positive, "SECONDS", "How often the worker polls for jobs, in seconds", "-p"
    ),
    "max_parallel_jobs": Declaration(read_count, "N", "Claim jobs by this number instead of by resources"),
    "num_cpus": Declaration(read_count, "N", "CPUs that the worker may use"),
    "memory_gb": Declaration(read_positive, "GB", "Memory that the worker may use, in GiB"),
    "num_gpus": Declaration(read_count_or_zero, "N", "GPUs that the worker may use"),
}
"""By the name that it has in WorkerOptions."""


def shown_default(name: str) -> str:
    """The default as help texts have it."""
    default = WorkerOptions._field_defaults[name]
    return "auto" if default is None else str(default)
