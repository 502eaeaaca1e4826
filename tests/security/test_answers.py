"""What hosts answer is data: whatever one says, it is that host's result or failure, and nothing else happens."""

import json
import os
import re
import resource
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from tests.support.faults import await_running, hook_sessions, jobs
from tests.support.remote import SandboxFleet
from torc_remote.host.answers import schema

LIARS = ["sandbox1", "sandbox3"]
HOSTS = [*LIARS, "sandbox2"]
SHA256 = "0123456789abcdef" * 4
SFTP = 'case $command in *sftp*) exec "$SHELL" -c "$command";; esac\n'
MARK = """mark=$(sed -n '/^torc_mark=/{s/torc_mark=//p;q}')\n"""
FORGED = "  [OK] sandbox2: all is well"


@contextmanager
def lying(fleet: SandboxFleet, texts: Mapping[str, str]) -> Iterator[None]:
    """Each session of these hosts runs this instead of what it is asked to, but for sftp."""
    hook_sessions(fleet.sandbox)
    hooks = {fleet.home(host) / ".host": text for host, text in texts.items()}
    try:
        for hook, text in hooks.items():
            hook.write_text(f"{SFTP}{text}\nexit\n")
        yield
    finally:
        for hook in hooks:
            hook.unlink(missing_ok=True)


def answering(*lines: str) -> str:
    """A host that gives this answer, marked as it must be."""
    return MARK + "".join(f"printf '%s %s\\n' \"$mark\" {shlex.quote(line)}\n" for line in (*lines, "end=1"))


def reported(fleet: SandboxFleet, *args: str | int | Path, code: int = 1) -> dict[str, dict[str, Any]]:
    """The hosts of a report that is valid, by name."""
    done = fleet.torc("-f", "json", "remote", *args, code=code)
    report = json.loads(done.stdout)
    jsonschema.validate(report, schema())
    assert "Traceback" not in done.stderr
    return {host["host"]: host for host in report["hosts"]}


def workflow(fleet: SandboxFleet) -> int:
    return fleet.workflow([{"name": "a", "command": "true"}], HOSTS)


def packed(size: int, *more: str) -> tuple[str, ...]:
    return "state=packed", f"manifest={SHA256}", f"sha256={SHA256}", f"size={size}", *more


INTO_SFTP = [
    (
        packed(1, "archive=A\\\\'B\"", "archive=!touch {pwned}", "archive="),
        packed(1, "place=1", "place=!touch {pwned}"),
    ),
    (packed(1, "place=4"), packed(1)),
    (packed(-1, "place=1"), ("state=packed", "place=1")),
    (packed(1, "content=!touch {pwned}"), ()),
]


@pytest.mark.parametrize(
    "lies", [INTO_SFTP[0], *(pytest.param(lies, marks=pytest.mark.slow) for lies in INTO_SFTP[1:])]
)
def test_nothing_of_a_host_reaches_sftp(
    fleet: SandboxFleet, tmp_path: Path, lies: tuple[tuple[str, ...], ...]
) -> None:
    number, pwned = workflow(fleet), tmp_path / "pwned"
    texts = [answering(*(line.replace("{pwned}", str(pwned)) for line in lines)) for lines in lies]
    with lying(fleet, dict(zip(LIARS, texts, strict=True))):
        hosts = reported(fleet, "collect-logs", number, "-l", tmp_path / "logs")
    assert [hosts[host]["state"] for host in HOSTS] == ["failed", "failed", "absent"]
    assert not pwned.exists()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_nothing_of_a_host_reaches_sftp_when_torc_is_installed(fleet: SandboxFleet, tmp_path: Path) -> None:
    number, pwned = workflow(fleet), tmp_path / "pwned"
    old = answering("state=ready", "upload=x", f"upload=!touch {pwned}", "upload=", f"lent=!touch {pwned}")
    with lying(
        fleet, {"sandbox1": old, "sandbox3": answering("state=ready", "place=1", f"place=!touch {pwned}")}
    ):
        hosts = reported(fleet, "install", number)
    assert [hosts[host]["state"] for host in HOSTS] == ["failed", "failed", "unchanged"]
    assert not pwned.exists()


