"""Parameters and variables: what becomes of templates; the values are those of torc 1.0 (torc wire 2.1, 2.2)."""

import json
from typing import Any

import pytest

from torc_remote.spec import SpecError, UnsupportedSpecError, WorkflowSpec, parse_spec


def spec(text: str) -> WorkflowSpec:
    return parse_spec(f"name: w\n{text}", "w.yaml")


def expanded(template: str = "{v}", **parameters: Any) -> list[str]:
    """The names of the jobs that one template makes."""
    job = {"name": template, "command": "x", "parameters": parameters}
    return [job.name for job in parse_spec(json.dumps({"name": "w", "jobs": [job]}), "w.json").jobs]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("1:4", "1 2 3 4"),
        ("0:100:25", "0 25 50 75 100"),
        ("5:1:-2", "5 3 1"),
        ("1:2:", "1 2"),
        ("{1:2}", "1 2"),
        ("0.0:0.6:0.2", "0 0.2 0.4 0.6000000000000001"),
        ("1:2.5", "1 2"),
        ("[1, 2.50,'a', \"b\"]", "1 2.5 a b"),
        ([1, "a", 2.0, True, "01"], "1 a 2 true 01"),
        (["a,b", "c"], "a b c"),
        (7, "7"),
        (1e-7, "0.0000001"),
        (1e20, "100000000000000000000"),
        ("word", "word"),
    ],
)
def test_values(given: Any, values: str) -> None:
    assert " ".join(expanded(v=given)) == values


@pytest.mark.parametrize("given", ["2:1", "[]"])
def test_no_values_make_no_jobs(given: str) -> None:
    jobs = f'jobs: [{{name: a, command: x}}, {{name: "{{v}}", command: x, parameters: {{v: "{given}"}}}}]'
    assert [job.name for job in spec(jobs).jobs] == ["a"]


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{v:03d}", 7, "007"),
        ("{v:03d}", -7, "-07"),
        ("{v:3d}", 7, "7"),
        ("{v:.2f}", 7, "7"),
        ("{v:.2f}", 0.125, "0.12"),
        ("{v:03d}", 0.5, "0.5"),
        ("{v:>9}", "x", "x"),
        ("${v}-{other}", 1, "$1-{other}"),
    ],
)
def test_formats(template: str, value: Any, text: str) -> None:
    assert expanded(template, v=[value]) == [text]


def test_product_and_zip() -> None:
    assert expanded("{a}{b}", a="1:2", b=["x", "y"]) == ["1x", "1y", "2x", "2y"]
    zipped = 'jobs: [{name: "{a}{b}", command: x, parameters: {a: "1:2", b: [x, y]}, parameter_mode: zip}]'
    assert [job.name for job in spec(zipped).jobs] == ["1x", "2y"]


def test_all_that_is_filled_in() -> None:
    workflow = spec(
        """
files: [{name: "f{i}", path: "d/{i}", parameters: {i: "1:1"}}, {name: "g1", path: g}]
resource_requirements: [{name: r1, num_cpus: 1, memory: 1m}]
jobs:
  - {name: d1, command: x}
  - name: "j{i}"
    command: "c {i}"
    invocation_script: "s {i}"
    env: {E: "e{i}"}
    depends_on: ["d{i}"]
    input_files: ["f{i}"]
    output_files: ["g{i}"]
    resource_requirements: "r{i}"
    parameters: {i: 1}
"""
    )
    job = workflow.jobs[1]
    assert (job.name, job.command, job.invocation_script, job.env) == ("j1", "c 1", "s 1", {"E": "e1"})
    assert (job.depends_on, job.input_files, job.output_files) == (("d1",), ("f1",), ("g1",))
    assert (job.resource_requirements, workflow.files[0].path) == ("r1", "d/1")


def test_shared_parameters() -> None:
    workflow = spec(
        """
parameters: {seed: 42, lr: [0.1, 0.2]}
env: {SEED: "{seed}"}
jobs:
  - {name: "a{lr}", command: "{lr} {seed}", use_parameters: [lr, nowhere]}
  - {name: "b{lr}", command: x, use_parameters: [seed], parameters: {lr: 3}}
  - {name: "c{lr}", command: x}
"""
    )
    assert [job.name for job in workflow.jobs] == ["a0.1", "a0.2", "b3", "c{lr}"]
    assert (workflow.jobs[0].command, workflow.env) == ("0.1 {seed}", {"SEED": "42"})


