"""The command line of the ``torc`` that hosts have: ``torc run ID`` and ``torc --version``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, List, Optional

from ... import __version__
from ...values import read_count
from ...worker_options import DECLARATIONS, WorkerOptions, shown_default

HANDOVER = "_TORC_REMOTE_HANDOVER"
"""With this in the environment ``--version`` tells our torc from a native one."""

# Kept apart from the options, which both parsers have: a subparser's default would undo what came before it.
_DEFAULTS = {"url": None, **WorkerOptions()._asdict()}

_EPILOG = """The server and the credentials come from the environment: TORC_API_URL, TORC_USERNAME,
TORC_PASSWORD, TORC_COOKIE_HEADER, TORC_TLS_CA_CERT, TORC_TLS_INSECURE. TORC_WORKER_NAME is the name to
register (default: the host's). Example: torc run 42 --output-dir /data/torc_output"""


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command line; the exit code. Expected errors become one line on stderr."""
    parser = _parser()
    arguments = parser.parse_args(argv, argparse.Namespace(**_DEFAULTS))
    if arguments.version:
        print("torc " + __version__)
        if HANDOVER in os.environ:
            print("torc-remote")
        return 0
    if arguments.command is None:
        parser.error("a command is missing: torc run ID")
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    # A packed file is compiled at each start: ``--version`` shall not wait for all of it.
    from .connection import Connection
    from .errors import WorkerError
    from .logs import log_to_stderr
    from .worker import options_here, run_worker

    try:
        with log_to_stderr():
            chosen = WorkerOptions(**{name: getattr(arguments, name) for name in DECLARATIONS})
            connection = Connection.from_environment(os.environ, arguments.url)
            return run_worker(connection, options_here(arguments.workflow_id, chosen))
    except WorkerError as error:
        print("Error: {}".format(error), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--url", help="the server (default: TORC_API_URL)")
    for name, option in DECLARATIONS.items():
        text = "{} [default: {}]".format(option.meaning, shown_default(name))
        shared.add_argument(
            *option.flags(name), dest=name, type=_argument(option.read), metavar=option.unit, help=text
        )
    parser = argparse.ArgumentParser(
        prog="torc", description="The torc worker of torc-remote.", epilog=_EPILOG, parents=[shared]
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="run", dest="command")
    run = commands.add_parser("run", parents=[shared], help="run a workflow's jobs", epilog=_EPILOG)
    run.add_argument("workflow_id", metavar="ID", type=_argument(read_count), help="the workflow's id")
    return parser


def _argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """The reader as argparse wants it: of a ValueError it would keep the sentence to itself."""

    def argument(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument
