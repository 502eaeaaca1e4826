"""Standard streams that are closed or break, and SIGTERM, for any command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import wait_until

_TALKATIVE = """
import sys
from pathlib import Path
from torc_remote.cli.process import prepare_process
prepare_process()
print("first", flush=True)
sys.stdin.readline()
for number in range(20000):
    print(number)
    print(number, file=sys.stderr)
print("\\ud800 \\xe4", flush=True)
Path("done").touch()
sys.exit(7)
"""


def talk(directory: Path, redirect: str) -> int:
    """The exit code of the program in a shell with the given redirection."""
    command = f'set -o pipefail; "{sys.executable}" -c "$PROGRAM" {redirect}'
    environment = os.environ | {"PROGRAM": _TALKATIVE}
    done = subprocess.run(["bash", "-c", command], cwd=directory, env=environment, check=False, timeout=30)
    return done.returncode


@pytest.mark.parametrize(
    "redirect",
    [
        "</dev/null >/dev/null 2>&1",
        "<&- >&- 2>&-",
        "</dev/null 2>/dev/null | head -n 1 >/dev/null",
        "</dev/null 2>&1 | true",
        "</dev/null 2>&- >&-",
    ],
)
def test_the_program_goes_on_with_its_own_exit_code(tmp_path: Path, redirect: str) -> None:
    assert talk(tmp_path, redirect) == 7
    assert (tmp_path / "done").exists()


def test_a_closed_stream_lends_its_number_to_no_file(tmp_path: Path) -> None:
    program = (
        "from torc_remote.cli.process import prepare_process; prepare_process()\n"
        "with open('log', 'w') as file: print('oops'); print(file.fileno(), file=file)"
    )
    subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$PROGRAM" >&- 2>&-'],
        cwd=tmp_path,
        check=True,
        env=os.environ | {"PROGRAM": program},
    )
    assert int((tmp_path / "log").read_text()) > 2


def test_sigterm_unwinds(tmp_path: Path) -> None:
    program = (
        "from torc_remote.cli.process import prepare_process; prepare_process()\n"
        "import time; from pathlib import Path\n"
        "try: Path('ready').touch(); time.sleep(60)\n"
        "finally: Path('clean').touch()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as running:
        wait_until(lambda: (tmp_path / "ready").exists())
        running.send_signal(signal.SIGTERM)
        running.wait(10)
    assert (tmp_path / "clean").exists()


def test_a_full_disk_under_the_output_is_one_sentence() -> None:
    program = [sys.executable, "-c", "from torc_remote.cli.main import main; main()", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: The output is not complete: No space left on device. The command itself has come to its end.\n",
    )
