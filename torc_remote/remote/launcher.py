"""The program that runs a play for the CLI: ansible-runner starts it, in the play's private directory.

    python -P -m torc_remote.remote.launcher

It is started early and imports Ansible while the CLI still asks the server. One line of its standard input is the
play: ``arguments`` of ansible-playbook, ``answers``, ``settings`` and ``locale``, as torc_remote.remote.play sends it.
The end of that input means that the command has ended or wants no more, whatever the reason: then all that runs here
is ended, and the directory goes.
"""

import gc
import json
import os
import select
import shutil
import signal
from contextlib import suppress
from typing import Any, NoReturn

_CLEANUP_SECONDS = 5.0
_CHUNK = 65536
_STDIN = 0
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Where ansible-runner keeps the environment, which is nobody's business.
_ENVIRONMENT_FILE = "artifacts/play/command"


def main() -> NoReturn:
    """Fork: one process runs Ansible, this one watches over it. The exit code is Ansible's, 128 + N after signal N."""
    os.setsid()
    with suppress(FileNotFoundError):
        os.unlink(_ENVIRONMENT_FILE)  # noqa: PTH108 - pathlib would cost a part of the start
    wakeup = _wake_up_on(signal.SIGCHLD, *_END_SIGNALS)
    order, give = os.pipe()
    child = os.fork()
    if not child:
        _release_signals()
        os.close(give)
        _run_play(order)
    os.close(order)
    os._exit(_watch(child, give, wakeup))


def _wake_up_on(*numbers: int) -> int:
    """A descriptor from which the numbers of arriving signals can be read."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in numbers:
        signal.signal(number, lambda number, frame: None)
    return read


def _release_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, *_END_SIGNALS):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _watch(child: int, give: int, wakeup: int) -> int:
    """Pass the order on and wait for the child's exit code; end everything when the input ends."""
    while True:
        readable, _, _ = select.select([_STDIN, wakeup], [], [])
        if wakeup in readable:
            arrived = os.read(wakeup, _CHUNK)
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if set(arrived) - {signal.SIGCHLD}:
                break
        if _STDIN in readable:
            data = os.read(_STDIN, _CHUNK)
            if not data:
                break
            with suppress(BrokenPipeError):  # it has ended, which the next turn shows
                os.write(give, data)
    _end_all(child)
    return 128 + signal.SIGTERM


def _end_all(child: int) -> None:
    from torc_remote.processes import end_descendants

    try:
        end_descendants(_CLEANUP_SECONDS)
    except OSError:  # no file may be opened to look for them; those of the child end with it
        os.kill(child, signal.SIGKILL)
    shutil.rmtree(os.getcwd(), ignore_errors=True)  # noqa: PTH109 - as above


def _run_play(order: int) -> NoReturn:
    """Run Ansible once the order is here. Without one there is nothing to do but to be ended."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, _STDIN)
    os.close(null)
    gc.disable()  # it would look again and again at what stays
    try:
        from ansible.cli.playbook import PlaybookCLI
    except ImportError as error:
        _leave(f"Ansible can't be imported: {error}. Install torc-remote again.")
    from torc_remote.client.play_settings import use_settings
    from torc_remote.remote import channel
    from torc_remote.remote.play_environment import restore_locale

    gc.freeze()
    gc.enable()

    class Playbook(PlaybookCLI):  # type: ignore[misc]  # Ansible has no types
        def run(self) -> Any:
            code = super().run()
            channel.append_end(str(channel.path))
            return code

    with os.fdopen(order) as lines:
        line = lines.readline()
    if not line:
        os._exit(0)
    given = json.loads(line)
    use_settings(given["settings"])
    channel.path = given["answers"]
    # Ansible has looked at its own locale by now; ssh is to see the user's
    restore_locale(given["locale"])
    try:
        Playbook.cli_executor(["ansible-playbook", *given["arguments"]])
    except SystemExit as error:
        _leave("", error.code if isinstance(error.code, int) else 1)
    raise AssertionError("cli_executor does not return")


def _leave(text: str, code: int = 1) -> NoReturn:
    """End without the interpreter's own end, which costs time and brings nothing here."""
    import sys

    if text:
        print(text, file=sys.stderr)
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
