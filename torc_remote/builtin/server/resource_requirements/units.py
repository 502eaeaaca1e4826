"""ISO 8601 durations in torc's records (torc wire 2.1)."""

import re

_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(
    rf"P(?=[\dT])(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    re.ASCII,
)
_SECONDS = (604800, 86400, 3600, 60, 1)


def duration_seconds(text: str) -> float:
    """Seconds in a duration such as ``PT5M`` or ``P0DT1M``. ValueError if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"Invalid ISO 8601 duration format: Failed to parse duration: {text}")
    return sum(float(number) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True) if number)
