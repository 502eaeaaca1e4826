"""The native CLI and worker with our server, as far as it serves.

The native worker writes one warning into its log that is not about versions: our server keeps no RO-Crate records.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Server
from tests.interop.fleets import (
    NativeCli,
    active_nodes,
    native_cli,
    native_fleet,
    torc_on_path,
    wait_for_states,
)
from tests.support import wait_until
from tests.support.native import Native
from tests.support.workers import Rest, worker
from torc_remote.sandbox import Sandbox

pytestmark = pytest.mark.slow

JOBS = [
    {"name": "write", "command": "echo hello > ${files.output.greeting}"},
    {"name": "read", "command": "cat ${files.input.greeting}; exit 2"},
    {"name": "after", "command": "true", "depends_on": ["read"]},
    {"name": "free", "command": "true", "priority": 3},
]
FILES = [{"name": "greeting", "path": "greeting.txt"}]
SLEEP = [{"name": "sleep", "command": "sleep 300"}]


@pytest.fixture
def torc(native: Native, server: Server, sandbox: Sandbox, tmp_path: Path) -> NativeCli:
    return native_cli(native, server.url, tmp_path, sandbox)


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    return Rest(server.url)


def test_a_workflow_from_its_creation_to_its_results(torc: NativeCli) -> None:
    assert torc("ping").stdout == "Server is running\n"
    number = torc.create(JOBS, files=FILES)
    assert (
        f"Successfully initialized workflow {number}"
        in torc("workflows", "init", number, "--no-prompts").stdout
    )
    assert torc.json("status", number)["jobs_by_status"]["ready"] == 2
    torc("run", number, "-p", "0.2")
    status = torc.json("status", number)
    assert status["is_complete"]
    assert {state: n for state, n in status["jobs_by_status"].items() if n} == {
        "completed": 2, "failed": 1, "canceled": 1,
    }  # fmt: skip
    assert status["active_compute_nodes"] == 0
    jobs = torc.json("jobs", "list", number)["items"]
    assert {job["name"]: job["status"] for job in jobs} == {
        "write": "completed", "read": "failed", "after": "canceled", "free": "completed",
    }  # fmt: skip
    results = torc.json("results", "list", number)["items"]
    assert {result["job_name"]: result["return_code"] for result in results} == {
        "write": 0,
        "read": 2,
        "free": 0,
    }
    outputs = [path.read_text() for path in (torc.directory / "torc_output/job_stdio").glob("*.o")]
    assert "hello\n" in outputs
    for table in (("jobs", "list"), ("results", "list"), ("compute-nodes", "list"), ("files", "list")):
        assert "Total: " in torc(*table, number).stdout
    assert "Workflow complete with failures" in torc("status", number).stdout


def test_a_worker_initializes_a_new_workflow_by_itself(torc: NativeCli) -> None:
    (torc.directory / "wf.yaml").write_text("name: direct\njobs:\n- {name: a, command: 'true'}\n")
    torc("run", "wf.yaml", "-p", "0.2")
    (listed,) = [item for item in torc.json("workflows", "list")["items"] if item["name"] == "direct"]
    assert torc.json("status", listed["id"])["jobs_by_status"]["completed"] == 1


def test_only_what_changed_runs_again(torc: NativeCli, rest: Rest) -> None:
    written = {"name": "write", "command": "echo hello > ${files.output.greeting}"}
    read = {"name": "read", "command": "cat ${files.input.greeting}"}
    number = torc.create([{"name": "free", "command": "true"}, written, read], files=FILES)
    torc("run", number, "-p", "0.2")
    assert rest.states(number) == {"free": "completed", "write": "completed", "read": "completed"}
    (torc.directory / FILES[0]["path"]).unlink()
    torc("workflows", "reinit", number, "--force")
    assert rest.states(number) == {"free": "completed", "write": "ready", "read": "blocked"}


def test_what_failed_runs_again_with_what_came_after(torc: NativeCli, rest: Rest) -> None:
    fails = {"name": "fails", "command": "false"}
    after = {
        "name": "after",
        "command": "true",
        "depends_on": ["fails"],
        "cancel_on_blocking_job_failure": False,
    }
    number = torc.create([fails, after, {"name": "free", "command": "true"}])
    torc("run", number, "-p", "0.2")
    assert rest.states(number) == {"fails": "failed", "after": "completed", "free": "completed"}
    torc("workflows", "reset-status", number, "--failed-only", "--reinitialize", "--no-prompts")
    assert rest.states(number) == {"fails": "ready", "after": "blocked", "free": "completed"}


def test_cancel_and_delete(torc: NativeCli, rest: Rest, tmp_path: Path) -> None:
    number = torc.create(SLEEP)
    with worker(torc.url, number, tmp_path / "w", command=(str(torc.native.torc),)) as native_worker:
        wait_for_states(rest, number, {"sleep": "running"})
        assert torc.json("cancel", number, "--no-prompts")["status"] == "success"
        assert native_worker.wait(60) == 0
    assert torc.json("status", number)["is_canceled"]
    assert rest.states(number) == {"sleep": "canceled"}
    torc("delete", number, "--no-prompts")
    assert number not in [item["id"] for item in torc.json("workflows", "list")["items"]]
    assert f"Workflow not found with ID: {number}" in torc("status", number, code=1).stderr


def test_selection_on_a_terminal(torc: NativeCli) -> None:
    numbers = [torc.create(SLEEP), torc.create(SLEEP)]
    terminal = pexpect.spawn(
        str(torc.native.torc),
        ["status"],
        cwd=torc.directory,
        env=torc.environment,
        encoding="utf-8",
        timeout=30,
    )
    terminal.expect("Enter workflow ID:")
    assert all(re.search(rf"\b{number}\b", terminal.before) for number in numbers)
    terminal.sendline(str(numbers[0]))
    terminal.expect(f"Workflow ID: {numbers[0]}\r\n")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def test_native_workers_and_ours_share_a_workflow_each_job_once(
    torc: NativeCli, rest: Rest, native: Native, tmp_path: Path
) -> None:
    first = [{"name": f"a{n}", "command": f"echo a{n} >> {tmp_path}/ran; sleep 0.1"} for n in range(40)]
    then = [
        {"name": f"b{n}", "command": f"echo b{n} >> {tmp_path}/ran; sleep 0.1", "depends_on": [f"a{n}"]}
        for n in range(20)
    ]
    number = torc.create([*first, *then])
    torc("workflows", "init", number, "--no-prompts")
    with (
        worker(torc.url, number, tmp_path / "n1", command=(str(native.torc),)) as native1,
        worker(torc.url, number, tmp_path / "n2", command=(str(native.torc),)) as native2,
        worker(torc.url, number, tmp_path / "o1", TORC_WORKER_NAME="ours") as ours,
    ):
        assert [process.wait(60) for process in (native1, native2, ours)] == [0, 0, 0]
    assert Counter((tmp_path / "ran").read_text().split()) == Counter(job["name"] for job in [*first, *then])
    by_node = Counter(result["compute_node_id"] for result in rest.results(number).values())
    assert sorted(by_node) == sorted(node["id"] for node in rest.nodes(number))  # all three had some


@pytest.fixture
def hosts(sandbox: Sandbox, server: Server, native: Native, tmp_path: Path) -> Iterator[None]:
    """Native torc on the hosts."""
    (tmp_path / "ours").mkdir()
    native_fleet(sandbox, server.url, tmp_path / "ours", native)
    with torc_on_path(sandbox):
        yield


@pytest.mark.usefixtures("hosts")
def test_every_remote_command(torc: NativeCli, rest: Rest, sandbox: Sandbox) -> None:
    number = torc.create([{"name": "hello", "command": "echo hello; sleep 1"}, *SLEEP])
    there, remote = ("--output-dir", "every-command"), ("--remote-output-dir", "every-command")
    (torc.directory / "workers.txt").write_text("sandbox1\nsandbox3\n")
    assert "Added 2 worker(s)" in torc("remote", "add-workers", number, "sandbox1", "sandbox2").stdout
    assert "Added 2 worker(s)" in torc("remote", "add-workers-from-file", "workers.txt", number).stdout
    torc("remote", "remove-worker", "sandbox2", number)
    assert torc("remote", "list-workers", number).stdout.split()[-2:] == ["sandbox1", "sandbox3"]
    assert "Started 2/2 workers" in torc("remote", "run", number, "-p", "0.5", "-o", "every-command").stdout
    wait_for_states(rest, number, {"hello": "completed", "sleep": "running"})
    assert "2/2 workers running" in torc("remote", "status", number, *there).stdout
    torc("cancel", number, "--no-prompts")
    wait_until(lambda: "0/2 workers running" in torc("remote", "status", number, *there).stdout, 60)
    assert (
        "No worker found" in (said := torc("remote", "stop", number, *there).stdout)
        or "not running" in said.lower()
    )
    assert active_nodes(rest, number) == []
    assert "Collected logs from 2/2 workers" in torc("remote", "collect-logs", number, *remote).stdout
    archives = sorted((torc.directory / "remote_logs").iterdir())
    assert [archive.name for archive in archives] == [f"torc_logs_{number}_sandbox{n}.tar.gz" for n in (1, 3)]
    assert "Deleted logs from 2/2 workers" in torc("remote", "delete-logs", number, *remote).stdout
    assert not [host for host in sandbox.hosts if (host.home / "every-command").exists()]
