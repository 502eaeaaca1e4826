"""Compare the remote commands with torc's own, with pyinfra, and with the least that ssh can do.

    .venv/bin/python -m benchmarks.compare --hosts 100 --rounds 3

Every tool does the same operation in turn (A B A B …) on the same sandbox hosts, with the same server; each answer is
checked. Prints a Markdown table of medians and ratios, and writes all samples as JSON beside it with --json FILE.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.engine import CACHE
from benchmarks.measure import Sample, machine, median
from benchmarks.relay import far_away
from benchmarks.server import running_server
from benchmarks.tools import (
    Bench,
    Floor,
    NativeTorc,
    Pyinfra,
    TorcRemote,
    close_connections,
    kept_connections,
)
from benchmarks.workers import KINDS, install
from torc_remote import sandbox

OPERATIONS = ["run", "status", "status, warm", "collect-logs", "stop", "delete-logs"]
Samples = dict[str, dict[str, list[Sample]]]


def main() -> None:
    """Parse the options, measure, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="torc-bench.") as name:
        directory = Path(name)
        with (
            running_server(directory) as url,
            sandbox.start(options.hosts, directory / "hosts", sshd_config=options.sshd_config) as hosts,
            far_away(hosts, options.delay / 1000, directory)
            if options.delay
            else nullcontext(hosts.layout.ssh_config) as ssh_config,
        ):
            bench = Bench(hosts, url, directory, options.forks, ssh_config)
            install(hosts, options.worker, directory, options.native)
            try:
                samples = _measure(bench, options)
                kept = kept_connections(bench)
            finally:
                close_connections(bench)
    print(_table(samples, options))
    print(f"\n{len(kept)} connections are kept open; their ssh processes have {sum(kept):.0f} MiB of memory.")
    if options.json:
        options.json.write_text(json.dumps(_as_json(samples, options), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="that count; one more is for the memory alone")
    parser.add_argument("--forks", type=int, default=10, help="hosts at a time")
    parser.add_argument("--only", nargs="*", default=OPERATIONS, choices=OPERATIONS, metavar="OPERATION")
    parser.add_argument(
        "--sshd-config", default="", help="lines for sshd, such as 'KexAlgorithms curve25519-sha256'"
    )
    parser.add_argument("--delay", type=float, default=0, help="of the links, in ms in each direction")
    parser.add_argument("--worker", choices=[*KINDS, "native"], default="idle", help="what the hosts start")
    parser.add_argument(
        "--native", type=Path, default=CACHE / "torc", help="the native torc to compare with, if there is one"
    )
    parser.add_argument("--pyinfra", type=Path, help="the pyinfra to compare with")
    parser.add_argument("--json", type=Path, help="write all samples there")
    options = parser.parse_args()
    if not options.native.is_file():
        options.native = None
    if options.worker == "native" and not options.native:
        parser.error("there is no native torc; scripts/install-torc builds it")
    return options


def _measure(bench: Bench, options: argparse.Namespace) -> Samples:
    samples: Samples = {operation: {} for operation in OPERATIONS if operation in options.only}
    for number in range(options.rounds + 1):
        bench.watch = number == options.rounds
        for operation, tool, action in _turns(bench, options):
            sample = action()
            print(f"round {number + 1}: {operation}: {tool}: {sample.wall:.1f} s", file=sys.stderr)
            if operation in options.only:
                samples[operation].setdefault(tool, []).append(sample)
    return samples


def _turns(bench: Bench, options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], Sample]]]:
    """A round: each operation with each tool in turn, A B A B."""
    tools: list[TorcRemote | Floor | NativeTorc | Pyinfra] = [TorcRemote(bench), Floor(bench)]
    if options.native:
        tools.append(NativeTorc(bench, options.native))
    if options.pyinfra:
        tools.append(Pyinfra(bench, options.pyinfra.absolute()))
    last = max(OPERATIONS.index(operation) for operation in options.only)
    for operation in OPERATIONS[: last + 1]:
        for tool in tools:
            action = tool.operations().get(operation)
            # what is not asked for is needed all the same: nothing can be stopped that was not started
            if action and (operation in options.only or isinstance(tool, TorcRemote | NativeTorc)):
                yield operation, tool.name, action


def _table(samples: Samples, options: argparse.Namespace) -> str:
    floor = samples.get("status", {}).get(Floor.name, [])
    lines = [
        f"{options.hosts} hosts, {options.forks} parallel, medians of {options.rounds} rounds. {machine()}.",
        "",
        "| operation | tool | wall s | times ours | times floor | CPU s | memory MiB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for operation, tools in samples.items():
        ours = median(tools[TorcRemote.name]).wall
        for tool, runs in tools.items():
            middle = median(runs)
            against_floor = f"{middle.wall / median(floor).wall:.2f}" if floor else ""
            ratio = "" if tool == TorcRemote.name else f"{middle.wall / ours:.2f}"
            lines.append(
                f"| {operation} | {tool} | {middle.wall:.2f} | {ratio} | {against_floor} "
                f"| {middle.cpu:.1f} | {middle.memory or 0:.0f} |"
            )
    return "\n".join(lines)


def _as_json(samples: Samples, options: argparse.Namespace) -> dict[str, Any]:
    plain = {
        op: {tool: [asdict(s) for s in runs] for tool, runs in tools.items()} for op, tools in samples.items()
    }
    return {"machine": machine(), "options": {k: str(v) for k, v in vars(options).items()}, "samples": plain}


if __name__ == "__main__":
    main()
