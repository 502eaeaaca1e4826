"""Collecting big logs, against scp of the same bytes.

    .venv/bin/python -m benchmarks.big_logs --hosts 20 --size 100

Both bring everything from all hosts, as many at a time, over connections that are not yet open. The logs are lines
such as programs write; with --random they can't be compressed, the worst case for packing. Prints a Markdown table.
"""

import argparse
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import CommandFailedError, Sample, machine, median
from benchmarks.server import running_server
from benchmarks.tools import TORC, Bench, close_connections
from torc_remote import sandbox

MIB = 1024 * 1024


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(prog="benchmarks.big_logs", description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--size", type=int, default=100, help="MiB on each host")
    parser.add_argument("--rounds", type=int, default=3, help="that count; one more is for the memory alone")
    parser.add_argument("--forks", type=int, default=10, help="hosts at a time")
    parser.add_argument("--random", action="store_true", help="bytes that can't be compressed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torc-bench.") as name:
        directory = Path(name)
        with (
            running_server(directory) as url,
            sandbox.start(options.hosts, directory / "hosts") as hosts,
        ):
            bench = Bench(hosts, url, directory, options.forks, hosts.layout.ssh_config)
            number = bench.new_workflow()
            _write_logs(bench, number, options.size * MIB, options.random)
            ways = {"torc-remote": lambda: _collect(bench, number), "scp": lambda: _scp(bench)}
            samples: dict[str, list[Sample]] = {way: [] for way in ways}
            for turn in range(options.rounds + 1):
                bench.watch = turn == options.rounds
                for way, action in ways.items():
                    samples[way].append(_timed(bench, action))
                    print(f"round {turn + 1}: {way}: {samples[way][-1].wall:.1f} s", file=sys.stderr)
    _print(samples, options)


def _write_logs(bench: Bench, number: str, size: int, incompressible: bool) -> None:
    source = bench.directory / "log"
    chance = random.Random(1)  # noqa: S311 - the same logs each time
    with source.open("wb") as file:
        while file.tell() < size:
            file.write(chance.randbytes(MIB) if incompressible else _lines(chance))
    for host in bench.sandbox.hosts:
        logs = host.home / "torc_output/job_stdio"
        logs.mkdir(parents=True)
        shutil.copyfile(source, logs / f"job_wf{number}_j1_r1_a1.o")
    source.unlink()


def _lines(chance: random.Random) -> bytes:
    steps = (
        f"{time.strftime('%FT%TZ', time.gmtime(1.7e9 + step))} INFO  solver: iteration {step} residual "
        f"{chance.random():.6e} energy {chance.gauss(-4.2, 0.1):.9f} cells {chance.randrange(10**6)}\n"
        for step in range(10000)
    )
    return "".join(steps).encode()


def _timed(bench: Bench, action: Callable[[], Sample]) -> Sample:
    close_connections(bench)
    target = bench.directory / "here"
    target.mkdir()
    sample = action()
    shutil.rmtree(target)
    return sample


def _collect(bench: Bench, number: str) -> Sample:
    forks = ["--max-parallel-ssh", str(bench.forks)]
    where = ["-l", str(bench.directory / "here"), "--host-timeout", "600"]
    sample, output = bench.run([TORC, "remote", "collect-logs", number, *where, *forks])
    total = len(bench.hosts)
    if f"Logs of {total}/{total} workers collected" not in output:
        raise CommandFailedError(output)
    return sample


def _scp(bench: Bench) -> Sample:
    scp = shlex.join(["scp", "-q", "-r", "-o", "BatchMode=yes", *bench.ssh_options()])
    homes = bench.sandbox.hosts[0].home.parent
    each = f"{scp} @:{homes}/@/torc_output here/@"
    script = f"printf '%s\\n' {' '.join(bench.hosts)} | xargs -P{bench.forks} -I@ {each}"
    sample, _ = bench.run(["sh", "-c", script])
    return sample


def _print(samples: dict[str, list[Sample]], options: argparse.Namespace) -> None:
    kind = "random bytes" if options.random else "lines of text"
    print(
        f"{options.hosts} hosts with {options.size} MiB of {kind} each, {options.forks} parallel, "
        f"medians of {options.rounds} rounds. {machine()}.\n"
    )
    print("| way | wall s | times scp | CPU s | memory MiB |\n|---|---:|---:|---:|---:|")
    base = median(samples["scp"]).wall
    for way, runs in samples.items():
        middle = median(runs)
        print(
            f"| {way} | {middle.wall:.1f} | {middle.wall / base:.2f} | {middle.cpu:.1f} | {middle.memory or 0:.0f} |"
        )


if __name__ == "__main__":
    main()
