"""What a workflow spec says, checked and complete (torc wire 2)."""

from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from torc_remote.errors import TorcError


class SpecError(TorcError):
    """A spec that can't be used; the text names the source and the place in it."""


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
class JobSpec:
    """One job; ``depends_on`` and ``resource_requirements`` are names within the spec."""

    name: str
    command: str
    env: dict[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    resource_requirements: str | None = None
    cancel_on_blocking_job_failure: bool = True


@dataclass(frozen=True)
class WorkflowSpec:
    """A whole workflow. ``resource_monitor`` is the object that goes on the wire, None for no monitoring."""

    name: str
    jobs: tuple[JobSpec, ...]
    description: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    resource_requirements: tuple[ResourceRequirements, ...] = ()
    resource_monitor: dict[str, Any] | None = None
    compute_node_wait_for_new_jobs_seconds: int | None = None

    def without_monitoring(self) -> "WorkflowSpec":
        """The same workflow whose jobs are not measured."""
        return replace(self, resource_monitor=None)

    def levels(self) -> list[list[JobSpec]]:
        """The jobs by dependency level, in the order of the spec; dependencies are in earlier levels.

        Raises SpecError on a cycle, naming the jobs in it.
        """
        sorter = TopologicalSorter({job.name: job.depends_on for job in self.jobs})
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise SpecError(f"these jobs wait for each other in a circle (depends_on): {circle}.") from error
        levels: list[list[JobSpec]] = []
        order = {job.name: number for number, job in enumerate(self.jobs)}
        while sorter.is_active():
            names = sorted(sorter.get_ready(), key=order.__getitem__)
            levels.append([self.jobs[order[name]] for name in names])
            sorter.done(*names)
        return levels
