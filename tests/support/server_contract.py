"""Torc's API description and recorded traffic, as checks for the built-in server's answers."""

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import requests
import yaml

DATA = Path(__file__).parents[1] / "contract_data"
BASE = "/torc-service/v1"
NODE = {
    "hostname": "h", "pid": 7, "start_time": "2026-01-01T00:00:00Z", "num_cpus": 1, "memory_gb": 1.5, "num_gpus": 0,
    "num_nodes": 1, "compute_node_type": "local", "labels": ["big"],
}  # fmt: skip
RESULT = {"run_id": 1, "return_code": 0, "exec_time_minutes": 0.1, "completion_time": "2026-01-01T00:01:00Z"}


@functools.cache
def description() -> dict[str, Any]:
    """Torc's openapi.yaml."""
    return yaml.load((DATA / "openapi.yaml").read_text(), yaml.CSafeLoader)


@functools.cache
def _operations() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    found = []
    for template, item in description()["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", template))
        found += [(method.upper(), pattern, operation) for method, operation in item.items()]
    return found


def violations(method: str, path: str, status: int, body: Any) -> Iterator[str]:
    """What in this answer is against torc's description. `path` is below the base path, still percent-encoded."""
    matching = [found for name, pattern, found in _operations() if name == method and pattern.fullmatch(path)]
    if not matching:
        yield f"{method} {path} is not described"
        return
    answer = matching[0]["responses"].get(str(status)) or matching[0]["responses"].get("default")
    if answer is None:
        yield f"{method} {path} does not answer {status}"
        return
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    checker = jsonschema.Draft202012Validator({**schema, "components": description()["components"]})
    for error in checker.iter_errors(body):
        yield f"{method} {path} {status} {error.json_path}: {error.message}"


class Caller:
    """Sends requests and holds each answer against the description."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(
        self, method: str, path: str, body: object = None, expect: int = 200, **query: object
    ) -> Any:
        texts = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in query.items()
        }
        answer = requests.request(method, f"{self.url}{path}", json=body, params=texts, timeout=5)
        assert answer.status_code == expect, answer.text
        assert list(violations(method, path, expect, answer.json())) == []
        return answer.json()


def traces() -> list[Path]:
    """The recorded conversations in the order in which they took place, on one server."""
    return sorted((DATA / "traces").glob("*.json"))


def exchanges(trace: Path) -> list[dict[str, Any]]:
    """Requests and answers of one conversation; paths are below the base path."""
    recorded: list[dict[str, Any]] = json.loads(trace.read_text())["exchanges"]
    return [{**exchange, "path": exchange["path"].removeprefix(BASE)} for exchange in recorded]
