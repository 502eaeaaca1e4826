"""Variables: constants of a workflow that stand for texts anywhere in its spec (torc wire 2.1)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torc_remote.spec.model import SpecError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# `${...}` belongs to the shell. What is looked at differs from what is replaced, in torc and so here:
# in "{ {x} }" torc finds x, and then replaces nothing.
_MENTIONED = re.compile(r"(?<!\$)\{([^{}]*)\}")
_REPLACED = re.compile(r"(?<!\$)\{([^}]*)\}")


def substitute_variables(spec: dict[str, Any], where: str) -> dict[str, Any]:
    """The spec with ``{name}`` replaced by the variable in every text, parameters' names left for later.

    Without variables nothing is looked at. Raises SpecError for a name that is neither a variable nor a
    parameter, for one that is both, and for a value that contains such a name.
    """
    variables = spec.get("variables")
    if variables is None:
        return spec
    _check(variables, where)
    if not variables:
        return spec
    parameters = set(_parameter_names(spec))
    if both := sorted(parameters & set(variables)):
        raise SpecError(f"{where}: '{both[0]}' is both a variable and a parameter; rename one.")
    return {
        key: value if key == "variables" else _replace(key, value, variables, parameters, where)
        for key, value in spec.items()
    }


def _check(variables: Any, where: str) -> None:
    if not isinstance(variables, dict):
        raise SpecError(f"{where}: 'variables' must be a mapping of names to texts.")
    for name, value in variables.items():
        if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
            raise SpecError(f"{where}: '{name}' in 'variables' must consist of letters, digits and _.")
        if not isinstance(value, str):
            raise SpecError(f"{where}: the variable '{name}' must be a text; put it in quotes.")
        if names := list(_mentioned(value)):
            raise SpecError(
                f"{where}: the variable '{name}' contains '{{{names[0]}}}'; variables don't nest."
            )


def _parameter_names(spec: dict[str, Any]) -> Iterator[str]:
    lists = [spec.get("jobs"), spec.get("files")]
    items = [item for found in lists if isinstance(found, list) for item in found]
    for holder in [spec, *items]:
        if isinstance(holder, dict) and isinstance(holder.get("parameters"), dict):
            yield from holder["parameters"]


def _replace(key: str, value: Any, variables: Mapping[str, str], parameters: set[str], where: str) -> Any:
    """The value of ``key`` with its variables replaced; only values of mappings are, not their keys."""
    if key == "use_parameters":
        return value
    if isinstance(value, list):
        return [_replace("", item, variables, parameters, where) for item in value]
    if isinstance(value, dict):
        return {k: _replace(k, item, variables, parameters, where) for k, item in value.items()}
    if not isinstance(value, str):
        return value
    for name in _mentioned(value):
        if name not in variables and name not in parameters:
            raise SpecError(f"{where}: '{{{name}}}' in '{value}' is neither a variable nor a parameter.")
    return _REPLACED.sub(lambda match: variables.get(match[1].split(":")[0], match[0]), value)


def _mentioned(text: str) -> Iterator[str]:
    names = (match[1].split(":")[0] for match in _MENTIONED.finditer(text))
    return (name for name in names if _IDENTIFIER.fullmatch(name))