@pytest.mark.slow
def test_an_installation_that_is_nowhere_ends_no_report(fleet: SandboxFleet) -> None:
    with lying(fleet, {"sandbox1": answering("state=unchanged")}):
        said = fleet.torc("remote", "install", workflow(fleet))
    assert "[OK] sandbox2: " in said.stdout


LIES = [
    (("state=running", "pid=²"), ("failed=1", "msg=\x1b[2J", f"msg={FORGED}")),
    (
        ("state=running", "pid=7", "since=99999999999999"),
        ("state=running", "pid=7", "version=1.0.0", f"version={FORGED}"),
    ),
    (
        ("failed=1", "state=running", "pid=7"),
        ("failed=1", "state=died", "msg= ", "log=\x1b]0;title\x07", f"log={FORGED}"),
    ),
    (("state=running", "pid=7", "pid=8"), ("pid=7",)),
]


@pytest.mark.parametrize(
    "lies", [LIES[0], *(pytest.param(lies, marks=pytest.mark.slow) for lies in LIES[1:])]
)
def test_a_lie_is_a_failure_of_its_host_alone(fleet: SandboxFleet, lies: tuple[tuple[str, ...], ...]) -> None:
    number = workflow(fleet)
    with lying(fleet, dict(zip(LIARS, (answering(*lines) for lines in lies), strict=True))):
        hosts = reported(fleet, "status", number)
        said = fleet.torc("remote", "status", number, "-v", code=1)
    assert [hosts[host]["ok"] for host in HOSTS] == [False, False, True]
    assert not [host for host in hosts.values() if "\n" in host["reason"]]
    for text in (said.stdout, said.stderr):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert not [line for line in text.splitlines() if line.strip().startswith("[OK]")]
        assert len([line for line in text.splitlines() if line.startswith("sandbox2")]) == 1


def test_no_host_prints_the_line_of_another(fleet: SandboxFleet) -> None:
    """Also where several lines are what the scripts say."""
    number = workflow(fleet)
    lines = [
        "state=deleted",
        "removed=x",
        f"removed={FORGED}",
        "kept=a",
        f"kept={FORGED}",
        "output_dir=x",
        f"output_dir={FORGED}",
    ]
    died = ["failed=1", "state=died", "msg=x", f"msg={FORGED}", "log=x", f"log={FORGED}"]
    with lying(fleet, {"sandbox1": answering(*lines), "sandbox3": answering(*died)}):
        said = fleet.torc("remote", "delete-logs", number, code=1)
    assert re.findall(r"^  \[\w+\] (\w+)", said.stdout, re.M) == ["sandbox1", "sandbox2"]
    assert re.findall(r"^  \[\w+\] (\w+)", said.stderr, re.M) == ["sandbox3"]
    assert "[OK] sandbox2: Nothing to delete" in said.stdout


FLOODS = [
    ("yes ''", 'yes "$mark log=x"'),
    ("cat /dev/zero | tr '\\0' x >&2", "printf '%s msg=' \"$mark\"; cat /dev/zero | tr '\\0' x"),
    ("head -c 30000000 /dev/zero | tr '\\0' x", "yes '' | head -c 20000000"),
]


@pytest.mark.parametrize(
    "floods", [FLOODS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in FLOODS[1:])]
)
def test_an_answer_without_an_end_is_not_listened_to(fleet: SandboxFleet, floods: tuple[str, str]) -> None:
    number = workflow(fleet)
    began = time.monotonic()
    with lying(fleet, dict(zip(LIARS, (MARK + flood for flood in floods), strict=True))):
        hosts = reported(fleet, "status", number, code=None)
    assert [hosts[host]["ok"] for host in HOSTS] == [False, False, True]
    assert all("the host says " in hosts[host]["reason"] for host in LIARS)
    assert time.monotonic() - began < 40
    # the largest process of all tests so far, in KiB: what Ansible itself needs, and some
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 700_000


ENDLESS = """\
export TMPDIR="$HOME/.tmp"
mkdir -p "$TMPDIR"
"$SHELL" -c "$command" && truncate -s 1T "$TMPDIR"/torc-logs-*/????????????????
"""
BOASTING = """\
"$SHELL" -c "$command" | sed 's/size=.*/size=1125899906842624/'
"""


