"""Whether the parts of a spec fit together: names that exist, each once, and no job that waits for itself."""

from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

from torc_remote.spec.files import implied_dependencies
from torc_remote.spec.model import JobSpec, SpecError, WorkflowSpec


def check(spec: WorkflowSpec) -> None:
    """Raise SpecError, without the source, for the first fault."""
    jobs = _unique("job", (job.name for job in spec.jobs))
    files = _unique("file", (file.name for file in spec.files))
    requirements = _unique("resource_requirements", (item.name for item in spec.resource_requirements))
    for job in spec.jobs:
        _refuse_unknown(job, "depends on", job.depends_on, jobs, "is no job of this spec")
        _refuse_unknown(job, "reads", job.input_files, files, "is no file of this spec")
        _refuse_unknown(job, "writes", job.output_files, files, "is no file of this spec")
        needed = [job.resource_requirements] if job.resource_requirements is not None else []
        _refuse_unknown(
            job, "names the resource_requirements", needed, requirements, "this spec does not define"
        )
    _refuse_circles(spec)


def _refuse_unknown(
    job: JobSpec, verb: str, names: Iterable[str], known: Collection[str], fault: str
) -> None:
    if missing := [name for name in names if name not in known]:
        raise SpecError(f"job '{job.name}' {verb} '{missing[0]}', which {fault}.")


def _refuse_circles(spec: WorkflowSpec) -> None:
    implied = implied_dependencies(spec.jobs)
    graph = {job.name: (*job.depends_on, *implied[job.name]) for job in spec.jobs}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise SpecError(
            f"these jobs wait for each other in a circle (by depends_on or by files): {circle}."
        ) from error


def _unique(kind: str, names: Iterable[str]) -> set[str]:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise SpecError(
                f"two {kind} entries have the name '{name}'; "
                "with parameters, all of them have to be part of the name."
            )
        seen.add(name)
    return seen
