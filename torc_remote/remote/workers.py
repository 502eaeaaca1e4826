"""Worker addresses: ``[user@]host[:port]`` as given on the command line, in worker files and by the server.

Whatever is accepted here ends up as an ssh argument, an inventory variable and part of a file name, so the
grammar is strict ASCII and leaves no room for options (``-o...``), templates (``{{``) or control characters.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import BinaryIO, NamedTuple

from torc_remote.errors import UsageError

MAX_USER = 128
MAX_HOST = 253
MAX_PORT = 65535
MAX_ADDRESS = MAX_USER + MAX_HOST + len("@[]:65535")
MAX_LINE = 4096
MAX_REPORTED = 10

# The user is what OpenSSH itself lets pass, less what a shell would interpret in somebody's ProxyCommand;
# a `\` is there for DOMAIN\user and an `@` for user@realm.
_USER = r"[A-Za-z0-9_](?:[A-Za-z0-9._+@\\-]*[A-Za-z0-9._+-])?"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
_PORT = r"[1-9][0-9]{0,4}"
_ADDRESS = re.compile(
    rf"(?:(?P<user>{_USER})@)?"
    rf"(?:(?:(?P<host>{_HOST})|\[(?P<bracketed>{_IPV6})\])(?::(?P<port>{_PORT}))?|(?P<bare>{_IPV6}))"
)
_FOREIGN = re.compile(r"[^A-Za-z0-9._+@:%\[\]\\-]")
_COMMENT = re.compile(r"(?:^|[ \t])#.*", re.DOTALL)


class WorkerError(UsageError):
    """A worker address, a worker file or a combination of workers that can't be used."""


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """One worker address; ``stored`` is the exact text, by which the server knows the worker.

    ``host`` has no brackets. ``file`` and ``line`` say where the address was read; comparisons ignore them.
    """

    user: str | None
    host: str
    port: int | None
    stored: str
    file: str | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)

    @property
    def host_key(self) -> str:
        """The host in the one spelling by which duplicates are found (case, final dot, IPv6 notation)."""
        if ":" not in self.host:
            return self.host.casefold().rstrip(".")
        address, percent, zone = self.host.partition("%")
        return IPv6Address(address).compressed + percent + zone

    @property
    def described(self) -> str:
        """The quoted text with file and line where there are any, for messages."""
        return f"{self.stored!r} ({self.file}:{self.line})" if self.file else repr(self.stored)


