"""What a host may answer: every key of the scripts has a type, and what does not fit is that host's failure alone."""

import json
import re
from importlib import resources

import jsonschema
import pytest

from tests.support.host_scripts import HOST
from torc_remote.host.answers import (
    DETAILS,
    FAILED_STATES,
    KEYS,
    OK_STATES,
    STATES,
    AnswerError,
    read_answer,
    schema,
)

TEXTS = [file.read_text() for file in HOST.glob("*/*.sh")]
SHA256 = "0123456789abcdef" * 4


def test_every_word_of_the_scripts_is_known() -> None:
    said = {key for text in TEXTS for key in re.findall(r"\bemit(?:_lines)? ([a-z_0-9]+)", text)}
    assert said == {*(name for name, key in KEYS.items() if key.host), "end"}


def test_every_state_of_the_scripts_is_known() -> None:
    ends = {
        state
        for text in TEXTS
        for state in re.findall(r"\b(?:finish|fail|abandon|emit state) ([a-z_]+)", text)
    }
    identified = {state for text in TEXTS for state in re.findall(r"\bfound=([a-z_]+)", text)}
    assert ends | identified == set(STATES)
    failing = {state for text in TEXTS for state in re.findall(r"\b(?:fail|abandon) ([a-z_]+)", text)}
    assert failing <= set(FAILED_STATES)


def test_the_schema_in_the_package_is_made_from_the_table() -> None:
    stored = json.loads((resources.files("torc_remote.remote") / "report.schema.json").read_text())
    assert stored == schema()
    jsonschema.Draft202012Validator.check_schema(stored)
    assert set(stored["$defs"]["host"]["properties"]) == {"worker", "host", "state", "ok", "reason", *DETAILS}


def test_values_have_their_types() -> None:
    said = {
        "state": "packed",
        "size": "12",
        "sha256": SHA256,
        "manifest": SHA256,
        "place": "1",
        "changed": "1",
    }
    assert read_answer({**said, "output_dir": 'a "b"\nc\x1b', "nodes": "", "ansible_facts": "x"}) == {
        **{"state": "packed", "size": 12, "sha256": SHA256, "manifest": SHA256, "place": 1, "changed": True},
        "output_dir": 'a "b"\nc\\x1b',
    }


@pytest.mark.parametrize("name", ["pid", "since", "exit_code", "size", "place"])
@pytest.mark.parametrize(
    "value",
    ["²", "١٢", "-1", "+1", " 1", "1 ", "1\n1", "1_000", "0x10", "1.0", "1e3", "9" * 20, "9" * 5000, "NaN"],
)
def test_a_number_is_ascii_digits_in_a_range(name: str, value: str) -> None:
    with pytest.raises(
        AnswerError, match=f"^the host's answer can't be used: {name} '.*' is no number from "
    ):
        read_answer({name: value})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"pid": "1"}, "pid '1' is no number from 2 to"),
        ({"since": "99999999999999"}, "since '99999999999999' is no number"),
        ({"version": "1.0.0\n[OK]"}, r"version '1.0.0\\n\[OK\]' has several lines"),
        ({"version": "1" * 201}, "is longer than 200 characters"),
        ({"output_dir": "/" * 8193}, "is longer than 8192 characters"),
        ({"sha256": "0"}, "sha256 '0' is not a sha256 checksum"),
        ({"sha256": f"{SHA256}\n"}, "is not a sha256 checksum"),
        ({"manifest": f"{SHA256}\n{SHA256}"}, "is not a sha256 checksum"),
        ({"content": "!id"}, "is not a small archive in base64"),
        ({"content": "A" * 87385}, "is not a small archive in base64"),
        ({"changed": "yes"}, "changed 'yes' is not 1"),
        ({"failed": "0"}, "failed '0' is not 1"),
        ({"state": "running\nstopped"}, "is not a state"),
        ({"state": "unreachable"}, "no script ends in the state 'unreachable'"),
        ({"state": "packed", "size": "1"}, "it is 'packed' without manifest and sha256"),
        ({"state": "running"}, "it is 'running' without pid"),
        ({"state": "installed"}, "it is 'installed' without executable"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(values: dict[str, str], reason: str) -> None:
    with pytest.raises(AnswerError, match=reason) as caught:
        read_answer(values)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_host_says_nothing_for_this_machine() -> None:
    """Paths here, and what the server was told, are not its to say."""
    assert (
        read_answer({"archive": "/etc/passwd", "deleted": "1", "jobs_terminated": "7", "unsafe": "x"}) == {}
    )


def test_states_have_an_operation_that_they_end() -> None:
    assert all(
        set(FAILED_STATES).isdisjoint(states)
        for name, states in OK_STATES.items()
        if name not in ("status", "stop")
    )
