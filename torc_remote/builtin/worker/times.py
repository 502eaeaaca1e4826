"""Times as the protocol writes them."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """``2026-11-22T18:46:56.705Z``"""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
