"""Strict reading of one object of a spec: known keys only, each of the right type, errors that say where."""

import difflib
import re
from collections.abc import Callable
from typing import Any, TypeVar

from torc_remote.spec.model import SpecError, UnsupportedSpecError

_Value = TypeVar("_Value")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Fields:
    """The keys of one object at ``where`` (such as "flow.yaml: job 'prep'").

    ``known`` and ``elsewhere`` are keys, separated by blanks; those of ``elsewhere`` torc has and we don't.
    Raises SpecError for any key that is not known.
    """

    def __init__(self, value: Any, where: str, known: str, elsewhere: str = "") -> None:
        if not isinstance(value, dict):
            raise SpecError(f"{where}: must be a mapping of keys to values, not {_kind(value)}.")
        self.value = value
        self.where = where
        for key in value:
            if key in elsewhere.split():
                raise UnsupportedSpecError(f"{where}: the key '{key}'")
            if key not in known.split():
                close = difflib.get_close_matches(str(key), known.split(), n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known are: {known}."
                raise SpecError(f"{where}: unknown key '{key}'; {hint}")

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def error(self, key: str, must_be: str) -> SpecError:
        """The error to raise when the value of ``key`` is none that can be used."""
        if key not in self:
            return SpecError(f"{self.where}: the key '{key}' is missing.")
        return SpecError(f"{self.where}: '{key}' must be {must_be}, not {_kind(self.value[key])}.")

    def text(self, key: str, pattern: str = r"(?s).+", must_be: str = "a text that is not empty") -> str:
        """The required text of ``key``, which matches ``pattern`` as a whole."""
        value = self.value.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value) or "\0" in value:
            raise self.error(key, must_be)
        return value

    def integer(self, key: str, least: int = 0) -> int:
        value = self.value.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.error(key, f"a whole number of at least {least}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.value.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def items(self, key: str) -> list[Any]:
        """The list of ``key``, empty if it is not there."""
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of texts, each once."""
        values = self.items(key)
        if not all(isinstance(value, str) and value for value in values):
            raise self.error(key, "a list of names")
        return tuple(dict.fromkeys(values))

    def number(self, key: str) -> float:
        value = self.value.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, "a number")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """The mapping of ``key``, empty if it is not there; its keys are texts."""
        value = self.value.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise self.error(key, "a mapping of names to values")
        return value

    def environment(self, key: str) -> dict[str, str]:
        """A mapping of variable names to texts, empty if it is not there."""
        value = self.value.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(key, "a mapping of variables to texts")
        for name, content in value.items():
            if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
                raise SpecError(f"{self.where}: '{name}' in '{key}' is no name of an environment variable.")
            if not isinstance(content, str) or "\0" in content:
                raise SpecError(f"{self.where}: '{name}' in '{key}' must be a text; put it in quotes.")
        return dict(value)

    def optional(self, key: str, read: Callable[[str], _Value]) -> _Value | None:
        """What ``read`` makes of ``key``, None if it is not there."""
        return read(key) if key in self else None


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
