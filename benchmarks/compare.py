"""Compare the remote commands with torc's own, with pyinfra, and with the least that ssh can do.

    .venv/bin/python -m benchmarks.compare --hosts 100 --rounds 3

Every tool does the same operation in turn (A B A B …) on the same sandbox hosts, with the same server; each answer is
checked. Prints a Markdown table of medians and ratios, and writes all samples as JSON beside it with --json FILE.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Sample, machine, median
from benchmarks.server import running_server
from benchmarks.tools import TORC, Bench, Floor, NativeTorc, Pyinfra, TorcRemote, close_connections
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
        ):
            bench = Bench(hosts, url, directory, options.forks, options.native)
            _install(bench)
            try:
                samples = _measure(bench, options.rounds, options.only)
            finally:
                close_connections(bench)
    print(_table(samples, options))
    if options.json:
        plain = {
            op: {tool: [asdict(s) for s in runs] for tool, runs in tools.items()}
            for op, tools in samples.items()
        }
        options.json.write_text(
            json.dumps({"machine": machine(), "hosts": options.hosts, "samples": plain}, indent=1)
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forks", type=int, default=10, help="hosts at a time")
    parser.add_argument("--only", nargs="*", default=OPERATIONS, choices=OPERATIONS, metavar="OPERATION")
    parser.add_argument(
        "--sshd-config", default="", help="lines for sshd, such as 'KexAlgorithms curve25519-sha256'"
    )
    parser.add_argument("--native", type=Path, default=_native(), help="the native torc to compare with")
    parser.add_argument("--json", type=Path, help="write all samples there")
    return parser.parse_args()


def _native() -> Path | None:
    cached = Path.home() / ".cache/torc-remote/torc-1.0.0/bin/torc"
    return cached if cached.exists() else None


def _install(bench: Bench) -> None:
    """Give the hosts a torc that both clients find and start: the native one if there is, else ours."""
    from torc_remote.builtin.worker.zipapp_builder import build_zipapp

    worker = bench.native
    if not worker:
        worker = bench.directory / "torc"
        build_zipapp(worker)
    for host in bench.sandbox.hosts:
        place = host.home / ".local/bin"
        place.mkdir(parents=True)
        (place / "torc").symlink_to(worker)
        # the native client looks on the PATH of a non-interactive shell alone
        (host.home / ".bashrc").write_text("PATH=$HOME/.local/bin:$PATH\n")


def _measure(bench: Bench, rounds: int, only: Sequence[str]) -> Samples:
    samples: Samples = {operation: {} for operation in OPERATIONS if operation in only}
    for number in range(rounds):
        tools: list[TorcRemote | Floor | NativeTorc | Pyinfra] = [TorcRemote(bench), Floor(bench)]
        if bench.native:
            tools.append(NativeTorc(bench, bench.native))
        if shutil.which(TORC.with_name("pyinfra")):
            tools.append(Pyinfra(bench))
        for operation in OPERATIONS:
            for tool in tools:
                action = tool.operations().get(operation)
                # what is not asked for is needed all the same: nothing can be stopped that was not started
                if action and (operation in only or isinstance(tool, TorcRemote | NativeTorc)):
                    sample = action()
                    print(
                        f"round {number + 1}: {operation}: {tool.name}: {sample.wall:.1f} s", file=sys.stderr
                    )
                    if operation in only:
                        samples[operation].setdefault(tool.name, []).append(sample)
    return samples


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
                f"| {middle.cpu:.1f} | {middle.memory:.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
