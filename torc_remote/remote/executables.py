"""Is a file something that a host can run?"""

from pathlib import Path

from torc_remote.errors import TorcError

# ELF, Mach-O (32 and 64 bits in either byte order, and several in one file), scripts
_BEGINNINGS = (
    b"\x7fELF",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"#!",
)


def require_program(file: Path) -> None:
    """Raises TorcError when ``file`` can't be read or begins as no program does.

    Whether it fits the machine only a host can tell.
    """
    if not file.is_file():
        raise TorcError(f"There is no file {file} to install.")
    try:
        with file.open("rb") as stream:
            beginning = stream.read(4)
    except OSError as error:
        raise TorcError(f"{file} can't be read: {error.strerror}.") from error
    if not beginning.startswith(_BEGINNINGS):
        what = "is empty" if not beginning else "is no program"
        raise TorcError(f"{file} {what}, so nothing was sent. Name the torc binary itself, unpacked.")
