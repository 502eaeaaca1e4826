"""The pages under docs/ say what is so: generated ones are fresh, messages and settings exist, files can be used."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from torc_remote.cli.main import torc
from torc_remote.client.config import load_settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SOURCES = (
    "torc_remote/**/*.py",
    "action_plugins/*.py",
    "plugins/*_utils/*.py",
    "plugins/filter/*.py",
    "torc_remote/host/**/*.sh",
    "playbooks/*.yml",
)


def read(name: str) -> str:
    return (DOCS / name).read_text()


def sources() -> str:
    """All texts of the program, those that go over several lines in one."""
    text = "\n".join(path.read_text() for pattern in SOURCES for path in sorted(ROOT.glob(pattern)))
    return re.sub(r'"\n\s*f?"|\\\n', "", text)


def messages() -> list[str]:
    headings = re.findall(r"^### (.*)$", read("howto/troubleshooting.md"), re.MULTILINE)
    return [message for heading in headings for message in re.findall(r"`([^`]+)`", heading)]


# ssh's own words
OF_SSH = {"Could not resolve hostname", "Connection refused", "Connection timed out"}


@pytest.mark.parametrize("message", [text for text in messages() if text not in OF_SSH])
def test_messages_of_the_troubleshooting_page_exist(message: str) -> None:
    program = sources()
    # what comes from elsewhere, or from another place of the program, is left out
    foreign = r"…|: Permission denied.*|: the machine|: ended by.*|="
    parts = [part.strip(" :") for part in re.split(foreign, message)]
    assert [part for part in parts if part not in program] == []


def code_blocks() -> Iterator[tuple[Path, str]]:
    for path in sorted(DOCS.rglob("*.md")):
        for indent, block in re.findall(
            r"^( *)```(?:shell|console)\n(.*?)^ *```", path.read_text(), re.M | re.S
        ):
            yield path, re.sub(rf"^{indent}", "", block, flags=re.M)


def torc_commands() -> Iterator[tuple[str, list[str]]]:
    """Every `torc …` line of the pages' code, as words."""
    for path, block in code_blocks():
        for line in block.splitlines():
            for command in re.findall(
                r"(?:^\$ |^|\(|until )((?:torc|torc-remote) (?!1\.0\.0$)[^|;>&)#]*)", line
            ):
                yield f"{path.relative_to(DOCS)}: {command}", shlex.split(command)


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in torc_commands()])
def test_commands_of_the_pages_exist(words: list[str]) -> None:
    parse(torc, words[1:] if words[0] == "torc" else ["remote", *words[1:]])


def parse(command: click.Command, words: list[str]) -> None:
    """Fails for options and subcommands that there are not."""
    # click keeps the help option that it makes for the first context
    ctx = click.Context(command, **command.context_settings)
    parser = command.make_parser(ctx)
    parser.allow_interspersed_args = not isinstance(command, click.Group)
    _, left, _ = parser.parse_args(words)
    if isinstance(command, click.Group) and left:
        child = command.get_command(ctx, left[0])
        assert child, f"there is no command {left[0]}"
        parse(child, left[1:])


def test_environment_page_names_every_setting() -> None:
    from torc_remote.client import config

    page = read("reference/environment.md")
    for key in (*config._KEYS.values(), *config._RUN_KEYS.values()):
        for name in filter(None, (key.env, key.toml)):
            assert f"`{name}`" in page, name
    # the rule of the page
    assert f"`{config._KEYS['tls_ca_cert'].nested_env}`" in page


def injected(inputs: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What AWX makes of our credential type: environment and files."""
    injectors: dict[str, Any] = yaml.safe_load(read("awx/credential_type_injectors.yml"))
    renderer = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    values = {field["id"]: inputs.get(field["id"], "") for field in credential_fields()}

    def render(template: str) -> str:
        return renderer.from_string(template).render(tower={"filename": {"ca": "/tmp/ca"}}, **values)

    env = {name: render(template) for name, template in injectors["env"].items()}
    return env, {name: render(template) for name, template in injectors["file"].items()}


def credential_fields() -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = yaml.safe_load(read("awx/credential_type_inputs.yml"))["fields"]
    return fields


def test_credential_type_gives_the_settings() -> None:
    given = {"api_url": "https://h/torc-service/v1", "username": "u", "password": "p", "cookie_header": "c=1"}
    env, files = injected(given | {"ca_cert": "PEM"})
    settings = load_settings(environ=env, cwd="/")
    assert {name: getattr(settings, name) for name in given} == given
    assert settings.tls_ca_cert == "/tmp/ca"
    assert files == {"template.ca": "PEM"}


def test_credential_type_leaves_out_what_is_empty() -> None:
    env, _ = injected({"api_url": "http://h/torc-service/v1", "username": "u"})
    settings = load_settings(environ=env, cwd="/")
    assert (settings.password, settings.cookie_header, settings.tls_ca_cert) == (None, None, None)


def test_credential_type_hides_the_secrets() -> None:
    assert {field["id"] for field in credential_fields() if field.get("secret")} == {
        "password",
        "cookie_header",
    }


def test_execution_environment_installs_the_wheel_that_is_built() -> None:
    definition = yaml.safe_load((ROOT / "execution-environment.yml").read_text())
    assert definition["version"] == 3
    (file,) = definition["additional_build_files"]
    assert Path("dist/torc_remote-1.0.0-py3-none-any.whl").match(file["src"])
    steps = " ".join(definition["additional_build_steps"]["append_final"])
    assert f"_build/{file['dest']}" in steps