def test_variables() -> None:
    workflow = spec(
        """
description: of {team}
metadata: {"{team}": ["{team:x}", 1]}
variables: {team: "t ${HOME}", root: /r}
files: [{name: f, path: "{root}/f"}]
jobs: [{name: "j{i}", command: "{root} ${root} {i} {print $1} '{ {root} }'", parameters: {i: ["{root}"]}}]
"""
    )
    assert (workflow.description, workflow.metadata) == ("of t ${HOME}", {"{team}": ["t ${HOME}", 1]})
    assert workflow.files[0].path == "/r/f"
    assert workflow.jobs[0].command == "/r ${root} /r {print $1} '{ {root} }'"


def test_braces_mean_nothing_without_variables() -> None:
    assert spec("variables: {}\njobs: [{name: a, command: 'echo {x}'}]").jobs[0].command == "echo {x}"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"v": "a:b"}, "'a:b' is no range"),
        ({"v": "1:2:3:4"}, "'1:2:3:4' is no range"),
        ({"v": "1:9:0.5"}, "is no range"),
        ({"v": "1:2:0"}, "has no end, or too many values"),
        ({"v": "0:inf"}, "has no end"),
        ({"v": "0:10000000000"}, "too many values"),
        ({"v": "0:1:1e-9"}, "is no range"),
        ({"v": "0.0:1:1e-9"}, "too many values"),
        ({"v": {"a": 1}}, "must be a range, one value, or a list of values"),
        ({"v": [[1], [2]]}, "must be a range, one value, or a list of values"),
        (["v"], "'parameters' must be a mapping"),
    ],
)
def test_parameters_that_are_refused(parameters: Any, message: str) -> None:
    job = {"name": "{v}", "command": "x", "parameters": parameters}
    with pytest.raises(SpecError, match=rf"w\.json: job 1 \('{{v}}'\).*{message}"):
        parse_spec(json.dumps({"name": "w", "jobs": [job]}), "w.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'jobs: [{name: "{a}{b}", command: x, parameters: {a: "1:2", b: "1:3"}, parameter_mode: zip}]',
            "with zip, all parameters need equally many values; a has 2, b has 3",
        ),
        ("jobs: [{name: a, command: x, parameter_mode: zap}]", "'parameter_mode' must be product or zip"),
        ('jobs: [{name: a, command: x, parameters: {i: "1:2"}}]', "two job entries have the name 'a'; with"),
        (
            'parameters: {i: "1:2"}\nenv: {A: "{i:03d}"}\njobs: [{name: a, command: x}]',
            "'A' in 'env' names 'i', which has several values",
        ),
        ("variables: [a]\njobs: [{name: a, command: x}]", "'variables' must be a mapping"),
        ("variables: {a: 1}\njobs: [{name: a, command: x}]", "the variable 'a' must be a text"),
        ("variables: {a-b: c}\njobs: [{name: a, command: x}]", "'a-b' in 'variables' must consist of"),
        ('variables: {a: "{b}"}\njobs: [{name: a, command: x}]', r"variable 'a' contains '\{b\}'"),
        ('variables: {a: b}\njobs: [{name: a, command: "{c:d}"}]', r"'\{c\}' in .* is neither a variable"),
        (
            'variables: {i: b}\njobs: [{name: "{i}", command: x, parameters: {i: 1}}]',
            "'i' is both a variable and a parameter",
        ),
    ],
)
def test_specs_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(text)


@pytest.mark.parametrize(
    "text",
    [
        'jobs: [{name: "{i}", command: x, parameters: {i: "@values.txt"}}]',
        "jobs: [{name: a, command: x, parameters_file: t.csv}]",
        "files: [{name: a, path: x, identifier: doi}]\njobs: [{name: a, command: x}]",
        'variables: {a: b}\njobs: [{name: "{column}", command: x, parameters_file: t.csv}]',
    ],
)
def test_what_only_the_real_torc_does_is_known_as_such(text: str) -> None:
    with pytest.raises(UnsupportedSpecError, match="torc-server and the native 'torc create' do it"):
        spec(text)
