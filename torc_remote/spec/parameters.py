"""Parameters: one item of a spec that stands for many, one for each combination of values (torc wire 2.2)."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

from torc_remote.spec.fields import Fields
from torc_remote.spec.model import SpecError, UnsupportedSpecError

Value = int | float | str
Values = Mapping[str, Sequence[Value]]

KEYS = "parameters parameter_mode use_parameters"
_MOST_VALUES = 1_000_000  # of one range; more is a slip of the keyboard
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"(?i)[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)")


def expand(item: Fields, shared: Values) -> Iterator[dict[str, Any]]:
    """The item once for each combination, filled in and without its parameter keys.

    Its own ``parameters`` win over those of the workflow, ``shared``, of which ``use_parameters`` names some.
    The last parameter varies fastest. Raises SpecError.
    """
    inherited = {name: shared[name] for name in item.names("use_parameters") if name in shared}
    values = read_parameters(item) if "parameters" in item else inherited
    template = {key: value for key, value in item.value.items() if key not in KEYS.split()}
    for combination in _combinations(item, values):
        yield substitute(template, combination)


def read_parameters(fields: Fields) -> Values:
    """The values of each parameter of the key ``parameters``; empty without it. Raises SpecError."""
    given = fields.mapping("parameters")
    return {name: _values(given[name], f"{fields.where}: parameter '{name}'") for name in given}


def fill_single(env: dict[str, str], shared: Values, where: str) -> dict[str, str]:
    """The workflow's environment with the shared parameters filled in, those that have a single value.

    Raises SpecError where another one is named: torc puts the text of the whole list there.
    """
    several = {name: values for name, values in shared.items() if len(values) != 1}
    for variable, text in env.items():
        if named := next((name for name in several if re.search(rf"\{{{re.escape(name)}[:}}]", text)), None):
            raise SpecError(f"{where}: '{variable}' in 'env' names '{named}', which has several values.")
    filled: dict[str, str] = substitute(env, {name: v[0] for name, v in shared.items() if len(v) == 1})
    return filled


def substitute(template: Any, combination: Mapping[str, Value]) -> Any:
    """The template with ``{name}`` and ``{name:format}`` replaced in all texts; names of keys stay."""
    if not combination:
        return template
    names = "|".join(map(re.escape, combination))
    pattern = re.compile(rf"\{{({names})(?::([^}}]*))?\}}")

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda match: show(combination[match[1]], match[2] or ""), value)
        if isinstance(value, list):
            return [fill(item) for item in value]
        return {key: fill(item) for key, item in value.items()} if isinstance(value, dict) else value

    return fill(template)


def show(value: Value, form: str = "") -> str:
    """The value as text: ``03d`` pads whole numbers, ``.2f`` rounds others; any other format is ignored."""
    if isinstance(value, int):
        width = re.fullmatch(r"0([0-9]{1,4})d", form)
        return str(value).zfill(int(width[1]) if width else 0)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if places := re.fullmatch(r"\.([0-9]{1,4})f", form):
        return f"{value:.{int(places[1])}f}"
    return f"{Decimal(repr(value)):f}".removesuffix(".0")  # torc writes no exponents


def _combinations(item: Fields, values: Values) -> Iterator[dict[str, Value]]:
    mode = item.optional("parameter_mode", lambda key: item.text(key, "product|zip", "product or zip"))
    if mode == "zip" and len({len(column) for column in values.values()}) > 1:
        counts = ", ".join(f"{name} has {len(column)}" for name, column in values.items())
        raise SpecError(f"{item.where}: with zip, all parameters need equally many values; {counts}.")
    rows = zip(*values.values(), strict=True) if mode == "zip" and values else product(*values.values())
    return (dict(zip(values, row, strict=True)) for row in rows)


def _values(given: Any, where: str) -> list[Value]:
    if isinstance(given, dict) or (
        isinstance(given, list) and any(isinstance(v, list | dict) for v in given)
    ):
        raise SpecError(f"{where}: must be a range, one value, or a list of values.")
    # torc writes a list as text and takes that apart again, which decides what becomes of odd values
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    text = text.strip()
    if text.startswith("@"):
        raise UnsupportedSpecError(f"{where}: a file of values ('{text}')")
    if text.startswith("{") and text.endswith("}") and "," not in text:
        text = text[1:-1].strip()
    if text.startswith("[") and text.endswith("]"):
        return _list(text)
    return _range(text, where) if ":" in text else [_scalar(text)]


def _list(text: str) -> list[Value]:
    inner = text.lstrip("[").rstrip("]").strip()
    items = [item.strip() for item in inner.split(",")] if inner else []
    scalars = [_scalar(item) for item in items]
    return [v.strip("'").strip('"') if isinstance(v, str) else v for v in scalars]


def _scalar(text: str) -> Value:
    if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _range(text: str, where: str) -> list[Value]:
    words = [word.strip() for word in text.split(":")]
    if len(words) == 3 and not words[2]:
        words.pop()
    numbers = [number for number in map(_scalar, words) if not isinstance(number, str)]
    whole = all(isinstance(number, int) for number in numbers[:2])
    if len(words) not in (2, 3) or len(numbers) < len(words) or (whole and isinstance(numbers[-1], float)):
        raise SpecError(
            f"{where}: '{text}' is no range; write start:end or start:end:step, the end included."
        )
    start, end, step = [*numbers, 1][:3]
    if step == 0 or not math.isfinite(start + end + step) or (end - start) / step > _MOST_VALUES:
        raise SpecError(f"{where}: the range '{text}' has no end, or too many values.")
    if whole:
        return list(range(int(start), int(end) + (1 if step > 0 else -1), int(step)))
    return list(_float_range(float(start), float(end), float(step)))


def _float_range(start: float, end: float, step: float) -> Iterator[float]:
    """By adding up, rounding errors included, because the values end up in names and commands."""
    current = start
    while current <= end + 1e-10 if step > 0 else current >= end - 1e-10:
        yield current
        current += step
