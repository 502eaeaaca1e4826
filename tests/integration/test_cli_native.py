"""Commands that we don't have go to a native torc on PATH: here scripts of another making play it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TORC = Path(sys.executable).with_name("torc")


def install(directory: Path, version_lines: str, otherwise: str = 'echo "native: $*"; exit 7') -> Path:
    """A `torc` in `directory` that prints `version_lines` for --version and runs `otherwise` for the rest."""
    directory.mkdir(parents=True)
    script = directory / "torc"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then printf "{version_lines}"; exit; fi\n{otherwise}\n'
    )
    script.chmod(0o755)
    return directory


def run(path: list[Path], *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(map(str, [TORC.parent, *path, "/usr/bin", "/bin"]))
    return subprocess.run(
        [TORC, *args],
        env=os.environ | {"PATH": search} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


@pytest.mark.parametrize("words", ["slurm generate -a x", "workflows export 1", "logs bundle --help"])
def test_an_unknown_path_is_handed_over_with_all_words(tmp_path: Path, words: str) -> None:
    native = install(tmp_path / "bin", "torc 1.0.0\\n")
    result = run([native], *words.split())
    assert (result.returncode, result.stdout) == (7, f"native: {words}\n")


def test_torc_remote_hands_over_below_remote(tmp_path: Path) -> None:
    native = install(tmp_path / "bin", "torc 1.0.0\\n")
    path = os.pathsep.join([str(native), "/usr/bin", "/bin"])
    command = [TORC.with_name("torc-remote"), "frobnicate", "1"]
    result = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.stdout == "native: remote frobnicate 1\n"


def test_what_is_not_a_native_torc_is_passed_over(tmp_path: Path) -> None:
    others = [
        install(tmp_path / "ours", "torc 1.0.0\\ntorc-remote\\n"),
        install(tmp_path / "torque", "TORQUE 6.1\\n"),
        tmp_path / "missing",
    ]
    assert run(others, "slurm", "list").returncode == 2
    native = install(tmp_path / "native", "torc 1.2.3\\n")
    assert run([*others, native], "slurm", "list").stdout == "native: slurm list\n"


def test_a_wrapper_that_calls_ours_again_does_not_loop(tmp_path: Path) -> None:
    wrapper = install(tmp_path / "bin", "torc 1.0.0\\n", f'exec "{TORC}" "$@"')
    result = run([wrapper], "slurm", "list")
    assert result.returncode == 2
    assert "No such command 'torc slurm'" in result.stderr


def test_ours_is_told_from_a_native_one() -> None:
    assert run([], "--version", _TORC_REMOTE_HANDOVER="1").stdout == "torc 1.0.0\ntorc-remote\n"


def test_without_a_native_torc_the_error_names_the_command() -> None:
    result = run([], "workflow", "list")
    assert result.returncode == 2
    assert "No such command 'torc workflow'. Did you mean 'workflows'?" in result.stderr


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("submit-slurm wf.yaml", "torc slurm generate FILE | torc submit -"),
        ("workflows run 1", "torc run"),
        ("workflows initialize 1", "torc workflows init"),
    ],
)
def test_spellings_that_torc_gave_up_are_answered_here(tmp_path: Path, words: str, instead: str) -> None:
    native = install(tmp_path / "bin", "torc 1.0.0\\n")
    result = run([native], *words.split())
    assert (result.returncode, result.stdout) == (2, "")
    assert instead in result.stderr
