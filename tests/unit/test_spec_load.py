"""Spec files: what is read, and what is refused with a sentence that says where."""

import json
from pathlib import Path
from typing import Any

import pytest

from torc_remote.spec import JobSpec, ResourceRequirements, SpecError, load_spec, parse_spec

FULL = """
name: flow
description: three jobs
env: {SHARED: "1"}
compute_node_wait_for_new_jobs_seconds: 15
jobs:
  - name: join
    command: echo join
    depends_on: [left, prep]
  - name: left
    command: |
      echo left
      exit 3
    env: {MINE: on}
    depends_on: [prep]
    resource_requirements: small
    cancel_on_blocking_job_failure: false
  - {name: prep, command: "echo prep"}
resource_requirements:
  - {name: small, num_cpus: 2, memory: 100m, num_gpus: 1, runtime: P0DT5M}
"""


def job(**keys: Any) -> str:
    return json.dumps({"name": "w", "jobs": [{"name": "a", "command": "true"} | keys]})


def requirements(**keys: Any) -> str:
    both = {"name": "r", "num_cpus": 1, "memory": "1g"} | keys
    return json.dumps(
        {"name": "w", "jobs": [{"name": "a", "command": "true"}], "resource_requirements": [both]}
    )


def workflow(**keys: Any) -> str:
    return json.dumps({"name": "w", "jobs": [{"name": "a", "command": "true"}]} | keys)


def test_everything_that_is_served() -> None:
    spec = parse_spec(FULL, "flow.yaml")
    assert (spec.name, spec.description, spec.env) == ("flow", "three jobs", {"SHARED": "1"})
    assert spec.compute_node_wait_for_new_jobs_seconds == 15
    assert spec.jobs[1] == JobSpec("left", "echo left\nexit 3\n", {"MINE": "on"}, ("prep",), "small", False)
    assert spec.jobs[2] == JobSpec("prep", "echo prep")
    assert spec.resource_requirements == (ResourceRequirements("small", 2, "100m", 1, 1, "P0DT5M"),)
    assert [[job.name for job in level] for level in spec.levels()] == [["prep"], ["left"], ["join"]]


def test_json_and_yaml_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("name: w\njobs:\n- {name: a, command: 'true'}\n")
    (tmp_path / "w.json").write_text("﻿" + job(), encoding="utf-8")
    (tmp_path / "noext").write_text(job())
    specs = [load_spec(tmp_path / name) for name in ("w.yaml", "w.json", "noext")]
    assert specs[0] == specs[1] == specs[2]


def test_yaml_means_what_torc_takes_it_for() -> None:
    text = "name: off\njobs:\n- {name: 1:30, command: 2026-01-01, env: {A: yes, B: no}}\n"
    spec = parse_spec(text, "w.yaml")
    assert (spec.name, spec.jobs[0].name, spec.jobs[0].command) == ("off", "1:30", "2026-01-01")
    assert spec.jobs[0].env == {"A": "yes", "B": "no"}


def test_yaml_numbers_are_those_of_torc() -> None:
    values = "[1e-3, 1E3, 0x1F, 0o17, 0b11, +4, 007, 1_0, .5, 2., .inf]"
    text = f'name: w\njobs:\n- {{name: "{{v}}", command: x, parameters: {{v: {values}}}}}\n'
    names = [job.name for job in parse_spec(text, "w.yaml").jobs]
    assert names == ["0.001", "1000", "31", "15", "3", "4", "007", "1_0", "0.5", "2", "null"]