def shown(text: str) -> str:
    """Text of unknown origin for a message: quoted, escaped to ASCII and shortened."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def parse_worker(text: str, *, file: str | None = None, line: int = 0) -> WorkerAddress:
    r"""Read ``[user@]host[:port]``, ``[v6]``, ``[v6]:port`` or a bare IPv6 address, which has no port.

    host: a name, ssh alias or IPv4 address of letters, digits and ``._-``, or an IPv6 address with or without
    a zone (``fe80::1%eth0``). user: letters, digits and ``._+-``, also ``DOMAIN\user`` and ``user@realm``.
    port: 1 to 65535.

    Raises WorkerError, which names the text and says what is wrong with it.
    """
    match = _ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS else None
    if match is None:
        raise _invalid(text, _why_not(text), file, line)
    user, name, bracketed, port, bare = match.groups()
    host = name or bracketed or bare
    problem = _out_of_bounds(user, host, port)
    if problem:
        raise _invalid(text, problem, file, line)
    return WorkerAddress(user, host, int(port) if port else None, text, file, line)


def _invalid(text: str, reason: str, file: str | None, line: int) -> WorkerError:
    where = f"{file}:{line}: " if file else ""
    return WorkerError(f"{where}invalid worker {shown(text)}: {reason}")


def _out_of_bounds(user: str | None, host: str, port: str | None) -> str | None:
    if user and len(user) > MAX_USER:
        return f"the user is longer than {MAX_USER} characters"
    if len(host) > MAX_HOST:
        return f"the host is longer than {MAX_HOST} characters"
    if port and int(port) > MAX_PORT:
        return f"the port must be a number from 1 to {MAX_PORT}"
    return _not_ipv6(host) if ":" in host else None


def _not_ipv6(host: str) -> str | None:
    try:
        IPv6Address(host.partition("%")[0])
    except AddressValueError:
        return "not an IPv6 address (with a port it is written [address]:port)"
    return None


def _why_not(text: str) -> str:
    """The reason why the grammar refuses a text, in the order in which a person would look."""
    if not text:
        return "it is empty"
    if text.startswith("-"):
        return "it begins with '-'"
    if len(text) > MAX_ADDRESS:
        return f"longer than {MAX_ADDRESS} characters"
    foreign = _FOREIGN.search(text)
    if foreign:
        return f"the character {foreign.group()!a} is not allowed; expected [user@]host[:port]"
    user, at, rest = text.rpartition("@")
    if at and not re.fullmatch(_USER, user):
        return "the user must begin with a letter, digit or '_' and use letters, digits and . _ + - only"
    return _why_not_host(rest)


def _why_not_host(rest: str) -> str:
    if "[" in rest or "]" in rest:
        return "brackets hold an IPv6 address: [address] or [address]:port"
    if rest.count(":") > 1:
        return "not an IPv6 address (with a port it is written [address]:port)"
    host, colon, _ = rest.partition(":")
    if not re.fullmatch(_HOST, host):
        return "the host must begin with a letter, digit or '_' and use letters, digits and . _ - only"
    return f"the port must be a number from 1 to {MAX_PORT}" if colon else "expected [user@]host[:port]"


def read_worker_file(path: str | os.PathLike[str]) -> list[WorkerAddress]:
    """Read a worker file: UTF-8 text, one address a line; blank lines and ``#`` comments are skipped.

    Raises WorkerError for a file that can't be read or lists no address, or that lists its first ten bad lines.
    """
    name = os.fspath(path)
    addresses: list[WorkerAddress] = []
    problems: list[str] = []
    try:
        with _open_regular(name) as file:
            for number, text in _entries(file, name):
                try:
                    addresses.append(parse_worker(text, file=name, line=number))
                except WorkerError as error:
                    problems.append(str(error))
                if len(problems) == MAX_REPORTED:
                    problems.append(f"{name}: reading stopped here; correct these lines first")
                    break
    except OSError as error:
        raise WorkerError(f"Cannot read the worker file {name!a}: {error.strerror}") from error
    except _BrokenLineError as error:
        problems.append(str(error))
    if problems:
        raise WorkerError("\n".join(problems))
    if not addresses:
        raise WorkerError(f"The worker file {name!a} lists no workers.")
    return addresses


class _BrokenLineError(Exception):
    """A line after which reading on makes no sense."""


def _open_regular(name: str) -> BinaryIO:
    # Without O_NONBLOCK the open itself would wait for somebody to write to a named pipe.
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise WorkerError(f"Cannot read the worker file {name!a}: not a file name") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise WorkerError(f"Cannot read the worker file {name!a}: not a regular file")
    return open(descriptor, "rb")  # noqa: PTH123 - pathlib can't open a descriptor


def _entries(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Line numbers and addresses; only LF and CRLF end a line, so that the numbers are those of an editor."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise _BrokenLineError(f"{name}:{number}: longer than {MAX_LINE} bytes; is this a worker file?")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _BrokenLineError(f"{name}:{number}: not UTF-8 text; save the file as UTF-8") from error
        text = text.removesuffix("\n").removesuffix("\r")
        entry = (_COMMENT.sub("", text) if "#" in text else text).strip(" \t")
        if entry:
            yield number, entry


class NewWorkers(NamedTuple):
    """What :func:`check_duplicates` found: the addresses to add and those that are stored already."""

    to_add: list[WorkerAddress]
    present: list[WorkerAddress]


def check_duplicates(new: Sequence[WorkerAddress], stored: Iterable[str] = ()) -> NewWorkers:
    """Refuse workers that name one host twice, among themselves or together with the ``stored`` ones.

    A worker whose exact text is stored already is no duplicate: ``present`` has it, not ``to_add``.
    Raises WorkerError that names both entries of each clash (the first ten).
    """
    texts = list(stored)
    first = _by_host(texts)
    known = set(texts)
    seen: dict[str, WorkerAddress] = {}
    result = NewWorkers([], [])
    clashes: list[str] = []
    for worker in new:
        key = worker.host_key
        if key in seen:
            clashes.append(f"worker {worker.described} and {seen[key].described} name the same host")
        elif worker.stored in known:
            result.present.append(worker)
        elif key in first:
            clashes.append(f"worker {worker.described} and {first[key]!r} (stored) name the same host")
        else:
            result.to_add.append(worker)
        seen.setdefault(key, worker)
    if clashes:
        more = [f"... and {len(clashes) - MAX_REPORTED} more"] if len(clashes) > MAX_REPORTED else []
        advice = "Each host can only appear once; keep one of the entries."
        raise WorkerError("\n".join(["Duplicate hosts:", *clashes[:MAX_REPORTED], *more, advice]))
    return result


def _by_host(stored: Iterable[str]) -> dict[str, str]:
    """Stored text by host; what others stored and nobody can parse names no host."""
    hosts: dict[str, str] = {}
    for text in stored:
        try:
            hosts.setdefault(parse_worker(text).host_key, text)
        except WorkerError:
            continue
    return hosts
