"""Spec text to plain data: JSON, or YAML as torc reads it, with errors that name file and line."""

import json
import re
from typing import Any, NoReturn

import yaml

from torc_remote.spec.model import SpecError


class _Loader(yaml.SafeLoader):
    """YAML with the core schema of version 1.2, where ``on`` and ``1:30`` are texts; keys must be unique."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is given twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    # what JSON has no number for is null to torc
    ("null", r"~|null|Null|NULL||[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", ["~", "n", "N", "", *"-+."]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)", list("-+0123456789")),
    (
        "float",
        r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first)


def parse(text: str, source: str, is_json: bool) -> Any:
    """The data of ``text``. Raises SpecError with ``source`` and the line."""
    try:
        if is_json:
            return json.loads(
                text,
                object_pairs_hook=lambda pairs: _unique(pairs, source),
                parse_constant=lambda name: _refuse(name, source),
            )
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a subclass of SafeLoader)
    except json.JSONDecodeError as error:
        raise SpecError(f"{source}, line {error.lineno}: not valid JSON: {error.msg}.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"{source}{line}: not valid YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: not valid YAML: {error}.") from error
    except RecursionError as error:
        raise SpecError(f"{source}: nested too deeply.") from error


def _refuse(name: str, source: str) -> NoReturn:
    raise SpecError(f"{source}: not valid JSON: {name} is no number.")


def _unique(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise SpecError(f"{source}: the key '{key}' is given twice in one object.")
        result[key] = value
    return result
