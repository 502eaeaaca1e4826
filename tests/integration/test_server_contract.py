"""Answers of endpoints that the recorded traffic lacks, against torc's API description."""

import pytest
import requests

from tests.support import wait_until
from tests.support.server_contract import NODE, RESULT, Caller, description

LISTS = [
    "/jobs", "/files", "/user_data", "/results", "/compute_nodes", "/resource_requirements",
    "/scheduled_compute_nodes", "/slurm_schedulers",
]  # fmt: skip


@pytest.fixture(scope="module")
def call(server):
    return Caller(server.url)


@pytest.fixture
def workflow(call):
    return call("POST", "/workflows", {"name": "w", "user": "alice", "description": "Of Things"})["id"]


@pytest.fixture
def jobs(call, workflow):
    """A job that makes a file and a datum, and one that reads them; initialized."""
    file = call("POST", "/bulk_files", {"files": [{"workflow_id": workflow, "name": "f", "path": "f.txt"}]})
    data = {"workflow_id": workflow, "name": "d", "is_ephemeral": False}
    datum = call("POST", "/bulk_user_data", {"user_data": [data]})["user_data"][0]["id"]
    ids = {"file_ids": [file["files"][0]["id"]], "user_data_ids": [datum]}
    maker = {
        "name": "make",
        "command": "true",
        "priority": 2,
        **{f"output_{name}": i for name, i in ids.items()},
    }
    reader = {
        "name": "read",
        "command": "cat f.txt",
        "labels": ["big"],
        **{f"input_{name}": i for name, i in ids.items()},
    }
    bodies = [{"workflow_id": workflow, **body} for body in (maker, reader)]
    made = call("POST", "/bulk_jobs", {"jobs": bodies})["jobs"]
    call("POST", f"/workflows/{workflow}/reset_status")
    call("POST", f"/workflows/{workflow}/initialize_jobs")
    return [job["id"] for job in made]


def names(answer):
    return [item["name"] for item in answer["items"]]


def run_one(call, workflow, node, labels=""):
    claim = f"/workflows/{workflow}/claim_next_jobs"
    job = wait_until(lambda: call("POST", claim, limit=1, labels=labels)["jobs"])[0]["id"]
    call("PUT", f"/jobs/{job}/start_job/1/{node}")
    result = {
        **RESULT,
        "job_id": job,
        "workflow_id": workflow,
        "compute_node_id": node,
        "status": "completed",
    }
    call("POST", f"/jobs/{job}/complete_job/completed/1", result)
    return job


def test_jobs_and_their_relations(call, workflow, jobs):
    maker, reader = jobs
    listed = call("GET", "/jobs", workflow_id=workflow, include_relationships=True)["items"]
    assert "depends_on_job_ids" not in listed[0]
    assert listed[1]["depends_on_job_ids"] == [maker]
    assert listed[0]["output_file_ids"] == listed[1]["input_file_ids"]
    assert listed[0]["output_user_data_ids"] == listed[1]["input_user_data_ids"]
    file = listed[0]["output_file_ids"][0]
    assert names(call("GET", "/jobs", workflow_id=workflow, needs_file_id=file)) == ["read"]
    assert names(call("GET", "/jobs", workflow_id=workflow, upstream_job_id=maker)) == ["read"]
    assert names(call("GET", "/jobs", workflow_id=workflow, labels="")) == ["make"]
    assert names(call("GET", "/jobs", workflow_id=workflow, labels="big,new")) == ["read"]
    assert names(call("GET", "/jobs", workflow_id=workflow, command="F.TXT")) == ["read"]
    assert names(call("GET", "/jobs", workflow_id=workflow, origin_is_set=True)) == []
    assert names(call("GET", "/jobs", workflow_id=workflow, sort_by="name", reverse_sort=True)) == [
        "read",
        "make",
    ]
    assert call("GET", f"/jobs/{reader}")["status"] == "blocked"


def test_an_unknown_column_to_sort_by_is_named(call, workflow):
    answer = requests.get(f"{call.url}/jobs?workflow_id={workflow}&sort_by=nonsense", timeout=5)
    assert answer.status_code == 422
    assert (
        "Cannot sort by 'nonsense': choose one of id, workflow_id, name" in answer.json()["error"]["message"]
    )