def test_no_more_is_fetched_than_what_was_announced(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Nor is more announced than there is room for. In a directory whose name is full of other languages."""
    number = workflow(fleet)
    for host in HOSTS:
        log = fleet.home(host) / f"torc_output/job_stdio/job_wf{number}_j1_r1_a1.o"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(os.urandom(200_000))
    logs = tmp_path / "a 'b' \"c\" \\d\n!id [e]*\n#é"
    with lying(fleet, {"sandbox1": ENDLESS, "sandbox3": BOASTING}):
        hosts = reported(fleet, "collect-logs", number, "-l", logs)
    assert "sent more than the" in hosts["sandbox1"]["reason"]
    assert "No space left on device for 1125899906842624 bytes" in hosts["sandbox3"]["reason"]
    assert hosts["sandbox2"]["state"] == "collected"
    assert Path(hosts["sandbox2"]["archive"]).stat().st_size == hosts["sandbox2"]["size"]
    assert sorted(path.name for path in logs.iterdir()) == [
        f".torc_logs_{number}_sandbox2.json",
        f"torc_logs_{number}_sandbox2.tar.gz",
    ]
    assert not list((fleet.home("sandbox1") / ".tmp").iterdir())


# Runs what it is asked to, and claims a node that another worker has.
CLAIMING = """\
text=$(cat)
mark=$(printf '%s\\n' "$text" | sed -n 's/^torc_mark=//p')
printf '%s %s\\n' "$mark" "node_names=sandbox1 x" "$mark" "nodes=node {node} 2099-01-01T00:00:00Z"
printf '%s\\n' "$text" | /bin/sh -s
"""


def running(fleet: SandboxFleet, workers: list[str]) -> tuple[int, dict[str, object]]:
    """A workflow whose job runs on sandbox1, under whatever address; its ID and the node."""
    number = fleet.sleeping(workers)
    fleet.torc("remote", "run", number, "--limit", workers[0])
    await_running(fleet, number)
    (node,) = requests.get(f"{fleet.url}/compute_nodes", params={"workflow_id": number}, timeout=10).json()[
        "items"
    ]
    return number, node


def still_runs(fleet: SandboxFleet, number: int) -> None:
    assert jobs(fleet, number) == ["running"]
    nodes = requests.get(f"{fleet.url}/compute_nodes", params={"workflow_id": number}, timeout=10).json()[
        "items"
    ]
    assert nodes[0]["is_active"]
    fleet.torc("remote", "stop", number)


def test_a_host_can_not_end_the_jobs_of_a_worker_that_is_not_asked(fleet: SandboxFleet) -> None:
    number, node = running(fleet, ["sandbox1", "sandbox3"])
    named = ["node_names=sandbox1", f"nodes=node {node['id']} 2099-01-01T00:00:00Z"]
    idle = ["nodes=idle sandbox1 2020-01-01T00:00:00Z 2099-01-01T00:00:00Z"]
    with lying(fleet, {"sandbox3": answering("state=stopped", "pid=7", *named, *idle)}):
        liar = fleet.hosts("stop", number, "--limit", "sandbox3", code=1)["sandbox3"]
    assert not liar["ok"]
    assert "bears the name 'sandbox1' of another worker of this workflow" in liar["reason"]
    still_runs(fleet, number)


@pytest.mark.slow
def test_nor_those_of_a_worker_whose_host_says_that_it_runs(fleet: SandboxFleet) -> None:
    """Where the workers' addresses tell nothing of their names."""
    addresses = {host.name: host.address for host in fleet.sandbox.hosts}
    number, node = running(fleet, [addresses["sandbox1"], addresses["sandbox3"]])
    with lying(fleet, {"sandbox3": CLAIMING.format(node=node["id"])}):
        hosts = fleet.hosts("run", number, code=1)
    assert hosts[addresses["sandbox1"]]["state"] == "already_running"
    assert (
        f"compute node {node['id']} is claimed by {addresses['sandbox1']} as well"
        in hosts[addresses["sandbox3"]]["reason"]
    )
    still_runs(fleet, number)
