"""The resource monitor of a spec, in both spellings, as the object that goes on the wire (torc wire 2.3)."""

from typing import Any

from torc_remote.spec.fields import Fields
from torc_remote.spec.model import SpecError

SPELLINGS = ("resource_monitor", "resource_monitor_config")
_DEFAULT = {"enabled": True, "jobs": {"enabled": True, "granularity": "summary"}}


def read_monitor(workflow: Fields) -> dict[str, Any]:
    """The complete configuration; without one in the spec the jobs are measured in summary, as with torc."""
    given = [key for key in SPELLINGS if key in workflow]
    if len(given) > 1:
        raise SpecError(f"{workflow.where}: give 'resource_monitor' or 'resource_monitor_config', not both.")
    where = f"{workflow.where}: {given[0]}" if given else workflow.where
    known = (
        "enabled granularity sample_interval_seconds flush_interval_seconds generate_plots jobs compute_node"
    )
    fields = Fields(workflow.value[given[0]] if given else _DEFAULT, where, known)
    enabled = fields.flag("enabled", False)
    granularity = _granularity(fields)
    # `enabled` and `granularity` are the older spelling of `jobs`, which wins.
    jobs = fields.value.get("jobs") or {"enabled": enabled, "granularity": granularity}
    return {
        "enabled": enabled,
        "granularity": granularity,
        "sample_interval_seconds": _seconds(fields, "sample_interval_seconds", 10),
        "flush_interval_seconds": _seconds(fields, "flush_interval_seconds", 300),
        "generate_plots": fields.flag("generate_plots", False),
        "jobs": _scope(Fields(jobs, f"{where}.jobs", "enabled granularity")),
        "compute_node": _compute_node(fields),
    }


def _compute_node(fields: Fields) -> dict[str, Any] | None:
    if "compute_node" not in fields:
        return None
    known = (
        "enabled granularity sample_interval_seconds flush_interval_seconds generate_plots jobs compute_node"
    )
    node = Fields(fields.value["compute_node"], f"{fields.where}.compute_node", known)
    return _scope(node) | {"cpu": node.flag("cpu", True), "memory": node.flag("memory", True)}


def _scope(fields: Fields) -> dict[str, Any]:
    return {"enabled": fields.flag("enabled", False), "granularity": _granularity(fields)}


def _granularity(fields: Fields) -> str:
    if "granularity" not in fields:
        return "summary"
    return fields.text("granularity", "summary|time_series", "summary or time_series")


def _seconds(fields: Fields, key: str, default: int) -> int:
    return fields.integer(key, 1) if key in fields else default
