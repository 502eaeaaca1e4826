"""Where the time of a status goes: start-up, forks, the hosts' processes, the end.

    .venv/bin/python -m benchmarks.profile --hosts 100

Of `torc remote status`, which asks all hosts from one task, and of a play with the same role, which has a task for each
host. Ansible is watched from inside (hooks/sitecustomize.py), over connections that are open. Prints Markdown tables.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import machine
from benchmarks.server import running_server
from benchmarks.tools import RUN_OPTIONS, TORC, Bench, close_connections
from benchmarks.workers import install
from torc_remote import sandbox

Notes = dict[str, list[dict[str, Any]]]

_PLAY = """\
- hosts: torc_workers
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: torc.remote.status, rolespec_validate: false}
"""


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--forks", type=int, default=10, help="hosts at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torc-bench.") as name:
        directory = Path(name)
        with running_server(directory) as url, sandbox.start(options.hosts, directory / "hosts") as hosts:
            bench = Bench(hosts, url, directory, options.forks, hosts.layout.ssh_config)
            install(hosts, "idle", directory, None)
            try:
                _profile(bench)
            finally:
                close_connections(bench)


def _profile(bench: Bench) -> None:
    number = bench.new_workflow()
    bench.run([TORC, "remote", "run", number, *RUN_OPTIONS])
    (bench.directory / "play.yml").write_text(_PLAY)
    (bench.directory / "torc.yml").write_text(f"plugin: torc.remote.torc_workers\nworkflow_ids: [{number}]\n")
    play: list[str | Path] = [TORC.with_name("ansible-playbook"), "-i", "torc.yml", "play.yml"]
    commands: list[list[str | Path]] = [
        [TORC, "remote", "status", number, "--max-parallel-ssh", str(bench.forks)],
        [*play, "--forks", str(bench.forks)],
    ]
    print(f"Status of {len(bench.hosts)} hosts, {bench.forks} parallel, connections open. {machine()}.")
    for command in commands:
        bench.run(command)  # every connection is open now, every compiled file written
        print(f"\n`{Path(command[0]).name} ...`\n")
        begin = time.time()
        notes = _watch(bench, command)
        _print_stages(notes, begin, time.time())
        _print_processes(notes, len(bench.hosts))


def _watch(bench: Bench, command: Sequence[str | Path]) -> Notes:
    file = bench.directory / "notes"
    hooks = {"PYTHONPATH": str(Path(__file__).with_name("hooks")), "PROFILE_NOTES": str(file)}
    bench.run(command, bench.env() | hooks)
    notes: Notes = {}
    for line in file.read_text().splitlines():
        note = json.loads(line)
        notes.setdefault(note["what"], []).append(note)
    file.unlink()
    return notes


def _print_stages(notes: Notes, begin: float, end: float) -> None:
    first, last = notes["fork"][0]["time"], max(note["time"] for note in notes["child ends"])
    started, ended = notes["ansible begins"][0]["time"], notes["ansible ends"][0]["time"]
    stages = {
        "our start, the server's answer, the launcher's start": started - begin,
        "Ansible's start, inventory, playbook": first - started,
        "the hosts, from the first fork to the last answer": last - first,
        "Ansible's end": ended - last,
        "ansible-runner's end, report": end - ended,
    }
    print("| stage | s |\n|---|---:|")
    for stage, seconds in stages.items():
        print(f"| {stage} | {seconds:.2f} |")


def _print_processes(notes: Notes, hosts: int) -> None:
    def per_host(later: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> list[float]:
        """User and system time in ms, page faults."""
        return [
            factor * (sum(note[key] for note in later) - sum(note[key] for note in earlier)) / hosts
            for key, factor in (("user", 1000), ("system", 1000), ("faults", 1))
        ]

    ends = notes["child ends"]
    rows = {
        "Ansible's main process: variables, forks, results": per_host(
            notes["ansible ends"], notes["fork"][:1]
        ),
        "its forks, before the task": per_host(notes["child begins"], []),
        "its forks, the task": per_host(ends, notes["child begins"]),
    }
    if asking := notes.get("asking ends"):
        # each begins with nothing used
        rows["the processes that ask"] = per_host(asking, [])
        rows["the ssh client"] = per_host(notes["asking child's children"], [])
    else:
        rows["the ssh client"] = per_host(notes["child's children"], [])
    print("\n| for each host | user ms | system ms | page faults |\n|---|---:|---:|---:|")
    for row, (user, system, faults) in rows.items():
        print(f"| {row} | {user:.1f} | {system:.1f} | {faults:.0f} |")


if __name__ == "__main__":
    main()
