"""Times of events and files as the protocol writes them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from .text import host_text


def utc_now() -> str:
    """``2026-11-22T18:46:56.705Z``"""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def modified(path: str) -> Optional[float]:
    """When the file was last changed, in seconds since 1970; None where there is no such file."""
    try:
        return Path(host_text(path)).stat().st_mtime
    except (OSError, ValueError):
        return None
