"""The file that lists the workers for which the last operation failed, for `--limit @FILE`."""

import os
import shlex
from pathlib import Path

from torc_remote.cli.output import say
from torc_remote.remote.report import Report


def keep_failed_hosts(report: Report) -> None:
    """Write the file when some hosts failed, and say on stderr how to use it; remove it when all is well."""
    path = _file(report)
    # nothing is wrong with the hosts for whose sake a run was refused
    no_failure = {"invalid", "not_started"} if report.refused else {"invalid"}
    failed = [host.worker for host in report.failed if host.state not in no_failure]
    try:
        if not failed:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text("".join(f"{worker}\n" for worker in failed))
        temporary.replace(path)
    except OSError as error:
        say(f"Warning: {path} could not be written: {error.strerror}.", err=True)
        return
    if len(failed) < len(report.hosts):
        say(_advice(report, len(failed), shlex.quote(f"@{path}")), err=True)


def _advice(report: Report, failed: int, file: str) -> str:
    """What to do next. The same for all hosts needs no words."""
    which = "this one" if failed == 1 else f"these {failed}"
    if report.refused:
        return (
            f"When what is wrong with {which} is mended, give the same command again: it starts the workers of all. "
            f"To do something for {which} alone, such as 'torc remote install', add:\n    --limit {file}"
        )
    return f"To do it again for {which} alone, add:\n    --limit {file}"


def _file(report: Report) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = f"failed-hosts-{report.workflow_id}-{report.workflow_key}"
    return Path(state).expanduser() / "torc-remote" / name
