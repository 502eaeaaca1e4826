"""Malformed input gets an error in torc's shapes, never a traceback."""

import contextlib
import copy
import json
import re
import socket
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.server_contract import description

RESULT = {
    "job_id": 1, "workflow_id": 1, "run_id": 1, "attempt_id": 1, "compute_node_id": 1, "return_code": 0,
    "exec_time_minutes": 0.1, "completion_time": "2026-01-01T00:00:00Z", "status": "completed",
    "peak_memory_bytes": 1, "avg_cpu_percent": 1.5,
}  # fmt: skip
NODE = {
    "workflow_id": 1, "hostname": "h", "pid": 1, "start_time": "2026-01-01T00:00:00Z", "is_active": True,
    "num_cpus": 1, "memory_gb": 1.5, "num_gpus": 0, "num_nodes": 1, "compute_node_type": "local",
    "labels": ["x"], "scheduler": {"id": 1},
}  # fmt: skip
JOB = {
    "workflow_id": 1, "name": "j", "command": "true", "env": {"A": "b"}, "depends_on_job_ids": [1],
    "input_file_ids": [1], "output_user_data_ids": [1], "resource_requirements_id": 1, "priority": 1,
    "labels": ["x"], "status": "uninitialized",
}  # fmt: skip
WORKFLOW = {
    "name": "w", "user": "u", "description": "d", "env": {"A": "b"}, "metadata": {"a": [1]},
    "resource_monitor_config": {"jobs": {"enabled": True}}, "compute_node_wait_for_new_jobs_seconds": 1,
}  # fmt: skip
FREE = {
    "num_cpus": 1, "memory_gb": 1.5, "num_gpus": 0, "num_nodes": 1, "time_limit": "PT1M", "labels": ["x"],
}  # fmt: skip
FILE = {"workflow_id": 1, "name": "f", "path": "p", "st_mtime": 1.5}
DATA = {"workflow_id": 1, "name": "d", "data": {"a": [1, "x"]}, "is_ephemeral": True}
NEEDS = {"workflow_id": 1, "name": "n", "num_cpus": 1, "memory": "1m", "runtime": "PT1M"}

WRITES = [
    ("POST", "/workflows", WORKFLOW),
    ("POST", "/bulk_jobs", {"jobs": [JOB]}),
    ("POST", "/bulk_files", {"files": [FILE]}),
    ("PUT", "/files/1", FILE),
    ("POST", "/bulk_user_data", {"user_data": [DATA]}),
    ("PUT", "/user_data/1", DATA),
    ("POST", "/resource_requirements", NEEDS),
    ("POST", "/compute_nodes", NODE),
    ("PUT", "/compute_nodes/1", NODE),
    ("POST", "/workflows/1/remote_workers", ["h1", "h2"]),
    ("POST", "/workflows/1/claim_jobs_based_on_resources/1", FREE),
    ("POST", "/results", RESULT),
    ("POST", "/events", {"workflow_id": 1, "timestamp": 1, "data": {"category": "a"}}),
    ("POST", "/jobs/1/complete_job/completed/1", RESULT),
    (
        "POST",
        "/workflows/1/batch_complete_jobs",
        {"completions": [{"job_id": 1, "status": "completed", "run_id": 1, "result": RESULT}]},
    ),
]
LISTS = [
    "/workflows",
    "/jobs",
    "/results",
    "/compute_nodes",
    "/files",
    "/user_data",
    "/resource_requirements",
    "/events",
]
PARAMETERS = [
    "workflow_id", "limit", "offset", "sort_by", "reverse_sort", "status", "user", "name", "is_archived", "labels",
    "category", "after_timestamp", "job_id", "all_runs",
    "upstream_job_id", "is_output", "scheduled_compute_node_id", "include_relationships",
]  # fmt: skip
PATHS = [
    ("GET", "/workflows/{}"), ("DELETE", "/workflows/{}"), ("GET", "/workflows/{}/status"), ("GET", "/jobs/{}"),
    ("PUT", "/workflows/{}/cancel"), ("POST", "/workflows/{}/initialize_jobs?async={}"),
    ("POST", "/workflows/{}/reset_status?force={}"), ("POST", "/workflows/{}/claim_next_jobs?limit={}&labels={}"),
    ("PUT", "/jobs/{}/start_job/{}/{}"), ("PUT", "/jobs/{}/manage_status_change/{}/{}"), ("GET", "/tasks/{}"),
    ("DELETE", "/workflows/1/remote_workers/{}"), ("GET", "/workflows/{}/actions/pending?trigger_type={}"),
    ("GET", "/compute_nodes/{}"), ("DELETE", "/compute_nodes/{}"), ("GET", "/results/{}"), ("PATCH", "/{}"),
]  # fmt: skip

