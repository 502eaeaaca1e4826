"""What `install`, `run`, `status` and `stop` say to people."""

import re
from pathlib import Path

from tests.support import wait_until
from tests.support.remote import SandboxFleet


def test_install_says_what_it_changed_and_refuses_what_is_no_program(
    fleet: SandboxFleet, tmp_path: Path
) -> None:
    number = fleet.sleeping(["sandbox1"])
    torc = fleet.home("sandbox1") / ".local/bin/torc"
    torc.unlink(missing_ok=True)
    assert f"[OK] sandbox1: Installed {torc}\n" in fleet.torc("remote", "install", number).stdout
    assert f"[OK] sandbox1: Unchanged: {torc}\n" in fleet.torc("remote", "install", number).stdout
    assert fleet.report("install", number)["hosts"][0]["state"] == "unchanged"

    notes = tmp_path / "notes.txt"
    notes.write_text("torc 1.0.0\n")
    said = fleet.torc("remote", "install", number, "--binary", notes, code=1)
    assert said.stderr == (
        f"Error: {notes} is no program, so nothing was sent. Name the torc binary itself, unpacked.\n"
    )
    assert said.stdout == ""


def test_the_executable_can_be_named(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(["sandbox1"])
    fleet.torc("remote", "install", number)
    torc = fleet.home("sandbox1") / ".local/bin/torc"
    other = fleet.home("sandbox1") / "my torc"
    torc.rename(other)
    try:
        said = fleet.torc("remote", "run", number, code=1).stderr
        assert "or name it with --executable (torc_executable in plays)" in said
        said = fleet.torc("remote", "run", number, "--executable", "~/none", code=1).stderr
        assert f"there is no executable file {fleet.home('sandbox1')}/none on this host" in said
        assert (
            "--executable is empty" in fleet.torc("remote", "run", number, "--executable", "", code=2).stderr
        )
        fleet.torc("remote", "run", number, "--executable", "~/my torc")
        running = fleet.torc("remote", "status", number).stdout
        assert re.search(r"Running \(PID \d+\) since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d\n", running)
    finally:
        other.rename(torc)
        fleet.torc("remote", "stop", number)
    assert "sandbox1  Stopped\n" in fleet.torc("remote", "status", number).stdout


def test_a_worker_that_had_nothing_left_to_do_has_finished(fleet: SandboxFleet) -> None:
    number = fleet.workflow([{"name": "a", "command": "true"}], ["sandbox1"])
    fleet.torc("remote", "install", number)
    fleet.torc("remote", "run", number)
    wait_until(lambda: "Running" not in fleet.torc("remote", "status", number).stdout)
    assert fleet.torc("remote", "status", number).stdout == (
        "Host      Status\nsandbox1  Finished\n0/1 workers running\n"
    )
