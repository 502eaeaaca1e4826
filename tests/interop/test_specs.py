"""Specs on both engines: torc's own examples and what they leave out, either the same or refused, never else."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server
from tests.interop.conftest import StartTorcServer
from tests.interop.spec_samples import REFUSED_BY_BOTH, SAMPLES
from tests.support.native import Native, crate_directory
from tests.support.workers import Record, Rest, run_worker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.spec import SpecError, UnsupportedSpecError, create_workflow, load_spec

pytestmark = pytest.mark.slow

TORC = Path(sys.executable).with_name("torc")
# The examples that we serve, with the files that must be there before they run; None: not run, as it downloads.
SERVED: dict[str, list[str] | None] = {
    "subgraphs/subgraphs_workflow_no_slurm.yaml": ["input_a.txt", "input_b.txt"],
    "yaml/data_pipeline_parameterized.yaml": None,
    "yaml/diamond_workflow.yaml": ["f1.json"],
    "yaml/hundred_jobs_parameterized.yaml": [],
    "yaml/hyperparameter_sweep.yaml": [],
    "yaml/hyperparameter_sweep_shared_params.yaml": [],
    "yaml/priority_workflow.yaml": [],
    "yaml/simulation_sweep.yaml": [],
}
MACHINE = ["--num-cpus", "8", "--memory-gb", "64", "--num-gpus", "0"]


def examples() -> list[str]:
    """All of torc's example specs, relative to their folder; none without torc's source."""
    folder = (crate_directory() or Path("/nowhere")) / "examples"
    found = [path for kind in ("yaml", "json", "kdl", "subgraphs") for path in folder.glob(f"{kind}/*.*")]
    return sorted(str(path.relative_to(folder)) for path in found if path.suffix != ".md")


@pytest.fixture(scope="module")
def real(torc_server: StartTorcServer) -> Rest:
    return Rest(torc_server().url)


@pytest.fixture
def ours(server: Server) -> Rest:
    return Rest(server.url)


@pytest.fixture
def at_work(tmp_path: Path, crate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the scripts and the examples of torc's source; the current one."""
    directory = copy_of(crate, tmp_path / "work")
    monkeypatch.chdir(directory)
    return directory


def copy_of(crate: Path, directory: Path) -> Path:
    shutil.copytree(crate / "examples", directory / "examples")
    shutil.copytree(crate / "tests" / "scripts", directory / "tests" / "scripts")
    return directory


def create_natively(native: Native, rest: Rest, spec: str | Path) -> int:
    made = native.run("--format", "json", "create", str(spec), url=rest.url, cwd=Path.cwd())
    assert made.returncode == 0, made.stderr
    return int(json.loads(made.stdout)["workflow_id"])


def create_with_ours(rest: Rest, spec: str | Path) -> int:
    return create_workflow(TorcClient(Settings(api_url=rest.url)), load_spec(spec), "tester")


def picture(rest: Rest, workflow_id: int) -> dict[str, Any]:
    """All of a workflow, with names in place of IDs and without order: torc's own order of products varies."""
    jobs, files, requirements = (
        rest.call("GET", f"/{kind}?workflow_id={workflow_id}{more}")["items"]
        for kind, more in (
            ("jobs", "&include_relationships=true"),
            ("files", ""),
            ("resource_requirements", ""),
        )
    )
    names = {
        "depends_on_job_ids": {job["id"]: job["name"] for job in jobs},
        "input_file_ids": {file["id"]: file["name"] for file in files},
        "output_file_ids": {file["id"]: file["name"] for file in files},
    }
    needs = {item["id"]: item["name"] for item in requirements}
    for job in jobs:
        job["resource_requirements_id"] = needs[job["resource_requirements_id"]]
        job |= {key: sorted(names[key][i] for i in job[key]) for key in names if key in job}
    for file in files:
        file |= {"st_mtime": round(file["st_mtime"], 3)} if "st_mtime" in file else {}
    return {
        "workflow": _without(rest.call("GET", f"/workflows/{workflow_id}"), "id", "timestamp"),
        **{
            kind: {item["name"]: _without(item, "id", "workflow_id") for item in items}
            for kind, items in (("jobs", jobs), ("files", files), ("requirements", requirements))
        },
    }