def test_pages(call, workflow):
    bodies = [{"workflow_id": workflow, "name": f"j{n}", "command": "true"} for n in range(5)]
    call("POST", "/bulk_jobs", {"jobs": bodies})
    page = call("GET", "/jobs", workflow_id=workflow, offset=3, limit=1)
    assert names(page) == ["j3"]
    assert (page["offset"], page["count"], page["total_count"], page["has_more"]) == (3, 1, 5, True)
    assert not call("GET", "/jobs", workflow_id=workflow, offset=3, limit=2)["has_more"]
    for wrong in ({"limit": 100_001}, {"limit": -1}, {"offset": -1}):
        call("GET", "/jobs", workflow_id=workflow, expect=500, **wrong)


def test_files_and_user_data(call, workflow, jobs):
    maker, reader = jobs
    for path, lists in (("files", {"produced_by_job_id": maker}), ("user_data", {"producer_job_id": maker})):
        item = call("GET", f"/{path}", workflow_id=workflow, **lists)["items"][0]
        assert call("GET", f"/{path}/{item['id']}") == item
        assert call("GET", f"/{path}", workflow_id=workflow, name="other")["items"] == []
    datum = call("GET", "/user_data", workflow_id=workflow, consumer_job_id=reader)["items"][0]
    changed = {**datum, "data": {"answer": 42}}
    assert call("PUT", f"/user_data/{datum['id']}", changed) == changed


def test_what_must_exist_before_a_start(call, workflow):
    file = {"workflow_id": workflow, "name": "in", "path": "in.txt"}
    file_id = call("POST", "/bulk_files", {"files": [file]})["files"][0]["id"]
    data = {"workflow_id": workflow, "name": "d", "is_ephemeral": False}
    data_id = call("POST", "/bulk_user_data", {"user_data": [data]})["user_data"][0]["id"]
    job = {"workflow_id": workflow, "name": "j", "command": "true", "input_file_ids": [file_id]}
    call("POST", "/bulk_jobs", {"jobs": [{**job, "input_user_data_ids": [data_id]}]})
    assert call("GET", f"/workflows/{workflow}/required_existing_files") == {"files": [file_id]}
    assert call("GET", f"/workflows/{workflow}/missing_user_data") == {"user_data": [data_id]}
    call("PUT", f"/user_data/{data_id}", {**data, "data": 0})
    assert call("GET", f"/workflows/{workflow}/missing_user_data") == {"user_data": []}


def test_files_of_completed_jobs_must_exist(call, workflow, jobs):
    node = call("POST", "/compute_nodes", {**NODE, "workflow_id": workflow})["id"]
    assert call("GET", f"/workflows/{workflow}/required_existing_files") == {"files": []}
    run_one(call, workflow, node)
    assert len(call("GET", f"/workflows/{workflow}/required_existing_files")["files"]) == 1


def test_results(call, workflow, jobs):
    node = call("POST", "/compute_nodes", {**NODE, "workflow_id": workflow})["id"]
    done = [run_one(call, workflow, node), run_one(call, workflow, node, "big")]
    results = call("GET", "/results", workflow_id=workflow, compute_node_id=node, status="completed")["items"]
    assert [(result["job_id"], result["job_name"]) for result in results] == list(
        zip(done, ["make", "read"], strict=True)
    )
    assert call("GET", "/results", workflow_id=workflow, job_id=done[0], run_id=1)["count"] == 1
    assert call("GET", "/results", workflow_id=workflow, return_code=1)["items"] == []
    one = call("GET", f"/results/{results[0]['id']}")
    assert {**one, "job_name": "make"} == results[0]


def test_results_of_earlier_runs(call, workflow, jobs):
    node = call("POST", "/compute_nodes", {**NODE, "workflow_id": workflow})["id"]
    run_one(call, workflow, node)
    call("POST", f"/workflows/{workflow}/reset_status")
    call("POST", f"/workflows/{workflow}/reset_job_status")
    assert call("GET", "/results", workflow_id=workflow)["count"] == 1
    call("POST", f"/workflows/{workflow}/initialize_jobs")
    assert call("GET", "/results", workflow_id=workflow)["items"] == []
    assert call("GET", "/results", workflow_id=workflow, all_runs=True)["count"] == 1


