"""The tables of variables in the roles' README files, as meta/argument_specs.yml has them."""

import re
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[1] / "roles"
TABLE = re.compile(r"^\| Variable .*\n(?:\|.*\n)+", re.MULTILINE)


def role_directories() -> list[Path]:
    """All roles."""
    return sorted(path for path in ROLES.iterdir() if path.is_dir())


def options(role: Path) -> dict[str, dict[str, Any]]:
    """What the role takes, by name: ``type``, ``description`` and, where there is one, ``default``."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
    found: dict[str, dict[str, Any]] = specs["argument_specs"]["main"]["options"]
    return found


def table(role: Path) -> str:
    """The role's options as a Markdown table."""
    lines = ["| Variable | Type | Default | Meaning |", "|---|---|---|---|"]
    for name, option in options(role).items():
        lines.append(f"| `{name}` | {option['type']} | {_default(option)} | {option['description']} |")
    return "\n".join(lines) + "\n"


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else "empty"


def with_table(role: Path, text: str) -> str:
    """The role's README with the table replaced by the current one."""
    return TABLE.sub(lambda _: table(role), text)
