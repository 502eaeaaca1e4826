"""What the host has and what is free of it (torc wire 4.1)."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ...values import read_memory

GIB = 1024.0**3
_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
_MIN_MEMORY_GB = 0.1  # below this torc's worker does not ask for jobs


class Resources(NamedTuple):
    """What this worker may use: logical CPUs, GiB of memory, names of GPUs."""

    num_cpus: int
    memory_gb: float
    gpus: Tuple[str, ...] = ()


class Requirements(NamedTuple):
    """What one job needs; ``name`` is that of its record at the server."""

    name: str = "default"
    num_cpus: int = 1
    memory_bytes: int = 1024**2
    num_gpus: int = 0


def requirements_from_wire(record: Mapping[str, Any]) -> Requirements:
    """Requirements from a resource_requirements record; ValueError for an unreadable memory size."""
    return Requirements(
        str(record["name"]),
        int(record.get("num_cpus", 1)),
        read_memory(str(record.get("memory", "1m"))),
        int(record.get("num_gpus", 0)),
    )


def detect(
    environ: Mapping[str, str],
    num_cpus: Optional[int] = None,
    memory_gb: Optional[float] = None,
    num_gpus: Optional[int] = None,
) -> Resources:
    """The host's resources; the arguments override what is found."""
    if memory_gb is None:
        memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    return Resources(num_cpus or os.cpu_count() or 1, memory_gb, _gpus(environ, num_gpus))


def _gpus(environ: Mapping[str, str], num_gpus: Optional[int]) -> Tuple[str, ...]:
    for name in _GPU_VARIABLES:
        if name in environ:
            return tuple(gpu.strip() for gpu in environ[name].split(",") if gpu.strip())
    count = _count_gpus() if num_gpus is None else num_gpus
    return tuple(str(number) for number in range(count))


def _count_gpus() -> int:
    """The GPUs that nvidia-smi lists; 0 where it is missing or doesn't work."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith(b"GPU ") for line in listing.splitlines())


class Pool:
    """What of the resources is free. A job gets its share when it is claimed and gives it back at its end."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._taken: Dict[int, Tuple[Requirements, Tuple[str, ...]]] = {}

    @property
    def free_cpus(self) -> int:
        """CPUs that no job holds."""
        return self._resources.num_cpus - sum(need.num_cpus for need, _ in self._taken.values())

    @property
    def free_memory_gb(self) -> float:
        """GiB that no job holds."""
        return self._resources.memory_gb - sum(need.memory_bytes for need, _ in self._taken.values()) / GIB

    @property
    def free_gpus(self) -> List[str]:
        """Names of the GPUs that no job holds."""
        held = {gpu for _, gpus in self._taken.values() for gpu in gpus}
        return [gpu for gpu in self._resources.gpus if gpu not in held]

    @property
    def has_room(self) -> bool:
        """Whether asking the server for jobs makes sense."""
        return self.free_cpus > 0 and self.free_memory_gb >= _MIN_MEMORY_GB

    def reserve(self, job_id: int, need: Requirements) -> Tuple[str, ...]:
        """Take the job's share; the names of its GPUs."""
        gpus = tuple(self.free_gpus[: need.num_gpus])
        self._taken[job_id] = (need, gpus)
        return gpus

    def release(self, job_id: int) -> None:
        """Give the job's share back."""
        self._taken.pop(job_id, None)
