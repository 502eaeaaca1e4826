"""How the reports of `torc remote` look: lines, a table, or JSON."""

import re
import signal
from collections.abc import Callable, Sequence

import click

from torc_remote.cli.app import App
from torc_remote.cli.output import moment, print_json, say, table
from torc_remote.cli.remote.retry_file import keep_failed_hosts
from torc_remote.remote.report import HostResult, Report
from torc_remote.text import printable

Describe = Callable[[HostResult], str]

# SIGTERM is how `stop` ends a worker.
_CLEAN_ENDS: dict[int | None, str] = {0: "Finished", 128 + signal.SIGTERM: "Stopped"}
# torc's log lines begin with [time LEVEL module] (torc wire 4.4)
_LOG_PREFIX = re.compile(r"^\[\S+ +[A-Z]+ +\S+\] ")


def show(app: App, report: Report, describe: Describe, summary: str, advice: str = "") -> None:
    """One line a host: what went well on stdout, the rest on stderr; then the summary. JSON is all on stdout.

    ``advice`` follows on stderr. Leaves the command with the report's exit code.
    """
    if app.format == "json":
        print_json(report.as_json())
    else:
        for host in report.hosts:
            mark, text = ("OK", printable(describe(host))) if host.ok else ("FAILED", failure(host))
            say(f"  [{mark}] {host.host}: {text}", err=not host.ok)
        done = sum(host.ok and host.state != "absent" for host in report.hosts)
        click.echo(summary.format(f"{done}/{len(report.hosts)}"))
    if advice:
        say(advice, err=True)
    finish(report)


def lost_jobs(host: HostResult, whose: str = "", why: str = "") -> str:
    """What became of the jobs that a worker was running when it ended: the end of a sentence, or nothing."""
    ready, ended = (int(host.details.get(f"jobs_{what}", 0)) for what in ("requeued", "terminated"))
    parts = [
        f", {ready} job{whose} is ready again" if ready == 1 else f", {ready} jobs{whose} are ready again",
        f", {ended} job{whose} was terminated{why}"
        if ended == 1
        else f", {ended} jobs{whose} were terminated{why}",
    ]
    return "".join(part for part, number in zip(parts, (ready, ended), strict=True) if number)


def finish(report: Report) -> None:
    """Keep the list of the workers that failed, then leave."""
    keep_failed_hosts(report)
    leave(report)


def leave(report: Report) -> None:
    """End the command with the report's exit code."""
    click.get_current_context().exit(report.exit_code)


def failure(host: HostResult) -> str:
    """Why a host failed; the last lines of a dead worker's log are indented below."""
    if host.state == "not_deleted" and "archive" in host.details:
        return f"{host.reason}. The archive is {host.details['archive']}"
    if host.state != "died":
        return host.reason or host.state
    lines = [printable(line) for line in str(host.details.get("log", "")).splitlines()]
    if not lines:
        return f"{host.reason}. It left no log (exit code {host.details.get('exit_code', 'unknown')})."
    return "\n    ".join([f"{host.reason}. Last log:", *lines])


def show_problems(what: str, hosts: Sequence[HostResult]) -> None:
    """The contract's form for hosts that did not pass a check, on stderr; ``what`` ends with "failed for" or so."""
    say(f"Error: {what} {len(hosts)} worker(s):", err=True)
    for host in hosts:
        say(f"  {host.host}: {host.reason}", err=True)


def show_status(app: App, report: Report) -> None:
    """The table of `torc remote status`; exits with the report's code."""
    if app.format == "json":
        print_json(report.as_json())
    else:
        rows = [[host.host, status_text(host)] for host in report.hosts]
        indent = max(len(printable(name)) for name, _ in [("Host", ""), *rows]) + 2
        say(table(["Host", "Status"], rows, None), indent)
        running = sum(host.state == "running" for host in report.hosts)
        click.echo(f"{running}/{len(report.hosts)} workers running")
    finish(report)


def status_text(host: HostResult) -> str:
    """The contract's words first, then what else is known."""
    if not host.ok:
        return f"Unknown: {host.reason}"
    pid = host.details.get("pid")
    if host.state == "running":
        return f"Running (PID {pid}){_since(host)}"
    if host.state == "none":
        return "Not Running: never started here, or its logs were deleted"
    if host.state in ("stale", "foreign"):
        return f"Not Running: {host.reason}"
    code = host.details.get("exit_code")
    return _CLEAN_ENDS.get(code) or f"Not Running: {_ending(host, code)}"


def _since(host: HostResult) -> str:
    return f" since {moment(host.details['since'])}" if "since" in host.details else ""


def _ending(host: HostResult, code: int | None) -> str:
    last = _LOG_PREFIX.sub("", str(host.details.get("log", "")).strip())
    if code is None:
        ending = "ended, nobody saw how"
    elif code > 128:
        ending = f"ended by {_signal_name(code - 128)}"
    else:
        ending = f"exited with code {code}"
    return f"{ending}: {last}" if last else ending


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def readable_size(size: int) -> str:
    """Bytes in the unit that suits."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
