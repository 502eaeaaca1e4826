"""What collect-logs and delete-logs say of each host and of all."""

from typing import Any

import pytest

from torc_remote.cli.remote.logs import _collected, _describe_deleted
from torc_remote.remote.report import HostResult, Report


def host(state: str, **details: Any) -> HostResult:
    return HostResult("h", "h", state, state != "not_deleted", "", details)


HOSTS = [
    host("collected", archive="a", deleted=True),
    host("unchanged", archive="b", deleted=True),
    host("not_deleted", archive="c"),
    host("incomplete", archive="d"),
    host("absent"),
]


def test_what_is_here_counts_as_collected_although_it_was_not_deleted() -> None:
    report = Report("collect-logs", 42, HOSTS)
    assert _collected(report, delete=False) == "Logs of 3/5 workers collected"
    assert _collected(report, delete=True) == "Logs of 3/5 workers collected, of 2/5 deleted"


@pytest.mark.parametrize(("more", "ending"), [({}, "a, b"), ({"kept_more": 3}, "a, b and 3 more")])
def test_what_was_left_is_counted(more: dict[str, int], ending: str) -> None:
    said = _describe_deleted(host("deleted", removed="7 files in /out", kept="a\nb", **more))
    assert said == f"Deleted 7 files in /out. Left there, not made by this workflow: {ending}"
