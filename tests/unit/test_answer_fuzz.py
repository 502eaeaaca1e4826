"""Whatever a host answers: one result or one failure of that host, valid by the schema, in lines of its own."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from torc_remote.cli.app import App
from torc_remote.cli.remote import install as remote_install
from torc_remote.cli.remote import logs as remote_logs
from torc_remote.cli.remote import report as remote_report
from torc_remote.cli.remote import run as remote_run
from torc_remote.cli.remote import stop as remote_stop
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.host import answers
from torc_remote.remote.claims import make_claims, read_claim
from torc_remote.remote.operations import Fleet, PlayOptions
from torc_remote.remote.play import HostAnswer
from torc_remote.remote.report import Report

sys.path.insert(0, str(Path(__file__).parents[2] / "collections"))
from ansible_collections.torc.remote.plugins.plugin_utils import script_answer

VALIDATOR = jsonschema.Draft202012Validator(answers.schema())
NONCE = "0123456789abcdef"
WORDS = {
    "install": remote_install._describe,
    "run": remote_run._describe,
    "stop": remote_stop._describe,
    "collect-logs": remote_logs._describe_collected,
    "delete-logs": remote_logs._describe_deleted,
    "status": remote_report.status_text,
}
keys = st.sampled_from(
    [*answers.KEYS, "end", "ansible_facts", "_ansible_no_log", "hosts", "on_controller", ""]
)
states = st.sampled_from([*answers.STATES, "unreachable", "not_started", "nonsense"])
values = st.one_of(
    st.text(st.characters(codec=None), max_size=20),
    st.integers().map(str),
    st.sampled_from(
        ["1", "7", "0" * 64, "²", "[OK] other: fine", "\x1b[2J", "\x85", "\u2028", "\u202e", "{{ x }}", "!id"]
    ),
    st.sampled_from(["node 1 2026-11-22T21:23:10Z", "idle h 9999-12-31T23:59:59Z 9999-12-31T23:59:59Z"]),
    st.sampled_from(["node 9999999999999999999999 2026-01-01T00:00:00+23:59", "node 1 9999-12-31T23:59:59Z"]),
)
marked = st.builds(lambda key, value: f"torc-{NONCE} {key}={value}", keys, values)
in_state = st.builds(lambda state: f"torc-{NONCE} state={state}", states)
lines = st.lists(st.one_of(marked, in_state, values), max_size=12)
whole = st.sampled_from([f"torc-{NONCE} end=1", f"torc-{NONCE} end=1\r", "", f"torc-{NONCE} end=2"])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        fleet = Fleet(TorcClient(Settings()), 7, ["liar", "other"], PlayOptions())
    fleet.workflow_key = "1795000000000"
    return fleet


def printed(operation: str, report: Report) -> list[str]:
    """What a command shows of the report, on both streams."""
    out = io.StringIO()
    app = App()
    with (
        redirect_stdout(out),
        redirect_stderr(out),
        suppress(click.exceptions.Exit),
        click.Context(click.Command("x")),
    ):
        if operation == "status":
            remote_report.show_status(app, report)
        else:
            remote_report.show(app, report, WORDS[operation], "{} done")
    return out.getvalue().split("\n")


def answered(said: list[str], end: str) -> dict[str, Any]:
    """The task's result, as the host's own output gives it."""
    text = "\n".join([*said, end]).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    return script_answer.result(NONCE, {"stdout": text, "stderr": "x\x1b", "rc": 0})


@pytest.mark.parametrize("operation", WORDS)
@given(lines, whole)
@example(
    [f"torc-{NONCE} state=running", f"torc-{NONCE} pid=7", f"torc-{NONCE} since=8589934592"],
    f"torc-{NONCE} end=1",
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_a_result_or_a_failure(
    operation: str, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory, said: list[str], end: str
) -> None:
    result = answered(said, end)
    assert {*result} <= {*answers.KEYS}
    assert isinstance(result["failed"], bool)
    claims = make_claims({"liar": read_claim(result)}, {"liar": ["liar"]}, ["liar", "other"])
    node = {"id": 1, "hostname": "other", "start_time": "2026-11-22T21:23:10.5+00:00"}
    claims.by_host["liar"].names(node)
    assert claims.refused("liar", node)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp()))
        good = {"state": answers.OK_STATES[operation][-1], "pid": 5, "executable": "/torc", "removed": "x"}
        given = {"liar": HostAnswer("failed" if result["failed"] else "ok", "", dict(result))}
        given["other"] = HostAnswer("ok", "", good)
        report = fleet.report(operation, given)
        VALIDATOR.validate(report.as_json())
        json.dumps(report.as_json(), ensure_ascii=False).encode()
        shown = printed(operation, report)
    assert report.hosts[1].ok
    about_other = [line for line in shown if "other" in line.split(":")[0].split()[:3]]
    assert len([line for line in about_other if not line.startswith(("    ", "liar"))]) == 1
    assert all(line.isprintable() for line in shown)
