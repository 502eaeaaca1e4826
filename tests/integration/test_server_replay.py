"""Requests that torc's own programs sent get from the built-in server the answers that torc-server gave.

Every answer is also held against torc's API description. Ids and times differ from recording to replay; whatever else
differs stands below with its reason, and nothing that stands there may agree.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
import requests

from tests.support.server_contract import exchanges, traces, violations

# Endpoints that the built-in server refuses or answers empty.
NOT_OURS = re.compile(r"(/workflows/\d+)?/ro_crate_entities")

AT_ONCE = "torc unblocks by a timer, the built-in server with the completion"
ELSEWHERE = "lists workflows of conversations that were not kept"
DIFFERENT = {
    66: AT_ONCE, 72: AT_ONCE, 90: AT_ONCE, 145: AT_ONCE, 151: AT_ONCE,
    824: ELSEWHERE, 872: ELSEWHERE, 922: ELSEWHERE,
    952: AT_ONCE, 955: AT_ONCE, 958: AT_ONCE, 966: AT_ONCE,
    1027: ELSEWHERE, 1082: ELSEWHERE, 1148: AT_ONCE, 1160: AT_ONCE, 1211: ELSEWHERE,
    1248: "a job that is reset keeps no start time and no compute node",
    1272: ELSEWHERE, 1319: AT_ONCE, 1322: AT_ONCE,
}  # fmt: skip
# About a workflow of a conversation that was not kept.
LEFT_OUT = {1365, 1366}

# What torc-server itself sends against its description, as recorded.
AGAINST_DESCRIPTION = (
    r"compute_node: None is not of type 'object'",  # unset nested configurations are null
    r"\$\.task: None is not of type 'object'",  # so is the task of a workflow without one
    r"^GET /workflows/\d+ does not answer 404",
    r"^PUT /jobs/\d+/manage_status_change/completed/1 does not answer 422",
)

TIMES = {"timestamp", "start_time", "created_at_ms", "started_at_ms", "finished_at_ms"}
SECONDS = {"walltime_seconds", "total_exec_time_minutes"}
ID_FIELDS = {
    "workflow_id": "workflows", "job_id": "jobs", "upstream_job_id": "jobs", "depends_on_job_ids": "jobs",
    "completed": "jobs", "resource_requirements_id": "resource_requirements", "compute_node_id": "compute_nodes",
    "input_file_ids": "files", "output_file_ids": "files",
}  # fmt: skip
COLLECTIONS = {"bulk_jobs": "jobs", "bulk_files": "files", "initialize_jobs": "tasks"}


class UnknownIdError(Exception):
    """The recording names something that no replayed request has made."""


@dataclass
class Replay:
    """The replayed conversation: which id of the recording is which id here."""

    url: str
    ids: dict[tuple[str, int], int] = field(default_factory=dict)

    def send(self, exchange: dict[str, Any]) -> requests.Response:
        path = self.path(exchange["path"])
        query = [(key, self.query_value(key, value)) for key, value in parse_qsl(exchange["query"], True)]
        body = exchange["body"]
        if body is not None and not (isinstance(body, str) and exchange["status"] == 400):
            body = json.dumps(self.replaced(body, "", collection(path)))
        headers = {"content-type": exchange["content_type"]} if exchange["content_type"] else {}
        url = f"{self.url}{path}?{urlencode(query)}"
        return requests.request(exchange["method"], url, data=body, headers=headers, timeout=10)

    def path(self, path: str) -> str:
        parts = path.split("/")
        for index, part in enumerate(parts):
            if part.isdigit() and part != "999":
                kind = (
                    "compute_nodes"
                    if parts[-3:-2] == ["start_job"] and index == len(parts) - 1
                    else parts[index - 1]
                )
                parts[index] = str(self.ids.get((kind, int(part)), part))
                if kind in {*ID_FIELDS.values(), "tasks"} and (kind, int(part)) not in self.ids:
                    raise UnknownIdError(path)
        return "/".join(parts)

    def query_value(self, key: str, value: str) -> str:
        return str(self.replaced(int(value), key, "")) if key in ID_FIELDS else value

    def replaced(self, value: Any, key: str, kind: str) -> Any:
        if isinstance(value, dict):
            return {name: self.replaced(item, name, kind) for name, item in value.items()}
        if isinstance(value, list):
            return [self.replaced(item, key, kind) for item in value]
        kind = id_kind(key, kind)
        return self.ids[kind, value] if kind and isinstance(value, int) else value

    def differences(self, then: Any, now: Any, key: str, kind: str, where: str = "$") -> Iterator[str]:
        if isinstance(then, dict) and isinstance(now, dict):
            for name in then.keys() | now.keys():
                pair = (then.get(name, "absent"), now.get(name, "absent"))
                yield from self.differences(*pair, name, kind, f"{where}.{name}")
        elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
            for index, pair in enumerate(zip(then, now, strict=True)):
                yield from self.differences(*pair, key, kind, f"{where}[{index}]")
        elif not self.same(then, now, key, kind):
            yield f"{where}: {then!r} was recorded, {now!r} is answered"

    def same(self, then: Any, now: Any, key: str, kind: str) -> bool:
        if key in TIMES or (id_kind(key, kind) and isinstance(then, int)):
            if type(then) is not type(now):
                return False
            return key in TIMES or self.ids.setdefault((id_kind(key, kind), then), now) == now
        if key in SECONDS and isinstance(then, float):
            return bool(now == pytest.approx(then, abs=1e-3))
        if key == "message":  # the only place where ids stand in a text
            then, now = (re.sub(r"job_id=\d+", "job_id=?", text) for text in (then, now))
        return bool(then == now)


def id_kind(key: str, kind: str) -> str:
    return kind if key == "id" else ID_FIELDS.get(key, "")


def collection(path: str) -> str:
    """What the field ``id`` of an answer to this path means."""
    words = [word for word in path.split("/") if word and not word.isdigit()]
    if words[-1].startswith("claim_"):
        return "jobs"
    return COLLECTIONS.get(words[-1], words[-1] if words[-1] in ("compute_nodes", "results") else words[0])


@pytest.fixture(scope="module")
def replayed(server):
    """For each recorded request the differences of its answer and its violations of the description."""
    replay = Replay(server.url)
    different: dict[int, list[str]] = {}
    against: list[str] = []
    left_out: set[int] = set()
    for trace in traces():
        for exchange in exchanges(trace):
            path = exchange["path"]
            if path == "/version" or NOT_OURS.fullmatch(path):
                continue
            try:
                answer = replay.send(exchange)
            except UnknownIdError:
                left_out.add(exchange["seq"])
                continue
            found = list(compare(replay, exchange, answer))
            if found:
                different[exchange["seq"]] = found
            if answer.headers.get("content-type") == "application/json":
                against += violations(exchange["method"], path, answer.status_code, answer.json())
    return different, against, left_out


def compare(replay: Replay, exchange: dict[str, Any], answer: requests.Response) -> Iterator[str]:
    if answer.status_code != exchange["status"]:
        yield f"status {exchange['status']} was recorded, {answer.status_code} is answered: {answer.text}"
    elif answer.headers.get("content-type", "") != exchange["response_type"]:
        yield f"{exchange['response_type']} was recorded, {answer.headers.get('content-type')} is answered"
    elif exchange["response_type"] == "application/json":
        yield from replay.differences(exchange["response"], answer.json(), "", collection(exchange["path"]))


def test_answers_are_those_of_torc(replayed):
    different, _, left_out = replayed
    unexpected = {seq: found for seq, found in different.items() if seq not in DIFFERENT}
    assert unexpected == {}
    assert different.keys() == DIFFERENT.keys()
    assert left_out == LEFT_OUT


def test_answers_agree_with_the_description(replayed):
    _, against, _ = replayed
    assert [
        text for text in against if not any(re.search(known, text) for known in AGAINST_DESCRIPTION)
    ] == []
    for known in AGAINST_DESCRIPTION:
        assert any(re.search(known, text) for text in against), known
