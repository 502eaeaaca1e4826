"""The command line of the ``torc`` that hosts have: ``torc run ID`` and ``torc --version``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from ... import __version__

HANDOVER = "_TORC_REMOTE_HANDOVER"
"""With this in the environment ``--version`` tells our torc from a native one."""

# Kept apart from the options, which both parsers have: a subparser's default would undo what came before it.
_DEFAULTS = {
    "url": None,
    "output_dir": "torc_output",
    "poll_interval": 5.0,
    "max_parallel_jobs": None,
    "num_cpus": None,
    "memory_gb": None,
    "num_gpus": None,
}

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
    from .resources import detect
    from .worker import Options, run_worker, worker_name

    try:
        with log_to_stderr():
            options = Options(
                arguments.workflow_id,
                worker_name(),
                detect(os.environ, arguments.num_cpus, arguments.memory_gb, arguments.num_gpus),
                arguments.output_dir,
                arguments.poll_interval,
                arguments.max_parallel_jobs,
            )
            return run_worker(Connection.from_environment(os.environ, arguments.url), options)
    except WorkerError as error:
        print("Error: {}".format(error), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--url", help="the server (default: TORC_API_URL)")
    shared.add_argument("-o", "--output-dir", help="directory for logs and job output (default: torc_output)")
    shared.add_argument(
        "-p", "--poll-interval", type=_positive, help="seconds between two polls (default: 5.0)"
    )
    shared.add_argument("--max-parallel-jobs", type=_count, help="claim by number instead of by resources")
    shared.add_argument("--num-cpus", type=_count, help="CPUs to use (default: all)")
    shared.add_argument("--memory-gb", type=_positive, help="memory to use in GiB (default: all)")
    shared.add_argument("--num-gpus", type=_count_or_zero, help="GPUs to use (default: all)")
    parser = argparse.ArgumentParser(
        prog="torc", description="The torc worker of torc-remote.", epilog=_EPILOG, parents=[shared]
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="run", dest="command")
    run = commands.add_parser("run", parents=[shared], help="run a workflow's jobs", epilog=_EPILOG)
    run.add_argument("workflow_id", metavar="ID", type=_count, help="the workflow's id")
    return parser


def _count(text: str) -> int:
    number = _count_or_zero(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _count_or_zero(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError("{!r} is not a whole number".format(text))
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("{!r} is not a positive number".format(text))
    return number
