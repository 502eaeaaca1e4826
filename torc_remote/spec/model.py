"""What a workflow spec says, checked and complete (torc wire 2)."""

from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any

from torc_remote.errors import TorcError


class SpecError(TorcError):
    """A spec that can't be used; the text names the source and the place in it."""


class UnsupportedSpecError(SpecError):
    """A spec that asks for what torc has and we don't; ``what`` says what, and where in the spec."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not supported here; torc-server and the native 'torc create' do it.")


@dataclass(frozen=True)
class ResourceRequirements:
    """What a job needs: ``memory`` as in "100m" or "2g" (1024-based), ``runtime`` as ISO 8601 duration."""

    name: str
    num_cpus: int
    memory: str
    num_gpus: int = 0
    num_nodes: int = 1
    runtime: str = "PT1H"


@dataclass(frozen=True)
class FileSpec:
    """A file that jobs read or write; ``st_mtime`` in seconds since 1970, if the spec says it."""

    name: str
    path: str
    st_mtime: float | None = None


@dataclass(frozen=True)
class JobSpec:
    """One job; what it depends on, needs, reads and writes is given by names within the spec."""

    name: str
    command: str
    env: dict[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    resource_requirements: str | None = None
    cancel_on_blocking_job_failure: bool = True
    invocation_script: str | None = None
    input_files: tuple[str, ...] = ()
    output_files: tuple[str, ...] = ()
    priority: int | None = None


@dataclass(frozen=True)
class WorkflowSpec:
    """A whole workflow. ``resource_monitor`` is the object that goes on the wire, None for no monitoring."""

    name: str
    jobs: tuple[JobSpec, ...]
    description: str | None = None
    project: str | None = None
    metadata: dict[str, Any] | None = None
    env: dict[str, str] = field(default_factory=dict)
    resource_requirements: tuple[ResourceRequirements, ...] = ()
    files: tuple[FileSpec, ...] = ()
    resource_monitor: dict[str, Any] | None = None
    compute_node_wait_for_new_jobs_seconds: int | None = None

    def without_monitoring(self) -> "WorkflowSpec":
        """The same workflow whose jobs are not measured."""
        return replace(self, resource_monitor=None)

    def levels(self) -> list[list[JobSpec]]:
        """The jobs by level of depends_on, in the order of the spec; dependencies are in earlier levels."""
        sorter = TopologicalSorter({job.name: job.depends_on for job in self.jobs})
        sorter.prepare()
        levels: list[list[JobSpec]] = []
        order = {job.name: number for number, job in enumerate(self.jobs)}
        while sorter.is_active():
            names = sorted(sorter.get_ready(), key=order.__getitem__)
            levels.append([self.jobs[order[name]] for name in names])
            sorter.done(*names)
        return levels