def test_jobs_whose_input_data_changed(call, workflow, jobs):
    process = f"/workflows/{workflow}/process_changed_job_inputs"
    statuses = lambda: [job["status"] for job in call("GET", "/jobs", workflow_id=workflow)["items"]]  # noqa: E731  (used thrice)
    node = call("POST", "/compute_nodes", {**NODE, "workflow_id": workflow})["id"]
    run_one(call, workflow, node)
    run_one(call, workflow, node, "big")
    (datum,) = call("GET", "/user_data", workflow_id=workflow)["items"]
    assert call("POST", process) == {"reinitialized_jobs": []}
    call("PUT", f"/user_data/{datum['id']}", {**datum, "data": {"new": 1}})
    assert call("POST", process, dry_run=True) == {"reinitialized_jobs": ["read"]}
    assert statuses() == ["completed", "completed"]
    assert call("POST", process) == {"reinitialized_jobs": ["read"]}
    assert statuses() == ["completed", "uninitialized"]
    call("POST", f"/workflows/{workflow}/initialize_jobs", only_uninitialized=True)
    assert statuses() == ["completed", "ready"]
    assert call("POST", process) == {"reinitialized_jobs": []}


def test_compute_nodes(call, workflow):
    node = call("POST", "/compute_nodes", {**NODE, "workflow_id": workflow, "is_active": True})
    assert call("GET", "/compute_nodes", workflow_id=workflow, is_active=True, hostname="h")["items"] == [
        node
    ]
    assert call("GET", f"/workflows/{workflow}/status")["active_compute_nodes"] == 1
    ended = call("PUT", f"/compute_nodes/{node['id']}", {**node, "is_active": False, "duration_seconds": 1.5})
    assert ended == {**node, "is_active": False, "duration_seconds": 1.5}
    assert call("GET", "/compute_nodes", workflow_id=workflow, is_active=True)["items"] == []
    assert call("DELETE", f"/compute_nodes/{node['id']}") == ended
    call("GET", f"/compute_nodes/{node['id']}", expect=404)
    call("POST", "/compute_nodes", {**NODE, "workflow_id": 10**9}, expect=404)


def test_resource_requirements(call, workflow):
    needs = {"workflow_id": workflow, "name": "big", "num_cpus": 4, "memory": "8g", "runtime": "PT1H"}
    made = call("POST", "/resource_requirements", needs)
    assert made == {**needs, "id": made["id"], "num_gpus": 0, "num_nodes": 1}
    assert call("GET", f"/resource_requirements/{made['id']}") == made
    assert names(call("GET", "/resource_requirements", workflow_id=workflow)) == ["default", "big"]
    assert names(call("GET", "/resource_requirements", workflow_id=workflow, name="big")) == ["big"]
    for wrong in ({"name": "big"}, {"memory": "many"}, {"runtime": "1h"}, {"num_cpus": -1}):
        answer = requests.post(
            f"{call.url}/resource_requirements", json={**needs, "name": "x", **wrong}, timeout=5
        )
        assert answer.status_code == 422
        assert set(answer.json()["error"]) == {"message", "field", "value"}


def test_workflow_lists(call, workflow):
    def found(**query):
        return workflow in [item["id"] for item in call("GET", "/workflows", **query)["items"]]

    assert found(user="alice", is_archived=False, name="w", description="things")
    assert not found(user="bob")
    assert not found(name="W")
    assert not found(is_archived=True)
    assert not found(description="nothing")


def test_a_deleted_workflow_is_gone(call, workflow, jobs):
    call("DELETE", f"/workflows/{workflow}")
    for path in ("", "/status", "/is_complete", "/remote_workers", "/is_uninitialized"):
        assert requests.get(f"{call.url}/workflows/{workflow}{path}", timeout=5).status_code == 404
    for path in LISTS:
        assert requests.get(f"{call.url}{path}?workflow_id={workflow}", timeout=5).status_code == 404
    assert requests.get(f"{call.url}/jobs/{jobs[0]}", timeout=5).status_code == 404


def test_every_route_is_one_of_torc(server):
    """Nothing of our own invention: clients must not come to need what torc-server lacks.

    But for what a host is given instead of the password, which a worker needs on a server that lacks it.
    """
    from torc_remote.builtin.server.routes import data, jobs, lifecycle, records, service, workflows

    known = {
        (method.upper(), anonymous(path)) for path, item in description()["paths"].items() for method in item
    }
    ours = {
        (method, anonymous(route.path))
        for module in (data, jobs, lifecycle, records, service, workflows)
        for route in module.router.routes
        if route.path != "/{path:path}"
        for method in route.methods
    }
    assert ours - known == {("POST", "/workflows/{}/worker_tokens")}


def anonymous(path):
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
