"""The command line that hosts have."""

from collections.abc import Callable

import pytest

from torc_remote.builtin.worker import main as command
from torc_remote.builtin.worker import worker
from torc_remote.builtin.worker.connection import Connection
from torc_remote.builtin.worker.worker import Options

Run = Callable[..., tuple[Connection, Options]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Parses a command line; what the worker would be given."""
    calls: list[tuple[Connection, Options]] = []
    monkeypatch.setattr(worker, "run_worker", lambda *arguments: calls.append(arguments) or 0)
    for name in ("TORC_API_URL", "TORC_PASSWORD", "TORC_WORKER_NAME", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def parse(*arguments: str) -> tuple[Connection, Options]:
        assert command.main(list(arguments)) == 0
        return calls[-1]

    return parse


def test_the_defaults(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORC_WORKER_NAME", "me")
    connection, options = run("run", "42")
    assert connection.url == "http://localhost:8080/torc-service/v1"
    assert options._replace(resources=None) == Options(42, "me", None, "torc_output", 5.0, None)
    assert options.resources.num_cpus >= 1
    assert options.resources.memory_gb > 0.1


ALL = ["-o", "out", "-p", "1.5", "--max-parallel-jobs", "3"]
ALL += ["--num-cpus", "4", "--memory-gb", "2.5", "--num-gpus", "2", "--url", "http://h:1/x"]


@pytest.mark.parametrize("line", [["run", "7", *ALL], [*ALL, "run", "7"], [*ALL[:6], "run", *ALL[6:], "7"]])
def test_options_are_accepted_before_and_after_the_subcommand(run: Run, line: list[str]) -> None:
    connection, options = run(*line)
    assert connection.url == "http://h:1/x"
    assert options[0] == 7
    assert options[2:] == ((4, 2.5, ("0", "1")), "out", 1.5, 3)


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["run"],
        ["run", "spec.yaml"],
        ["run", "0"],
        ["run", "1", "-p", "0"],
        ["run", "1", "-p", "nan"],
        ["run", "1", "--max-parallel-jobs", "0"],
        ["run", "1", "--num-cpus", "-1"],
        ["run", "1", "--memory-gb", "lots"],
        ["status", "1"],
    ],
)
def test_usage_errors(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(line)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err
