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


_MAIN = """
import atexit, os, signal, sys
from pathlib import Path
import click
from torc_remote.cli import main, process
@click.command()
@click.pass_context
def command(ctx):
    {body}
process.prepare_process()
sys.exit(main.run(command, "torc", []))
"""


def interrupted(directory: Path, body: str) -> "subprocess.CompletedProcess[str]":
    """A command with this body; `interrupt` stands for SIGINT at that moment."""
    body = body.replace("interrupt", "os.kill(os.getpid(), signal.SIGINT)")
    program = [sys.executable, "-c", _MAIN.format(body=body)]
    return subprocess.run(program, cwd=directory, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(
    "module",
    [
        "class Field:\n def __set_name__(self, owner, name): os.kill(os.getpid(), 2)\nclass Owner: field = Field()\n",
        "class Gone:\n def __del__(self): os.kill(os.getpid(), 2)\nGone()\n",
        "try: os.kill(os.getpid(), 2)\nexcept BaseException: pass\n",
    ],
)
def test_an_interrupt_within_an_import_is_not_swallowed(tmp_path: Path, module: str) -> None:
    """Python makes another exception of it there, or none."""
    (tmp_path / "imported.py").write_text(f"import os\n{module}")
    done = interrupted(tmp_path, "import imported, time; time.sleep(20)")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "Interrupted.")


def test_an_interrupt_that_comes_out_as_another_error(tmp_path: Path) -> None:
    done = interrupted(
        tmp_path, "try: interrupt\n    except BaseException: raise RuntimeError('ended by it too')"
    )
    assert (done.returncode, done.stderr.strip()) == (130, "Interrupted.")


def test_an_interrupt_after_the_end_changes_nothing(tmp_path: Path) -> None:
    done = interrupted(tmp_path, "atexit.register(lambda: interrupt); ctx.exit(7)")
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_an_ignored_interrupt_stays_ignored(tmp_path: Path) -> None:
    """As in the background of a script: neither the command nor a play hears of it."""
    body = (
        "from torc_remote.remote.play_process import held_signals\n"
        "    with held_signals() as held: interrupt\n"
        "    ctx.exit(5 if held.is_set() else 7)"
    )
    body = body.replace("interrupt", "os.kill(os.getpid(), signal.SIGINT)")
    program = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{_MAIN.format(body=body)}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, timeout=30)
    assert done.returncode == 7


def test_an_interrupt_while_the_program_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, time; os.kill(os.getpid(), 2); time.sleep(20)")
    program = [sys.executable, "-c", "from torc_remote.cli.entry import torc; torc()"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_a_full_disk_under_the_output_is_one_sentence() -> None:
    program = [sys.executable, "-c", "from torc_remote.cli.main import main; main()", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: The output is not complete: No space left on device. The command itself has come to its end.\n",
    )
