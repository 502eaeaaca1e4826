"""Units of torc's records: memory sizes and ISO 8601 durations (torc wire 2.1)."""

import re

_MEMORY = re.compile(r"(\d{1,15})([kmgt]?)b?", re.ASCII | re.IGNORECASE)
_FACTOR = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
_SECONDS = (604800, 86400, 3600, 60, 1)
_LARGEST = 2**63 - 1


def memory_bytes(text: str) -> int:
    """Bytes in a size such as ``100m`` (powers of 1024). ValueError if it is none."""
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Invalid memory size '{text}': use a number and k, m, g or t, such as 512m")
    size = int(match[1]) * _FACTOR[match[2].lower()]
    if size > _LARGEST:
        raise ValueError(f"Invalid memory size '{text}': too large")
    return size


def duration_seconds(text: str) -> float:
    """Seconds in a duration such as ``PT5M`` or ``P0DT1M``. ValueError if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"Invalid ISO 8601 duration format: Failed to parse duration: {text}")
    return sum(float(number) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True) if number)
