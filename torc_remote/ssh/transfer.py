"""Files between controller and host by sftp, whose commands are a language: only names that are made here stand in it.

Neither a path that a host says nor one that a user chose gets there. A file on a host lies in a directory that bears a
random name from here, in one of the places where both sides find it (torc_remote/host/lib/meeting.sh); the host says in
which by its number.
"""

import os
import re
import resource
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torc_remote.errors import TorcError

_PLAIN = re.compile("[A-Za-z0-9._/+@=-]+")
# The last one is where sftp begins: the home of the user who logs in.
_PLACES = ("/tmp/", "/var/tmp/", "")  # noqa: S108 - the directory in it can't be guessed
_MARGIN = 1024 * 1024


@dataclass(frozen=True)
class Meeting:
    """A file in a directory of its own on a host. Both names are secrets, which makes them unique as well."""

    name: str
    file: str

    def path(self, place: int) -> str:
        """What sftp calls the file when the directory is in this place, a number from 1 to 3."""
        return f"{_PLACES[place - 1]}{self.name}/{self.file}"


def new_meeting(prefix: str) -> Meeting:
    """Its directory's name begins with ``prefix``."""
    return Meeting(f"{prefix}.{secrets.token_hex(8)}", secrets.token_hex(8))


@contextmanager
def plain_path(path: Path) -> Iterator[str]:
    """A name of the file that means nothing in sftp's language, whatever its own is. Raises TorcError."""
    usual = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a directory of our own there
    places = [place for place in usual if _PLAIN.fullmatch(place) and os.access(place, os.W_OK)]
    if not places:
        raise TorcError(
            "There is no directory for temporary files: neither /tmp nor /var/tmp can be written to."
        )
    with tempfile.TemporaryDirectory(prefix="torc-remote-", dir=places[0]) as directory:
        link = Path(directory, "file")
        link.symlink_to(path.absolute())
        yield str(link)


def check_room(size: int, directory: Path) -> None:
    """Raises TorcError when so many bytes don't fit there."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise TorcError(f"No space left on device for {size} bytes in {directory}, where {free} are free")


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """While this lasts no program that is started writes a file of many more bytes: the kernel ends it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = size + _MARGIN
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard)
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