def _without(item: Record, *keys: str) -> Record:
    return {key: value for key, value in item.items() if key not in keys}


def assert_same(native: Native, real: Rest, ours: Rest, spec: str | Path) -> None:
    """What the native CLI makes on the real server is what ours makes there, and on the built-in server."""
    wanted = picture(real, create_natively(native, real, spec))
    assert wanted["workflow"].pop("use_pending_failed") is False  # we leave it out, which says the same
    assert picture(real, create_with_ours(real, spec)) == wanted
    # torc-server fills in how its workers wait; the built-in one leaves that to the worker
    wanted["workflow"] = {
        key: v for key, v in wanted["workflow"].items() if not key.startswith("compute_node_")
    }
    assert picture(ours, create_with_ours(ours, spec)) == wanted


@pytest.mark.parametrize("example", examples())
def test_each_example_is_served_or_refused_by_name(crate: Path, example: str) -> None:
    path = crate / "examples" / example
    if example in SERVED:
        assert load_spec(path).jobs
        return
    with pytest.raises(
        UnsupportedSpecError, match="torc-server and the native 'torc create' do it"
    ) as refusal:
        load_spec(path)
    named = re.search(r"the (key '(\w+)'|format (\w+))", str(refusal.value))
    assert named is not None
    assert path.suffix == f".{named[3]}" if named[3] else re.search(rf"\b{named[2]}\b", path.read_text())


