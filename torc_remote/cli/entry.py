"""The console scripts `torc` and `torc-remote`: an interrupt ends them in an orderly way before anything is loaded."""

import os
import signal


def torc() -> None:
    """Run `torc`."""
    _leave_when_interrupted()
    from torc_remote.cli.main import main

    main()


def torc_remote() -> None:
    """Run `torc-remote`."""
    _leave_when_interrupted()
    from torc_remote.cli.main import remote_main

    remote_main()


def _leave_when_interrupted() -> None:
    """Until prepare_process does, which the imports take a while to come to."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, frame: object) -> None:
    os.write(2, b"Interrupted.\n")
    os._exit(130)
