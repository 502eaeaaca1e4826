"""What all commands have in common: help, global options, errors, lazy imports."""

import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from torc_remote.cli import main as cli
from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import GLOBAL_OPTIONS, TorcGroup
from torc_remote.errors import TorcError, UsageError
from torc_remote.remote import play_process

TORC = Path(sys.executable).with_name("torc")


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command and everything below it, each with its path."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None, f"{path} lists {name}, and doesn't have it"
            yield from walk(child, (*path, name))


def everything() -> list[tuple[str, ...]]:
    return [path for path, _ in walk(cli.torc)]


@pytest.mark.parametrize("path", everything(), ids=" ".join)
def test_help_has_an_example_and_the_global_options(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.torc, [*path, "-h"], prog_name="torc")
    assert result.exit_code == 0, result.output
    assert "\n  Example:\n    " in result.output
    assert "--url" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_table_of_commands_has_their_names() -> None:
    ctx = click.Context(cli.torc)
    names = [command.name for name in cli.COMMANDS if (command := cli.torc.get_command(ctx, name))]
    assert names == list(cli.COMMANDS)


@click.group(cls=TorcGroup)
def group() -> None:
    """A group for tests."""


@group.command()
@click.option("--skip-version-check", is_flag=True)
@pass_app
def show(app: App, skip_version_check: bool) -> None:
    """A command whose own option has the name of a global one."""
    settings = app.settings
    click.echo(f"{settings.api_url} {settings.format} {app.skip_version_check} {skip_version_check}")


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--url", "http://a", "show"], "http://a table False False"),
        (["show", "--url", "http://b"], "http://b table False False"),
        (["--url", "http://a", "-f", "json", "show", "--url", "http://b"], "http://b json False False"),
        (["--skip-version-check", "show"], "http://env table True False"),
        (["show", "--skip-version-check"], "http://env table False True"),
    ],
)
def test_global_options_before_and_after(args: list[str], shown: str) -> None:
    result = CliRunner(env={"TORC_API_URL": "http://env"}).invoke(group, args)
    assert result.output == f"{shown}\n"


def test_prompt_password_asks_on_stderr() -> None:
    app = App()
    result = CliRunner().invoke(group, ["--prompt-password", "show"], input="s3cret\n", obj=app)
    assert result.exit_code == 0
    assert app.settings.password == "s3cret"
    assert "Password" not in result.stdout
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    ("words", "has_list"),
    [
        ("jobs list 1", True),
        ("results list 1", True),
        ("compute-nodes list 1", True),
        ("workflows list", True),
        ("remote list-workers 1", True),
        ("ping", False),
        ("workflows get 1", False),
        ("remote run 1", False),
        ("remote status 1", False),
        ("sandbox list", False),
        ("sandbox stop", False),
    ],
)
def test_csv_is_for_lists(
    words: str, has_list: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for in vain on the command line it is an error; in torc.toml it is a preference."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(App, "client", lambda app: failing("torc"))
    monkeypatch.setattr(play_process, "launched", nullcontext)
    error = CliRunner().invoke(cli.torc, [*words.split(), "-f", "csv"], prog_name="torc").exception
    assert isinstance(error, UsageError) is not has_list
    assert has_list or f"For 'torc {words.removesuffix(' 1')}' use -f json." in str(error)
    (tmp_path / "torc.toml").write_text('[client]\nformat = "csv"\n')
    error = CliRunner().invoke(cli.torc, words.split(), prog_name="torc").exception
    assert not isinstance(error, UsageError), error


def test_every_global_option_has_one_name_only() -> None:
    names = [name for option in GLOBAL_OPTIONS for name in option.opts]
    assert len(names) == len(set(names))


@click.command()
@click.argument("kind")
def failing(kind: str) -> None:
    """Fails in the way that is asked for."""
    errors: dict[str, BaseException] = {
        "expected": TorcError("the server is on holiday"),
        "unexpected": ZeroDivisionError("by zero"),
        "interrupt": KeyboardInterrupt(),
        "usage": click.UsageError("not so"),
    }
    if kind == "noted":
        errors["noted"] = TorcError("first")
        errors["noted"].add_note("second")
    raise errors[kind]


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("expected", 1, "Error: the server is on holiday\n"),
        ("noted", 1, "Error: first\nsecond\n"),
        ("usage", 2, "Error: not so\n"),
        ("interrupt", 130, "Interrupted.\n"),
    ],
)
def test_expected_failures(kind: str, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(failing, "torc", [kind]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(message)
    assert "Traceback" not in captured.err


def test_an_unexpected_failure_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.run(failing, "torc", ["unexpected"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("Error: unexpected ZeroDivisionError: by zero.")
    assert message.count("\n") == 1
    file = Path(message.split()[-1])
    assert "in failing" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_unexpected_failure_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert cli.run(failing, "torc", ["unexpected"]) == 1
    assert "in failing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("run workers.txt 42", "torc remote run [WORKFLOW_ID]. A worker file is named with --workers FILE"),
        (
            "status workers.txt",
            "torc remote status [WORKFLOW_ID]. A worker file is named with --workers FILE",
        ),
        ("add-workers h1 42", "torc remote add-workers WORKFLOW_ID WORKER..."),
        (
            "add-workers-from-file 42 workers.txt",
            "torc remote add-workers-from-file WORKER_FILE [WORKFLOW_ID]",
        ),
        ("remove-worker 42 h1", "torc remote remove-worker WORKER [WORKFLOW_ID]"),
    ],
)
def test_arguments_in_another_order_get_a_hint(
    words: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(cli.torc, "torc", ["remote", *words.split()]) == 2
    assert f" is not a valid integer. The order is: {hint}\n" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["remote run", "delete", "status"])
def test_a_number_that_no_workflow_has(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(cli.torc, "torc", [*command.split(), "9" * 20]) == 2
    assert f"{'9' * 20} is larger than the ID of any workflow." in capsys.readouterr().err


@pytest.mark.parametrize("path", [(), ("remote",), ("remote", "run")], ids=" ".join)
def test_help_fits_a_narrow_terminal(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    result = CliRunner().invoke(cli.torc, [*path, "-h"], prog_name="torc")
    text = re.sub(r"(?s)  Example:\n.*?\n\n", "", result.output)
    # names of options with all their values are not broken
    assert [line for line in text.splitlines() if len(line) > 40 and "|" not in line] == []


@pytest.mark.parametrize("path", everything(), ids=" ".join)
def test_help_breaks_no_option_and_cuts_no_sentence(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = CliRunner().invoke(cli.torc, [*path, "-h"], prog_name="torc").output
    assert [option.opts[-1] for option in GLOBAL_OPTIONS if option.opts[-1] not in text.split()] == []
    _, _, commands = text.partition("Commands:\n")
    assert [line for line in commands.splitlines() if re.search(r"\w\.\.\.$", line)] == []


def test_a_usage_error_is_broken_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert cli.run(cli.torc, "torc", ["remote", "run", "--max-parallel-ssh", "0"]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert max(map(len, shown)) <= 40
    assert "    '--max-parallel-ssh': 0 is not in" in shown
