"""What may be installed on hosts."""

import struct
import sys
from pathlib import Path

import pytest

from torc_remote.errors import TorcError
from torc_remote.remote.executables import require_program


@pytest.mark.parametrize(
    "beginning",
    [
        Path(sys.executable).read_bytes()[:64],
        struct.pack("<I", 0xFEEDFACF),
        struct.pack(">I", 0xFEEDFACE),
        struct.pack(">I", 0xCAFEBABE),
        b"#!/bin/sh\n",
    ],
)
def test_programs(beginning: bytes, tmp_path: Path) -> None:
    (tmp_path / "torc").write_bytes(beginning)
    require_program(tmp_path / "torc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"torc 1.0.0\n", "is no program"),
        (b"\x1f\x8b\x08\x00", "is no program"),
        (b"#", "no program"),
    ],
)
def test_what_is_no_program(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "torc"
    file.write_bytes(content)
    with pytest.raises(TorcError, match=message):
        require_program(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/dev/null")):
        with pytest.raises(TorcError, match="There is no file"):
            require_program(path)
