"""Workflow spec files: read and check them (load), and make workflows of them on a server (create)."""

from torc_remote.spec.create import create_workflow
from torc_remote.spec.load import load_spec, parse_spec, read_spec
from torc_remote.spec.model import (
    FileSpec,
    JobSpec,
    ResourceRequirements,
    SpecError,
    UnsupportedSpecError,
    WorkflowSpec,
)

__all__ = [
    "FileSpec",
    "JobSpec",
    "ResourceRequirements",
    "SpecError",
    "UnsupportedSpecError",
    "WorkflowSpec",
    "create_workflow",
    "load_spec",
    "parse_spec",
    "read_spec",
]