@pytest.mark.parametrize("example", SERVED)
def test_an_example_makes_the_same_workflow(
    native: Native, real: Rest, ours: Rest, at_work: Path, example: str
) -> None:
    for name in SERVED[example] or ():
        (at_work / name).write_text("{}\n")
    assert_same(native, real, ours, at_work / "examples" / example)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_makes_the_same_workflow(
    native: Native, real: Rest, ours: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.txt").write_text("an input that exists\n")
    Path("w.yaml").write_text(f"name: {name}\n{SAMPLES[name]}")
    assert_same(native, real, ours, "w.yaml")


@pytest.mark.parametrize("name", REFUSED_BY_BOTH)
def test_a_faulty_sample_is_refused_by_both(native: Native, real: Rest, tmp_path: Path, name: str) -> None:
    (tmp_path / "w.yaml").write_text(f"name: w\n{REFUSED_BY_BOTH[name]}")
    assert native.run("create", "w.yaml", url=real.url, cwd=tmp_path).returncode == 1
    with pytest.raises(SpecError) as refusal:
        load_spec(tmp_path / "w.yaml")
    assert not isinstance(refusal.value, UnsupportedSpecError)


def run_on_both(
    native: Native, real: Rest, ours: Rest, spec: str, directories: Iterator[Path], *options: str
) -> tuple[int, int]:
    """Create and run natively in one directory, with all of ours in another, side by side; the workflows' IDs."""
    first, second = directories
    on_real, on_ours = create_natively(native, real, spec), create_with_ours(ours, spec)
    words = ["run", str(on_real), "-p", "0.5", *MACHINE, *options]
    with ThreadPoolExecutor() as both:
        natively = both.submit(native.run, *words, url=real.url, cwd=first)
        run_worker(ours.url, on_ours, second, *MACHINE, *options)
        assert natively.result().returncode == 0, natively.result().stderr
    return on_real, on_ours


@pytest.mark.parametrize("example", [name for name, inputs in SERVED.items() if inputs is not None])
def test_an_example_ends_the_same(
    native: Native, real: Rest, ours: Rest, crate: Path, at_work: Path, tmp_path: Path, example: str
) -> None:
    """Most of them call programs that are not there: then the same jobs fail and the same are canceled."""
    other = copy_of(crate, tmp_path / "other")
    for directory in (at_work, other):
        for name in SERVED[example] or ():
            (directory / name).write_text("{}\n")
    on_real, on_ours = run_on_both(native, real, ours, f"examples/{example}", iter([other, at_work]))
    states = ours.states(on_ours)
    assert states == real.states(on_real)
    succeeds = example in ("yaml/diamond_workflow.yaml", "yaml/hundred_jobs_parameterized.yaml")
    assert set(states.values()) == ({"completed"} if succeeds else {"failed", "canceled"})
    assert _codes(ours, on_ours) == _codes(real, on_real)


def _codes(rest: Rest, workflow_id: int) -> dict[str, int]:
    return {name: result["return_code"] for name, result in rest.results(workflow_id).items()}


def test_files_scripts_and_priorities_have_the_same_effect(
    native: Native, real: Rest, ours: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = [tmp_path / "native", tmp_path / "ours"]
    for directory in directories:
        directory.mkdir()
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(
        """
name: effects
files: [{name: made, path: made.txt}, {name: unmade, path: unmade.txt}]
jobs:
  - name: "low{i}"
    command: "echo low{i} >> order; exit {i}"
    parameters: {i: "0:2"}
  - {name: high, command: "echo high >> order; echo done > ${files.output.made}", priority: 9}
  - {name: reads, command: "cat ${files.input.made} >> order", priority: 8, invocation_script: "exec nice"}
  - {name: script, command: "echo $WHAT >> order", priority: 7, invocation_script: "#!/bin/bash\\nWHAT=set"}
  - {name: liar, command: "true", output_files: [unmade], priority: 6}
  - {name: victim, command: "echo victim >> order", input_files: [unmade], priority: 5}
"""
    )
    on_real, on_ours = run_on_both(
        native, real, ours, "w.yaml", iter(directories), "--max-parallel-jobs", "1"
    )
    expected = {"low0": 0, "low1": 1, "low2": 2, "high": 0, "reads": 0, "script": 0, "liar": 1}
    assert _codes(ours, on_ours) == _codes(real, on_real) == expected
    assert ours.states(on_ours) == real.states(on_real)
    assert ours.states(on_ours)["victim"] == "canceled"
    orders = [(directory / "order").read_text().split() for directory in directories]
    assert sorted(orders[0]) == sorted(orders[1]) == ["done", "high", "low0", "low1", "low2", "set"]
    assert orders[0][0] == orders[1][0] == "high"


def cli(url: str, cwd: Path, *words: str, path: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command of our CLI with `path` on the PATH."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    return subprocess.run(
        [TORC, *words],
        cwd=cwd,
        env=variables | {"TORC_API_URL": url, "TORC_USERNAME": "tester", "PATH": f"{path}:/usr/bin:/bin"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words", [["create", "w.yaml"], ["-f", "json", "workflows", "create", "w.yaml"], ["create", "-"]]
)
def test_a_spec_for_the_real_torc_is_handed_on(
    native: Native, real: Rest, crate: Path, tmp_path: Path, words: list[str]
) -> None:
    text = (crate / "examples/yaml/workflow_actions_simple.yaml").read_text()
    (tmp_path / "w.yaml").write_text(text)
    made = cli(real.url, tmp_path, *words, path=native.torc.parent, stdin=text)
    assert made.returncode == 0, made.stderr
    number = json.loads(made.stdout)["workflow_id"] if "json" in words else made.stdout.split()[-1]
    assert len(real.call("GET", f"/workflows/{number}/actions")) == 2


def test_it_is_run_by_the_real_torc(native: Native, real: Rest, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(
        """\
name: regular
jobs:
  - {name: part1, command: echo one > part1}
  - {name: whole, command: cat part1 > whole, depends_on_regexes: ["^part"]}
"""
    )
    words = ["run", "w.yaml", "--poll-interval", "1", "--max-parallel-jobs", "1"]
    done = cli(real.url, tmp_path, *words, path=native.torc.parent)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "whole").read_text() == "one\n"


@pytest.mark.parametrize("command", ["create", "run"])
def test_it_is_refused_without_a_real_server_or_a_native_torc(
    native: Native, real: Rest, ours: Rest, crate: Path, tmp_path: Path, command: str
) -> None:
    spec = str(crate / "examples/yaml/workflow_actions_simple.yaml")
    for rest, path in ((ours, native.torc.parent), (real, tmp_path)):
        before = rest.call("GET", "/workflows")["total_count"]
        refused = cli(rest.url, tmp_path, command, spec, path=path)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "the key 'actions' is not supported here; torc-server and the native" in refused.stderr
        assert rest.call("GET", "/workflows")["total_count"] == before