def test_yaml_merges() -> None:
    text = "name: w\njobs:\n- &a {name: a, command: x}\n- {<<: *a, name: b}\n"
    assert [job.name for job in parse_spec(text, "w.yaml").jobs] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nname: y\n", r"w\.yaml, line 2: .*'name' is given twice"),
        ("name: x\njobs:\n- name: a\n  command: x\n  name: b\n", r"w\.yaml, line 5: .*'name' is given twice"),
        ("name: x\njobs: [\n", r"w\.yaml, line 3: not valid YAML"),
        ("name: !!python/object/apply:os.system [x]\n", r"w\.yaml, line 1: not valid YAML"),
        ("- a\n", r"w\.yaml: must be a mapping"),
        ("", r"w\.yaml: must be a mapping of keys to values, not empty"),
        ("name: a\0b\n", r"w\.yaml: not valid YAML"),
        ("jobs: [{name: a, command: x}]\n", r"w\.yaml: the key 'name' is missing"),
        ("name: x\n", "'jobs' must be a list of at least one job"),
        ("name: x\njobs: {a: 1}\n", "'jobs' must be a list, not a dict"),
    ],
)
def test_text_that_is_no_spec(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(text, "w.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "x",\n "jobs": [}\n', r"w\.json, line 2: not valid JSON"),
        ('{"name": "x", "name": "y"}', r"w\.json: the key 'name' is given twice"),
        ("[" * 100_000, r"w\.json: nested too deeply"),
        (job(parameters={"v": [float("nan")]}), r"w\.json: not valid JSON: NaN is no number"),
        (job(comand="x"), r"job 1 \('a'\): unknown key 'comand'; did you mean 'command'\?"),
        (
            job(stdio={}),
            r"job 1 \('a'\): the key 'stdio' is not supported here; torc-server and the native",
        ),
        (workflow(actions=[]), r"w\.json: the key 'actions' is not supported here"),
        (workflow(zzz=1), r"w\.json: unknown key 'zzz'; known are: name description"),
        (requirements(partition="x"), r"resource_requirements 1 \('r'\): unknown key 'partition'"),
        (job(command=""), "'command' must be a text that is not empty"),
        (job(command=7), "'command' must be a text that is not empty, not 7"),
        (job(command="a\0b"), "'command' must be a text"),
        (job(env={"A": 1}), "'A' in 'env' must be a text; put it in quotes"),
        (job(env={"1A": "x"}), "'1A' in 'env' is no name of an environment variable"),
        (job(depends_on="b"), "'depends_on' must be a list"),
        (job(depends_on=["b"]), "job 'a' depends on 'b', which is no job"),
        (job(depends_on=["a"]), "in a circle .*: a -> a"),
        (job(resource_requirements="s"), "names the resource_requirements 's', which this spec does not"),
        (job(cancel_on_blocking_job_failure="yes"), "must be true or false, not 'yes'"),
        (requirements(memory="1x"), "'memory' must be a text such as"),
        (requirements(memory=100), "'memory' must be a text such as"),
        (requirements(num_cpus=0), "'num_cpus' must be a whole number of at least 1"),
        (requirements(num_cpus=True), "'num_cpus' must be a whole number"),
        (requirements(num_gpus=-1), "'num_gpus' must be a whole number of at least 0"),
        (requirements(num_nodes=0), "'num_nodes' must be a whole number of at least 1"),
        (requirements(runtime="1h"), "'runtime' must be an ISO 8601 duration"),
        (requirements(runtime="P"), "'runtime' must be an ISO 8601 duration"),
        (requirements(runtime="PT"), "'runtime' must be an ISO 8601 duration"),
        (workflow(jobs=[{"name": "a", "command": "x"}] * 2), "two job entries have the name 'a'"),
        (workflow(resource_monitor={}, resource_monitor_config={}), "not both"),
        (workflow(resource_monitor={"granularity": "fine"}), "'granularity' must be summary or time_series"),
        (workflow(resource_monitor={"interval": 1}), "resource_monitor: unknown key 'interval'"),
        (workflow(resource_monitor={"sample_interval_seconds": 0}), "at least 1"),
        (workflow(resource_monitor={"jobs": {"cpu": True}}), r"resource_monitor\.jobs: unknown key 'cpu'"),
    ],
)
def test_a_spec_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(text, "w.json")


@pytest.mark.parametrize("runtime", ["PT1H", "PT30S", "PT1.5S", "P1D", "P0DT1M", "P2W", "P1DT2H3M4S"])
def test_durations(runtime: str) -> None:
    assert parse_spec(requirements(runtime=runtime), "w.json").resource_requirements[0].runtime == runtime


@pytest.mark.parametrize("key", ["resource_monitor", "resource_monitor_config"])
def test_the_monitor_in_both_spellings(key: str) -> None:
    given = {"enabled": True, "granularity": "time_series", "sample_interval_seconds": 5}
    monitor = parse_spec(workflow(**{key: given}), "w.json").resource_monitor
    assert monitor is not None
    assert monitor["jobs"] == {"enabled": True, "granularity": "time_series"}
    assert (monitor["sample_interval_seconds"], monitor["flush_interval_seconds"]) == (5, 300)


def test_the_monitor_as_torc_sends_it() -> None:
    given = {
        "sample_interval_seconds": 1,
        "flush_interval_seconds": 2,
        "jobs": {"enabled": True, "granularity": "time_series"},
        "compute_node": {"enabled": True, "granularity": "time_series"},
    }
    assert parse_spec(workflow(resource_monitor=given), "w.json").resource_monitor == {
        "enabled": False,
        "granularity": "summary",
        "sample_interval_seconds": 1,
        "flush_interval_seconds": 2,
        "generate_plots": False,
        "jobs": {"enabled": True, "granularity": "time_series"},
        "compute_node": {"enabled": True, "granularity": "time_series", "cpu": True, "memory": True},
    }


def test_monitoring_is_on_in_summary_unless_refused() -> None:
    spec = parse_spec(workflow(), "w.json")
    assert spec.resource_monitor is not None
    assert spec.resource_monitor["jobs"] == {"enabled": True, "granularity": "summary"}
    assert spec.without_monitoring().resource_monitor is None


def test_a_long_chain_is_quick_and_a_circle_is_named() -> None:
    count = 5000
    jobs = [{"name": str(n), "command": "x", "depends_on": [str(n - 1)] if n else []} for n in range(count)]
    assert len(parse_spec(workflow(jobs=jobs), "w.json").levels()) == count
    circle = [{"name": n, "command": "x", "depends_on": [d]} for n, d in (("a", "c"), ("b", "a"), ("c", "b"))]
    with pytest.raises(SpecError, match=r"in a circle .*: [abc] -> [abc] -> [abc] -> [abc]"):
        parse_spec(workflow(jobs=circle), "w.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.yaml", None, "Cannot read the spec .*: No such file or directory"),
        ("latin.yaml", b"name: \xe9\n", "it is not UTF-8 text"),
        ("w.kdl", b"name x", ": the format kdl .* is not supported here"),
        ("w.json5", b"{}", ": the format json5 .* is not supported here"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match=message):
        load_spec(tmp_path / name)
