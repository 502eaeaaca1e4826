"""The one shell program: a library and the scripts that run on hosts. Nothing else does, besides the worker."""

import functools
from pathlib import Path

_HERE = Path(__file__).parent


@functools.cache
def program(script: str) -> list[str]:
    """The texts of the library and, last, of the script of that name."""
    return [
        file.read_text() for file in [*sorted(_HERE.glob("lib/*.sh")), _HERE / "scripts" / f"{script}.sh"]
    ]
