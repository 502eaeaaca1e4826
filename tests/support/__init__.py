"""Helpers for tests with real processes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02


def wait_until(look: Callable[[], T], timeout: float = 10.0) -> T:
    """Call `look` until it returns something true, and return that.

    Fails with the last value (or exception) seen once `timeout` seconds have passed.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            value = look()
            if value:
                return value
            last = value
        except (AssertionError, OSError, LookupError) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last seen: {last!r}")
        time.sleep(_POLL_SECONDS)
