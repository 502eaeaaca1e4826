"""The server's texts as this process has to write them so that a host gets the same bytes whatever its locale."""

from __future__ import annotations

import os


def host_text(text: str) -> str:
    """What Python passes on to the operating system as UTF-8; in a UTF-8 locale the same text.

    Raises ValueError for a text that has no such form (a lone half of a surrogate pair).
    """
    return os.fsdecode(text.encode("utf-8"))
