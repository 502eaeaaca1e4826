"""How values in texts are read: of options, settings, environment variables and records, the same everywhere.

Each reader raises ValueError with a sentence that calls the value ``it``. Only the standard library and Python 3.8:
workers on hosts have this too.
"""

from __future__ import annotations

import re

_TRUE = ("true", "t", "yes", "y", "on", "1")
_FALSE = ("false", "f", "no", "n", "off", "0")
_MEMORY = re.compile(r"(\d{1,15})([kmgt]?)b?", re.ASCII | re.IGNORECASE)
_FACTOR = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_LARGEST = 2**63 - 1


def read_flag(text: str) -> bool:
    """True or false in one of the spellings that Ansible knows."""
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("it must be true or false")
    return word in _TRUE


def read_memory(text: str) -> int:
    """Bytes in a size such as ``100m`` (powers of 1024)."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Invalid memory size '{text}': use a number and k, m, g or t, such as 512m")
    size = int(match[1]) * _FACTOR[match[2].lower()]
    if size > _LARGEST:
        raise ValueError(f"Invalid memory size '{text}': too large")
    return size


def read_count(text: str) -> int:
    """A whole number of at least 1."""
    return _read_integer(text, 1)


def read_count_or_zero(text: str) -> int:
    """A whole number of at least 0."""
    return _read_integer(text, 0)


def _read_integer(text: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < least:
        raise ValueError(f"it must be a whole number of at least {least}")
    return int(text)


def read_positive(text: str) -> float:
    """A finite number greater than 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("it must be a number greater than 0")
    return number


def read_directory(text: str) -> str:
    """A name that is not empty, as that of an environment variable that is not set would be."""
    if not text.strip():
        raise ValueError("it must not be empty")
    return text
