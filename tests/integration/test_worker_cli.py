"""`torc run` of the whole CLI: the same worker, from an ID, a spec file or stdin."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Server, StartServer
from tests.support import wait_until
from tests.support.workers import Rest

TORC = Path(sys.executable).with_name("torc")
SPEC = """\
name: from-spec
jobs:
  - {name: one, command: "echo one; env > env"}
  - {name: two, command: touch two, depends_on: [one]}
"""


@pytest.fixture
def rest(server: Server) -> Rest:
    return Rest(server.url)


def _run(
    url: str, directory: Path, *arguments: str, text: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    environment |= {"TORC_API_URL": url, "HOME": str(directory)} | variables
    command = [TORC, "run", *arguments]
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("source", ["spec.yaml", "a file without suffix", "-"])
def test_a_spec_is_created_and_run(rest: Rest, tmp_path: Path, source: str) -> None:
    if source != "-":
        (tmp_path / source).write_text(SPEC)
    done = _run(rest.url, tmp_path, source, "-p", "0.5", "-o", "out", text=SPEC)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    created, start, *_ = done.stderr.splitlines()
    workflow_id = int(created.removeprefix("Created workflow "))
    assert "Starting torc job runner" in start
    assert rest.states(workflow_id) == {"one": "completed", "two": "completed"}
    assert (tmp_path / "two").exists()
    assert len(list(tmp_path.glob("out/job_stdio/*"))) == 4


def test_an_id_and_the_configuration_file(start_server: StartServer, tmp_path: Path) -> None:
    """Defaults come from torc.toml, options win; the jobs don't see the password, however it was given."""
    server = start_server(password="pw-1")
    rest = Rest(server.url, "pw-1")
    workflow_id = rest.create([{"name": "one", "command": "env > env"}])
    (tmp_path / "torc.toml").write_text(
        '[client.run]\noutput_dir = "from-toml"\nnum_cpus = 3\nmemory_gb = 7\n'
    )
    secrets = {"TORC_PASSWORD": "pw-1", "TORC_COOKIE_HEADER": "c=pw-1"}
    done = _run(server.url, tmp_path, str(workflow_id), "--num-cpus", "2", TORC_WORKER_NAME="me", **secrets)
    assert done.returncode == 0, done.stderr
    [node] = rest.nodes(workflow_id)
    assert (node["hostname"], node["num_cpus"], node["memory_gb"]) == ("me", 2, 7.0)
    assert (tmp_path / "from-toml").is_dir()
    assert "pw-1" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["4711"], 1, "Error: Workflow not found with ID: 4711 (404)\n"),
        (["nothing"], 2, "Error: 'nothing' is neither the ID of a workflow nor a spec file that exists.\n"),
        (["missing.yaml"], 1, "Error: Cannot read the spec missing.yaml"),
        (["1", "-p", "0"], 2, "poll-interval"),
        (
            ["1", "--max-parallel-jobs", "0"],
            2,
            "max-parallel-jobs': it must be a whole number of at least 1.\n",
        ),
    ],
)
def test_what_cannot_be_run(rest: Rest, tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    done = _run(rest.url, tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_jobs_and_gives_them_back(rest: Rest, tmp_path: Path) -> None:
    workflow_id = rest.create([{"name": "job", "command": "touch started; sleep 60"}])
    environment = os.environ | {"TORC_API_URL": rest.url, "HOME": str(tmp_path)}
    command = [TORC, "run", str(workflow_id)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until((tmp_path / "started").exists)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        finally:
            process.kill()
        assert process.stderr is not None
        assert "Interrupted" not in process.stderr.read()
    assert rest.states(workflow_id) == {"job": "ready"}
