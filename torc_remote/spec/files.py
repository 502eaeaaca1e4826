"""Files of a workflow: the tokens in commands that name them, and the order of jobs that they imply."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torc_remote.spec.model import JobSpec

_TOKEN = re.compile(r"\$\{files\.(input|output)\.([^}]+)\}")


def resolve_tokens(job: JobSpec, paths: Mapping[str, str]) -> JobSpec:
    """The job with ``${files.input.NAME}`` and ``${files.output.NAME}`` replaced by paths (torc wire 2.2).

    Those of the command replace the job's list of input or output files; those of the invocation script are
    added. A name that is no file stays as it is.
    """
    command, inputs, outputs = _resolve(job.command, paths)
    job = replace(
        job,
        command=command,
        input_files=inputs or job.input_files,
        output_files=outputs or job.output_files,
    )
    if job.invocation_script is None:
        return job
    script, inputs, outputs = _resolve(job.invocation_script, paths)
    return replace(
        job,
        invocation_script=script,
        input_files=_unique((*job.input_files, *inputs)),
        output_files=_unique((*job.output_files, *outputs)),
    )


def implied_dependencies(jobs: Iterable[JobSpec]) -> dict[str, tuple[str, ...]]:
    """The jobs that each job waits for because they make its input files; the server finds the same."""
    jobs = list(jobs)
    makers: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        for file in job.output_files:
            makers[file].append(job.name)
    return {job.name: tuple(name for file in job.input_files for name in makers[file]) for job in jobs}


def _resolve(text: str, paths: Mapping[str, str]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The text, and the names of input and output files in it."""
    found = [(match[1], match[2]) for match in _TOKEN.finditer(text) if match[2] in paths]
    inputs, outputs = (_unique(name for kind, name in found if kind == way) for way in ("input", "output"))
    return _TOKEN.sub(lambda match: paths.get(match[2], match[0]), text), inputs, outputs


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
