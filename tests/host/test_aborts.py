"""Scripts that were cut off on a host, at any line, and the next command there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host_scripts import HOST, KEY, ScriptHost, script_host
from torc_remote.ssh import script as frame

LIBRARY = sorted(HOST.glob("lib/*.sh"))
ABORT = "kill -KILL $$"
SPECIAL = r"(?:[:.]|exec|export|readonly|set|shift|trap|unset|eval|return|exit|break|continue|times)"
START = ("42", KEY, "", "torc_output", "", "1.0.0", "me")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path) as host:
        yield host


def test_no_special_builtin_command_has_a_redirection() -> None:
    """When that fails, dash, ash and mksh end the script at once, without an answer."""
    command = re.compile(
        rf"(?:^|[;&|({{!]|\b(?:then|do|else|if)\b)[ \t]*{SPECIAL}[ \t]*(?:[ \t][^;&|#'\"\n]*)?\d?[<>]",
        re.MULTILINE,
    )
    assert command.search("{ : >>log; }")
    assert command.search("  exec 3>lock")
    for file in HOST.glob("*/*.sh"):
        code = re.sub(r"(?m)^\s*#.*", "", file.read_text())
        assert not command.search(code), (file, command.search(code))


def aborted(text: str, top: bool) -> Iterator[str]:
    """The script with an abort before each of its commands (``top``: those outside of functions)."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#") or (top and line[0] == " "):
            continue
        cut = "\n".join([*lines[:number], ABORT, *lines[number:]])
        whole = "\n".join(["{", *(file.read_text() for file in LIBRARY), cut, "}"])
        if (
            subprocess.run(
                ["dash", "-n"], input=whole, text=True, capture_output=True, check=False
            ).returncode
            == 0
        ):
            yield cut


def cut_off(host: ScriptHost, script: str, arguments: tuple[str, ...]) -> None:
    """Run a script that may be aborted."""
    parts = [*(file.read_text() for file in LIBRARY), script]
    subprocess.run(
        ["dash", "-s"],
        input=frame.compose("0123", parts, arguments),
        env={"HOME": str(host.home), "PATH": host.path},
        capture_output=True,
        check=False,
    )


def start_again_and_delete(host: ScriptHost) -> None:
    started = host.start()
    assert started["state"] in ("started", "already_running"), started
    assert host.verify()["state"] == "registered"
    assert host.stop(force=True)["state"] == "stopped"
    assert host.delete()["state"] == "deleted"
    assert host.status()["state"] == "none"


def test_after_a_start_that_announced_a_worker_and_was_cut_off(host: ScriptHost) -> None:
    """Other machines that share the directory would take it for running for ever."""
    text = (HOST / "scripts/start_worker.sh").read_text()
    cut_off(host, text.replace('\nlaunch "$@"', f"\n{ABORT}"), START)
    marker = host.home / "torc_output/.torc-remote"
    assert marker.read_text().endswith("created=0\n")
    assert host.stop()["state"] == "not_running"
    assert marker.read_text().split("\n")[-2].startswith("ended 42 ")
    start_again_and_delete(host)


@pytest.mark.slow
@pytest.mark.parametrize("top", [True, False], ids=["steps", "lines"])
def test_after_a_start_that_was_cut_off(host: ScriptHost, top: bool) -> None:
    text = (HOST / "scripts/start_worker.sh").read_text()
    for cut in aborted(text, top):
        cut_off(host, cut, START)
        start_again_and_delete(host)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stop", "delete_logs"])
def test_after_a_stop_or_a_deletion_that_was_cut_off(host: ScriptHost, name: str) -> None:
    text = (HOST / f"scripts/{name}.sh").read_text()
    arguments = ("42", KEY, "", "", "1", "1") if name == "stop" else ("42", KEY, "", "0", "")
    for cut in aborted(text, top=True):
        assert host.start()["state"] == "started"
        if name != "stop":
            host.verify()
            host.stop(force=True)
        cut_off(host, cut, arguments)
        start_again_and_delete(host)
