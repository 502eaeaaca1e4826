"""The frame around a script, under the shells that run it."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.host_scripts import HOST
from torc_remote.ssh import script
from torc_remote.ssh.script import compose, parse_answer

LIBRARY = [file.read_text() for file in sorted(HOST.glob("lib/*.sh"))]


values = st.binary(max_size=60).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


awkward = st.sampled_from(
    [
        "",
        "'",
        "\\",
        '"$HOME"',
        "$(touch x)",
        "`id`",
        "a\nb",
        "\n",
        "a\n",
        "-n",
        "-",
        "~",
        "*",
        "é",
        "\udcff",
        "#",
        "!",
    ]
)


anything = values | awkward | st.builds(str.__add__, awkward, awkward)


file_names = st.binary(min_size=1, max_size=20).filter(
    lambda name: not set(name) & set(b"\0/") and name not in (b".", b"..")
)


with_shell = settings(deadline=None, max_examples=50)


names = st.from_regex(r"X_[A-Za-z0-9_]{0,8}", fullmatch=True)


def run(
    text: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a script as a host does."""
    return subprocess.run(
        script.COMMAND.split(),
        input=compose("0123", [*LIBRARY, text], arguments, environment),
        cwd=cwd,
        env={"PATH": os.defpath, "HOME": "/"},
        capture_output=True,
        check=False,
    )


def raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


@given(st.lists(anything, max_size=5), st.dictionaries(names, anything, max_size=3))
@with_shell
def test_arguments_and_environment_arrive_byte_for_byte(
    arguments: list[str], environment: dict[str, str]
) -> None:
    done = run('[ $# = 0 ] || printf "%s\\0" "$@"; in_account env -0', arguments, environment)
    assert done.stderr == b""
    arrived = done.stdout.split(b"\0")
    assert arrived[: len(arguments)] == [raw(value) for value in arguments]
    assert {raw(f"{name}={value}") for name, value in environment.items()} <= set(arrived[len(arguments) :])


@given(anything)
@example("line\n\n")
@with_shell
def test_what_a_script_emits_comes_back(value: str) -> None:
    done = run('emit answer "$1"; finish well', [value])
    answer = parse_answer("0123", done.stdout.decode("utf-8", "surrogateescape"))
    assert answer.complete
    assert answer.values == {"state": "well", "answer": value}
    assert answer.noise == ""


@given(st.binary(max_size=300))
@example(b"torc-0123 end=1\ntorc-9 state=forged\n")
@with_shell
def test_log_content_can_forge_no_answer(log: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "log").write_bytes(log)
        done = run("emit_lines log <log; finish well", cwd=Path(directory))
    answer = parse_answer("0123", done.stdout.decode("utf-8", "surrogateescape"))
    kept = log.replace(b"\0", b"").decode("utf-8", "surrogateescape").removesuffix("\n")
    assert answer.complete
    assert set(answer.values) <= {"state", "log"}
    assert answer.values["state"] == "well"
    assert answer.values.get("log", "") == kept


@given(file_names)
@example(b"-rf")
@example(b" \n")
@example(b"$(id)")
@with_shell
def test_any_name_can_be_an_output_directory(name: bytes) -> None:
    text = os.fsdecode(name)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, text)
        path.mkdir()
        (path / "inside").touch()
        done = run(
            'locate_output 42 key "$1" && ls "$output" && emit output "$output"; finish well', [str(path)]
        )
        answer = parse_answer("0123", done.stdout.decode("utf-8", "surrogateescape"))
    assert answer.noise.strip() == "inside"
    assert answer.values["output"] == str(path)


@given(st.integers(min_value=0, max_value=10_000))
@with_shell
def test_a_script_that_was_cut_short_does_nothing(length: int) -> None:
    data = compose("0123", ["touch made; emit end 1"], ["argument"], {"X": "value"})
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            script.COMMAND.split(),
            input=data[: min(length, len(data) - len(b"} </dev/null\n"))],
            cwd=directory,
            capture_output=True,
            check=False,
        )
        assert not list(Path(directory).iterdir())
