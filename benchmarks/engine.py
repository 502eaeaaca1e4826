"""How fast the built-in server and worker are, side by side with torc-server and the native worker.

Prints a Markdown table. Without the native programs (scripts/install-torc builds them) only ours is measured.

    python -m benchmarks.engine [--torc-bin DIR] [--only diamond,many,reads,claims] [--ready 100000] [--clients 50]
"""

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import claims

CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torc-remote" / "torc-1.0.0" / "bin"
)
OURS = Path(sys.executable).with_name("torc")
POLLING_WORKERS = 20
MANY_JOBS = 1000
READ_SECONDS = 10.0

Job = dict[str, Any]


@dataclass(frozen=True)
class Engine:
    """One server and worker: the commands that start them."""

    name: str
    torc: Path
    server: tuple[str | Path, ...]

    @contextmanager
    def serving(self, directory: Path) -> Iterator["Served"]:
        """Its server, with a new database and otherwise with its defaults."""
        out = directory / "server.out"
        command = [*self.server, "--port", "0", "--database", directory / "torc.db"]
        with out.open("wb") as stdout, (directory / "server.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=directory, env=environment(), stdout=stdout, stderr=log)
        try:
            while not (found := re.search(r"^TORC_SERVER_PORT=(\d+)$", out.read_text(), re.MULTILINE)):
                if process.poll() is not None:
                    sys.exit(f"{self.name} left: {(directory / 'server.log').read_text()}")
                time.sleep(0.02)
            yield Served(self, f"http://127.0.0.1:{found[1]}/torc-service/v1", directory)
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Served:
    """An engine whose server runs."""

    engine: Engine
    url: str
    directory: Path

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; the decoded answer."""
        parts = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        payload = None if body is None else json.dumps(body)
        connection.request(method, parts.path + path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def torc(self, *words: str | int | Path) -> str:
        """Run the engine's `torc`; its stdout."""
        command = [str(self.engine.torc), *map(str, words)]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            cwd=self.directory,
            env=environment(self.url),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{command} failed: {done.stderr}")
        return done.stdout

    def write_spec(self, jobs: list[Job], **keys: object) -> str:
        """A workflow spec of these jobs; its name in the directory."""
        spec = self.directory / "workflow.json"
        spec.write_text(json.dumps({"name": "benchmark", "jobs": jobs, **keys}))
        return spec.name

    def create(self, jobs: list[Job], **keys: object) -> int:
        """Create a workflow; its ID."""
        return int(
            json.loads(self.torc("-f", "json", "create", self.write_spec(jobs, **keys)))["workflow_id"]
        )

    @contextmanager
    def worker(self, number: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """One worker that runs in the background."""
        command = [str(self.engine.torc), "run", str(number), *options]
        process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=environment(self.url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def environment(url: str = "") -> dict[str, str]:
    """Ours without torc's variables, so that no configuration but the defaults counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    return {**kept, "TORC_USERNAME": "benchmark", **({"TORC_API_URL": url} if url else {})}


def diamond(served: Served) -> float:
    """Seconds for `torc run SPEC` of four jobs, three of them one after the other, a second each."""
    jobs: list[Job] = [
        {"name": "prepare", "command": "sleep 1"},
        {"name": "left", "command": "sleep 1", "depends_on": ["prepare"]},
        {"name": "right", "command": "sleep 1", "depends_on": ["prepare"]},
        {"name": "join", "command": "sleep 1", "depends_on": ["left", "right"]},
    ]
    spec = served.write_spec(jobs)
    start = time.monotonic()
    served.torc("run", spec)
    seconds = time.monotonic() - start
    (workflow,) = served.call("GET", "/workflows")["items"]
    check_complete(served, workflow["id"], len(jobs))
    return seconds


def many(served: Served) -> float:
    """Seconds for one worker with four slots to run a thousand jobs that do nothing, from its start to its end.

    Without resource monitoring: with it the native worker takes 0.1 s longer for each job, whatever it does.
    """
    jobs: list[Job] = [{"name": f"job{n}", "command": "true"} for n in range(MANY_JOBS)]
    number = served.create(jobs, resource_monitor={"enabled": False})
    served.torc("workflows", "init", number, "--no-prompts")
    start = time.monotonic()
    served.torc("run", number, "--max-parallel-jobs", 4)
    seconds = time.monotonic() - start
    check_complete(served, number, MANY_JOBS)
    return seconds


def reads(served: Served) -> float:
    """The 95th percentile, in milliseconds, of what a reader waits for while twenty workers poll every second."""
    number = served.create([{"name": "hold", "command": "sleep 600"}])
    served.torc("workflows", "init", number, "--no-prompts")
    with ExitStack() as stack:
        for _ in range(POLLING_WORKERS):
            stack.enter_context(served.worker(number, "-p", "1"))
        while (
            len(served.call("GET", f"/compute_nodes?workflow_id={number}&is_active=true")["items"])
            < POLLING_WORKERS
        ):
            time.sleep(0.1)
        time.sleep(1)
        samples = read_for(served, number, READ_SECONDS)
        served.call("PUT", f"/workflows/{number}/cancel")
    return statistics.quantiles(samples, n=20)[-1] * 1000


def read_for(served: Served, number: int, seconds: float) -> list[float]:
    """How long each read took."""
    paths = [f"/workflows/{number}/status", f"/jobs?workflow_id={number}", f"/results?workflow_id={number}"]
    samples = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in paths:
            start = time.monotonic()
            served.call("GET", path)
            samples.append(time.monotonic() - start)
        time.sleep(0.01)
    return samples


def check_complete(served: Served, number: int, jobs: int) -> None:
    """A run that did not do its work is no measurement."""
    status = served.call("GET", f"/workflows/{number}/status")
    if status["jobs_by_status"]["completed"] != jobs:
        sys.exit(f"{served.engine.name} did not complete workflow {number}: {status['jobs_by_status']}")


@dataclass(frozen=True)
class Figure:
    """One row of the table: what it is, in which unit, and whether ours, given torc's if that is known, is good."""

    what: str
    unit: str
    goal: str
    reached: Callable[[float, float | None], bool]


@dataclass(frozen=True)
class Measure:
    """What is measured in one go: its figures, and how they are taken."""

    figures: tuple[Figure, ...]
    take: Callable[[Served], Sequence[float]]


def measures(ready: int, clients: int) -> dict[str, Measure]:
    """By name; `ready` jobs and `clients` for the measure of claims."""
    load = f"{clients} clients that claim {claims.AT_ONCE}, start and complete each, {ready:,} jobs ready"
    return {
        "diamond": Measure(
            (
                Figure(
                    "4-job diamond with 3 s of work, `torc run SPEC`",
                    "s",
                    "at most 4 s",
                    lambda ours, torc: ours <= 4,
                ),
            ),
            lambda served: [diamond(served)],
        ),
        "many": Measure(
            (
                Figure(
                    f"{MANY_JOBS} jobs of `true`, 4 slots, one worker",
                    "s",
                    "at most 1.5 times torc's",
                    lambda ours, torc: torc is None or ours <= 1.5 * torc,
                ),
            ),
            lambda served: [many(served)],
        ),
        "reads": Measure(
            (
                Figure(
                    f"95 % of reads while {POLLING_WORKERS} workers poll every second",
                    "ms",
                    "at most 50 ms",
                    lambda ours, torc: ours <= 50,
                ),
            ),
            lambda served: [reads(served)],
        ),
        "claims": Measure(
            (
                Figure(load, "jobs/s", "at least 400 jobs/s", lambda ours, torc: ours >= 400),
                Figure("the median claim of these", "ms", "at most 50 ms", lambda ours, torc: ours <= 50),
            ),
            lambda served: claims.measure(served.url, ready, clients),
        ),
    }


def main() -> int:
    """Measure, print the table; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--torc-bin", type=Path, default=CACHE, help="where torc and torc-server are")
    parser.add_argument("--only", help="measures, separated by commas: diamond, many, reads, claims")
    parser.add_argument("--ready", type=int, default=100_000, help="jobs for claims")
    parser.add_argument("--clients", type=int, default=50, help="clients for claims")
    options = parser.parse_args()
    ours = Engine("built-in", OURS, (OURS, "server", "run"))
    native = Engine(
        "torc 1.0",
        options.torc_bin / "torc",
        (options.torc_bin / "torc-server", "run", "--host", "127.0.0.1"),
    )
    missed = False
    print(f"On {os.cpu_count()} CPUs:\n")
    print("| measure | goal | built-in | torc 1.0 | ratio | |")
    print("|---|---|---|---|---|---|")
    known = measures(options.ready, options.clients)
    for measure in (known[name] for name in (options.only or ",".join(known)).split(",")):
        mine = take(measure, ours)
        theirs: Sequence[float | None] = [None] * len(mine)
        if native.torc.exists():
            theirs = take(measure, native)
        for row in zip(measure.figures, mine, theirs, strict=True):
            missed |= not show(*row)
    return int(missed)


def show(figure: Figure, mine: float, theirs: float | None) -> bool:
    """Print a row; whether its goal is reached."""
    reached = figure.reached(mine, theirs)
    other = "-" if theirs is None else f"{theirs:.1f} {figure.unit}"
    ratio = "-" if theirs is None else f"{mine / theirs:.2f}"
    verdict = "reached" if reached else "MISSED"
    print(
        f"| {figure.what} | {figure.goal} | {mine:.1f} {figure.unit} | {other} | {ratio} | {verdict} |",
        flush=True,
    )
    return reached


def take(measure: Measure, engine: Engine) -> Sequence[float]:
    """The figures of one measure, on a server and in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory, engine.serving(Path(directory)) as served:
        return measure.take(served)


if __name__ == "__main__":
    sys.exit(main())