ODD_TEXTS = [
    "",
    "\0",
    "a\0b",
    "x" * 9000,
    "é",
    "'",
    '"; --',
    "%s{}",
    "../..",
    "1",
    "-1",
    "1e3",
    "0x1",
    "null",
    "{",
    "٣",
]
ODD_NUMBERS = [
    0,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64,
    10**300,
    1.5,
    -0.0,
    1e308,
    1.7e308,
    10**400,
    float("inf"),
]
DEEP = json.loads("[" * 300 + "]" * 300)
ODD_VALUES = [
    None, True, *ODD_NUMBERS, float("nan"), "", "a\0b", "null", "x" * 9000, "\ud800", [], {}, [[]], [None],
    {"": None}, {"\ud800": 1}, DEEP,
]  # fmt: skip
odd_texts = st.sampled_from([*ODD_TEXTS, *(str(number) for number in ODD_NUMBERS)]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)

fuzz = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


def places(value, path=()):
    """The paths of everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from places(item, (*path, key))


def with_odd_value(value, path, odd):
    if not path:
        return odd
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return changed


@pytest.fixture(scope="module")
def session(server):
    with requests.Session() as session:
        session.headers["content-type"] = "application/json"
        for path, body in (
            ("/workflows", WORKFLOW),
            ("/compute_nodes", NODE),
            ("/bulk_files", {"files": [FILE]}),
        ):
            session.post(f"{server.url}{path}", json=body, timeout=5).raise_for_status()
        yield session


def check(server, answer):
    told = f"{answer.request.method} {answer.request.url} {answer.request.body!r}: {answer.status_code} {answer.text}"
    if answer.status_code == 500:  # torc's answer to some requests (torc wire 3.1)
        assert answer.json()["error"]["message"] != "", told
        reasons = (
            "offset must not be negative",
            "Expected SubmittedPending",
            "Failed to create result record",
        )
        assert any(reason in answer.text for reason in reasons), told
    else:
        assert answer.status_code in (200, 202, 400, 404, 405, 415, 422, 501), told
    if answer.headers.get("content-type") == "application/json":
        answer.json()
    assert "Traceback" not in server.log.read_text()[-20000:], told


@pytest.mark.parametrize(
    ("method", "path", "body"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES]
)
def test_odd_bodies(server, session, method, path, body):
    for place in places(body):
        for odd in ODD_VALUES:
            text = json.dumps(with_odd_value(body, place, odd))
            check(server, session.request(method, f"{server.url}{path}", data=text, timeout=5))


@fuzz
@given(st.sampled_from(LISTS), st.lists(st.tuples(st.sampled_from(PARAMETERS), odd_texts), max_size=3))
def test_odd_queries(server, session, path, query):
    check(server, session.get(f"{server.url}{path}", params=[("workflow_id", "1"), *query], timeout=5))


@fuzz
@given(st.sampled_from(PATHS), st.lists(odd_texts | st.just("1"), min_size=3, max_size=3))
def test_odd_paths(server, session, target, words):
    method, path = target
    url = server.url + path.format(*(quote(word, safe="") for word in words))
    check(server, session.request(method, url, timeout=5))


ROUTES = [
    (method.upper(), path)
    for path, item in description()["paths"].items()
    for method in item
    if method in ("get", "post", "put", "patch", "delete")
]
# A body in which every route finds the fields that it looks for.
ANYTHING = {
    **WORKFLOW, **FREE, **NEEDS, **FILE, **DATA, **NODE, **JOB, **RESULT, "jobs": [JOB],
    "files": [FILE], "user_data": [DATA],
    "completions": [{"job_id": 1, "status": "completed", "run_id": 1, "result": RESULT}], "host": "h",
}  # fmt: skip
numbers = st.sampled_from([1, *ODD_NUMBERS]) | st.integers() | st.floats()
scalars = (
    st.none()
    | st.booleans()
    | numbers
    | st.text(max_size=8)
    | st.sampled_from(["a\0b", "\ud800", "x" * 9000])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@settings(fuzz, max_examples=100)
@given(
    st.sampled_from(ROUTES),
    st.lists(st.just("1") | st.just("1") | odd_texts, min_size=4, max_size=4),
    st.lists(st.tuples(st.sampled_from([*places(ANYTHING)]), values), max_size=3),
    st.lists(st.tuples(st.sampled_from(PARAMETERS), odd_texts), max_size=2),
)
def test_odd_requests_for_every_route_of_torc(server, session, route, words, changes, query):
    method, template = route
    given_words = iter(words)
    path = re.sub(r"\{\w+\}", lambda _: quote(next(given_words), safe=""), template)
    body = ANYTHING
    for place, odd in changes:
        with contextlib.suppress(LookupError, TypeError):  # what an earlier change took away
            body = with_odd_value(body, place, odd)
    text = json.dumps(body)
    url = f"{server.url}{path}"
    check(server, session.request(method, url, params=[("workflow_id", "1"), *query], data=text, timeout=5))
    # what was stored can be read, and what was not is not there by half
    for reading in ("/workflows/1/status", "/workflows", "/jobs", "/results", "/compute_nodes", "/user_data"):
        answer = session.get(f"{server.url}{reading}", params={"workflow_id": "1"}, timeout=5)
        assert answer.status_code in (200, 404), (reading, answer.text)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b"null", 422),
        (b'{"name": "w", "user": "u", "env": {"A B": "x"}}', 422),
        (b'{"name": "w", "user": "u", "dynamic_jobs": {}}', 501),
        (b'{"name": "w", "user": "u", "use_pending_failed": true}', 501),
        (b'{"name": "w", "user": "u", "access_groups": ["team"]}', 501),
        (b'{"name": "w", "user": "u", "access_groups": [], "use_pending_failed": false}', 200),
    ],
)
def test_bodies_of_workflows(server, session, body, status):
    answer = session.post(f"{server.url}/workflows", data=body, timeout=5)
    assert answer.status_code == status, answer.text
    check(server, answer)


@pytest.mark.parametrize("nest", ["[%s]", '{"a": %s}'])
def test_whatever_nesting_is_taken_can_be_read_again(server, session, nest):
    left, right = nest.split("%s")
    kind = "list" if left == "[" else "object"
    refused = 0
    workflow = session.post(f"{server.url}/workflows", json={"name": kind, "user": "u"}, timeout=5).json()[
        "id"
    ]
    for depth in [10, *range(390, 410), 500, 5000, 50_000]:
        data = left * depth + "1" + right * depth
        entry = f'{{"workflow_id": {workflow}, "name": "{kind}{depth}", "data": {data}}}'
        answer = session.post(f"{server.url}/bulk_user_data", data=f'{{"user_data": [{entry}]}}', timeout=5)
        check(server, answer)
        refused += answer.status_code == 400
        newest = session.get(
            f"{server.url}/user_data?workflow_id={workflow}&reverse_sort=true&limit=1", timeout=5
        )
        assert newest.status_code == 200, depth
        assert answer.status_code == 200 or "more than 400 levels" in answer.text
    assert 10 < refused < 20


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /%ff%00?%zz=%ff HTTP/1.0\r\n\r\n",
        b"\r\n" * 50,
    ],
)
def test_what_is_hardly_http(server, session, text):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    check(server, session.get(f"{server.url}/ping", timeout=5))


def test_what_torc_has_and_we_have_not_is_refused_by_name(server):
    answer = requests.post(f"{server.url}/failure_handlers", json={}, timeout=5)
    assert answer.status_code == 501
    assert answer.json()["error"]["error"] == "NotImplemented"
    assert "POST /failure_handlers; use torc-server" in answer.json()["error"]["message"]


def test_outside_of_the_base_path_there_is_nothing(server):
    answer = requests.get(server.url.removesuffix("/torc-service/v1") + "/docs", timeout=5)
    assert (answer.status_code, answer.text) == (404, "")
