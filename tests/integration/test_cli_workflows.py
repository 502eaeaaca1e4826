"""The commands that talk to the server only, against a real built-in server."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import Server, StartServer
from tests.support import wait_until

USERS = itertools.count()
TORC = Path(sys.executable).with_name("torc")
DIAMOND = """
name: diamond
jobs:
  - {name: join, command: echo join, depends_on: [left, right]}
  - {name: left, command: echo left, depends_on: [prep]}
  - {name: right, command: "echo oops >&2; exit 3", depends_on: [prep]}
  - {name: prep, command: echo prep}
"""


class Cli:
    """`torc` as one user of one server, in a directory and home of its own."""

    def __init__(self, server: Server, directory: Path, user: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
        self.environ = clean | {"TORC_API_URL": server.url, "TORC_USERNAME": user, "HOME": str(directory)}
        self.directory = directory
        (directory / "diamond.yaml").write_text(DIAMOND)

    def run(self, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
        defaults: dict[str, Any] = {"env": self.environ, "cwd": self.directory, "stdin": subprocess.DEVNULL}
        command = [TORC, *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, **(defaults | options))

    def ok(self, *args: object, **options: Any) -> str:
        result = self.run(*args, **options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def json(self, *args: object) -> Any:
        return json.loads(self.ok("-f", "json", *args))

    def create(self) -> int:
        return int(self.json("create", "diamond.yaml")["workflow_id"])

    def job_states(self, workflow_id: int) -> dict[str, str]:
        return {job["name"]: job["status"] for job in self.json("jobs", "list", workflow_id)["items"]}

    def on_terminal(self, *args: object, columns: int = 80) -> "pexpect.spawn[str]":
        words = [str(arg) for arg in args]
        return pexpect.spawn(
            str(TORC),
            words,
            env=self.environ,
            cwd=self.directory,
            dimensions=(24, columns),
            encoding="utf-8",
            timeout=20,
        )


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Cli:
    return Cli(server, tmp_path, user=f"user{next(USERS)}")


def test_ping(cli: Cli) -> None:
    assert cli.ok("ping") == "Server is running\n"
    assert cli.json("ping") == {"status": "Server is running"}


@pytest.mark.parametrize("group", [(), ("workflows",)], ids=["torc 1.0", "torc 0.7"])
def test_the_life_of_a_workflow_in_both_dialects(cli: Cli, group: tuple[str, ...]) -> None:
    created = cli.ok(*group, "create", "diamond.yaml")
    workflow_id = int(created.removeprefix("Created workflow "))
    assert cli.job_states(workflow_id) == dict.fromkeys(("join", "left", "right", "prep"), "uninitialized")
    assert "State       not initialized" in cli.ok(*group, "status", workflow_id)
    assert cli.ok("workflows", "init", workflow_id) == f"Initialized workflow {workflow_id}\n"
    assert cli.job_states(workflow_id) == {"prep": "ready"} | dict.fromkeys(
        ("join", "left", "right"), "blocked"
    )
    assert cli.json(*group, "cancel", workflow_id, "--no-prompts") == {
        "status": "success",
        "workflow_id": workflow_id,
        "canceled_slurm_jobs": [],
        "errors": None,
    }
    assert "is canceled" in cli.ok("workflows", "is-complete", workflow_id)
    assert cli.ok(*group, "delete", workflow_id, "--force") == f"Deleted workflow {workflow_id}\n"
    missing = cli.run(*group, "status", workflow_id)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"Error: Workflow not found with ID: {workflow_id}\n"


def test_a_workflow_that_ran(cli: Cli) -> None:
    workflow_id = cli.create()
    cli.ok("run", workflow_id, "--poll-interval", "0.1")
    assert cli.job_states(workflow_id) == {
        "prep": "completed",
        "left": "completed",
        "right": "failed",
        "join": "canceled",
    }
    status = cli.json("status", workflow_id)
    assert status["is_complete"]
    assert {"total_exec_time_formatted", "walltime_formatted", "unserved_ready_labels"} < set(status)
    assert "complete, 2 of 4 jobs not successful" in cli.ok("status", workflow_id)
    node = cli.json("compute-nodes", "list", workflow_id)["items"][0]
    rows = cli.ok("results", "list", workflow_id, "--failed").splitlines()
    assert len(rows) == 2
    assert rows[1].split()[1:5] == ["right", "1", "failed", "3"]
    assert rows[1].split()[-1] == node["hostname"]
    assert "no" in cli.ok("compute-nodes", "list", workflow_id).splitlines()[1].split()

    again = cli.ok("workflows", "reset-status", workflow_id, "--failed-only", "-r", "--no-prompts")
    assert again == f"Reset 2 job(s) of workflow {workflow_id}\n"
    assert cli.job_states(workflow_id) == {
        "prep": "completed",
        "left": "completed",
        "right": "ready",
        "join": "blocked",
    }


def test_lists(cli: Cli) -> None:
    first, second = cli.create(), cli.create()
    assert [item["id"] for item in cli.json("workflows", "list")["items"]] == [first, second]
    assert [item["id"] for item in cli.json("workflows", "list", "-l", 1, "--offset", 1)["items"]] == [second]
    table = cli.ok("workflows", "list").splitlines()
    assert table[0].split() == ["ID", "Name", "Description", "Created"]
    assert [line.split()[:2] for line in table[1:]] == [[str(first), "diamond"], [str(second), "diamond"]]
    assert "User" in cli.ok("workflows", "list", "--all-users").splitlines()[0]
    rows = cli.ok("jobs", "list", first, "-f", "csv").splitlines()
    assert rows[0] == "ID,Name,Status,Command"
    assert sorted(row.split(",")[1] for row in rows[1:]) == ["join", "left", "prep", "right"]
    assert cli.ok("jobs", "list", first, "--status", "running") == "No jobs.\n"


def test_what_the_spec_says_reaches_the_server(cli: Cli) -> None:
    spec = {
        "name": "full",
        "description": "all",
        "env": {"A": "1"},
        "compute_node_wait_for_new_jobs_seconds": 7,
        "resource_monitor": {"jobs": {"enabled": True, "granularity": "time_series"}},
        "resource_requirements": [{"name": "r", "num_cpus": 2, "memory": "3g"}],
        "jobs": [{"name": "a", "command": "x", "resource_requirements": "r", "env": {"B": "2"}}],
    }
    workflow_id = json.loads(cli.ok("create", "-", "-f", "json", stdin=None, input=json.dumps(spec)))[
        "workflow_id"
    ]
    workflow = cli.json("workflows", "get", workflow_id)
    assert (workflow["user"], workflow["description"]) == (cli.environ["TORC_USERNAME"], "all")
    assert workflow["compute_node_wait_for_new_jobs_seconds"] == 7
    assert workflow["resource_monitor_config"]["jobs"]["granularity"] == "time_series"
    assert workflow["submission_directory"] == str(cli.directory)
    [job] = cli.json("jobs", "list", workflow_id)["items"]
    assert job["env"] == {"A": "1", "B": "2"}

    unmeasured = cli.json("create", "diamond.yaml", "--no-resource-monitoring")["workflow_id"]
    assert "resource_monitor_config" not in cli.json("workflows", "get", unmeasured)
    assert "compute_node_wait_for_new_jobs_seconds" not in cli.json("workflows", "get", unmeasured)


def test_a_bad_spec_creates_nothing(cli: Cli) -> None:
    (cli.directory / "bad.yaml").write_text(DIAMOND + "actions: []\n")
    result = cli.run("create", "bad.yaml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: bad.yaml: the key 'actions' is not supported here")
    assert cli.json("workflows", "list") == {"items": []}


def test_nothing_is_lost_without_an_answer(cli: Cli) -> None:
    workflow_id = cli.create()
    for words in (
        ("delete", workflow_id),
        ("cancel", workflow_id),
        ("workflows", "reset-status", workflow_id),
    ):
        result = cli.run(*words)
        assert (result.returncode, result.stdout) == (1, ""), words
        assert "--no-prompts" in result.stderr
    assert cli.json("workflows", "is-complete", workflow_id)["is_canceled"] is False


def test_questions_on_a_terminal(cli: Cli) -> None:
    workflow_id = cli.create()
    for answer, code, told in (("n", 1, "Nothing was changed"), ("y", 0, f"Deleted workflow {workflow_id}")):
        terminal = cli.on_terminal("delete", workflow_id)
        terminal.expect_exact(f"Delete workflow {workflow_id} (diamond)")
        terminal.sendline(answer)
        terminal.expect_exact(told)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == code


def test_the_id_may_be_left_out_on_a_terminal(cli: Cli) -> None:
    nobody = cli.run("status")
    assert nobody.returncode == 1
    assert nobody.stderr == "Error: a workflow ID is required when stdin is not a terminal\n"

    none = cli.on_terminal("status")
    none.expect_exact("has no workflow")
    none.expect(pexpect.EOF)

    first = cli.create()
    only = cli.on_terminal("status")
    only.expect_exact(f"Workflow {first}: diamond")
    only.expect(pexpect.EOF)

    second = cli.create()
    chosen = cli.on_terminal("status")
    chosen.expect_exact("Enter workflow ID:")
    chosen.sendline("999999")
    chosen.expect_exact("There is no workflow 999999 in this list")
    chosen.sendline(str(second))
    chosen.expect_exact(f"Workflow {second}: diamond")
    chosen.expect(pexpect.EOF)


def test_interrupted_at_a_question(cli: Cli) -> None:
    workflow_id = cli.create()
    terminal = cli.on_terminal("delete", workflow_id)
    terminal.expect_exact("[y/N]: ")
    # a Ctrl-C between the question and the reading of the answer is noticed with the next key only
    wait_until(lambda: Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130


@pytest.mark.parametrize("columns", [40, 80])
def test_screens_fit_the_terminal(cli: Cli, columns: int) -> None:
    workflow_id = cli.create()
    for words in (("status", workflow_id), ("jobs", "list", workflow_id), ("workflows", "list")):
        screen = cli.on_terminal(*words, columns=columns)
        screen.expect(pexpect.EOF)
        lines = str(screen.before).splitlines()
        assert lines, words
        assert max(map(len, lines)) <= columns, words


def test_names_cannot_write_to_the_terminal(cli: Cli) -> None:
    spec = {"name": "a\x1b[2Jb\nc", "jobs": [{"name": "x", "command": "true"}]}
    workflow_id = json.loads(cli.ok("create", "-", "-f", "json", stdin=None, input=json.dumps(spec)))[
        "workflow_id"
    ]
    for words in (("status", workflow_id), ("workflows", "list")):
        assert "a\\x1b[2Jb\\nc" in cli.ok(*words)
    assert "\x1b" not in cli.run("delete", workflow_id).stderr


def test_a_server_with_a_password(start_server: StartServer, tmp_path: Path) -> None:
    cli = Cli(start_server(password="c0rrect"), tmp_path, "alice")
    refused = cli.run("ping")
    assert refused.returncode == 1
    assert "(401 Unauthorized)" in refused.stderr
    wrong = cli.run("--password", "wr0ng", "--log-level", "trace", "ping")
    assert wrong.returncode == 1
    assert "wr0ng" not in wrong.stdout + wrong.stderr
    assert cli.ok("ping", env=cli.environ | {"TORC_PASSWORD": "c0rrect"}) == "Server is running\n"
    asked = cli.on_terminal("--prompt-password", "ping")
    asked.expect_exact("Password:")
    asked.sendline("c0rrect")
    asked.expect_exact("Server is running")
    asked.expect(pexpect.EOF)
    assert "c0rrect" not in str(asked.before)


def test_an_input_file_that_is_not_here_is_named_by_create(cli: Cli) -> None:
    spec = {
        "name": "inputs",
        "files": [{"name": name, "path": name} for name in ("here.txt", "missing.txt", "made.txt")],
        "jobs": [
            {
                "name": "a",
                "command": "true",
                "input_files": ["here.txt", "missing.txt"],
                "output_files": ["made.txt"],
            }
        ],
    }
    (cli.directory / "spec.json").write_text(json.dumps(spec))
    (cli.directory / "here.txt").touch()
    created = cli.run("create", "spec.json")
    told = "Input files that are not on this machine, seen from the current directory: missing.txt. "
    assert created.stderr.startswith(told)
    assert created.returncode == 0


def test_the_list_of_results_says_where_a_failure_is_explained(cli: Cli) -> None:
    number = cli.create()
    cli.run("run", number, "-p", "0.2")
    listed = cli.run("results", "list", number)
    job = next(job["id"] for job in cli.json("jobs", "list", number)["items"] if job["name"] == "right")
    file = f"job_stdio/job_wf{number}_j{job}_r1_a1.e"
    assert listed.stderr.startswith(
        f"Why job {job} failed is in {file} in the output directory of its worker."
    )
    assert listed.stderr.endswith(f"\n    torc remote collect-logs {number}\n")
    assert (cli.directory / "torc_output" / file).read_text() == "oops\n"
