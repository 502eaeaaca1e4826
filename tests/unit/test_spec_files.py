"""Files of a spec: the tokens that name them, and the order of jobs that they imply (torc wire 2.2)."""

import pytest

from torc_remote.spec import FileSpec, JobSpec, SpecError, WorkflowSpec, parse_spec
from torc_remote.spec.files import implied_dependencies

FILES = "files: [{name: in, path: in.txt}, {name: out, path: d/out.txt}, {name: more, path: more.txt}]"


def spec(jobs: str) -> WorkflowSpec:
    return parse_spec(f"name: w\n{FILES}\njobs:\n{jobs}", "w.yaml")


def job(keys: str) -> JobSpec:
    return spec(f"- {{name: a, {keys}}}").jobs[0]


def test_tokens_of_the_command_replace_the_lists() -> None:
    found = job('command: "cp ${files.input.in} ${files.output.out} ${files.input.in}", input_files: [more]')
    assert found.command == "cp in.txt d/out.txt in.txt"
    assert (found.input_files, found.output_files) == (("in",), ("out",))


def test_a_list_without_its_kind_of_token_stays() -> None:
    found = job('command: "cat ${files.input.in}", output_files: [more]')
    assert (found.input_files, found.output_files) == (("in",), ("more",))


def test_tokens_of_the_script_are_added() -> None:
    found = job(
        'command: "cat ${files.input.in}", invocation_script: "x ${files.input.more} ${files.output.out}"'
    )
    assert found.invocation_script == "x more.txt d/out.txt"
    assert (found.input_files, found.output_files) == (("in", "more"), ("out",))


def test_what_is_no_file_stays_as_it_is() -> None:
    text = "echo ${files.input.nowhere} ${files.x} ${user_data.input.in} $HOME"
    assert job(f'command: "{text}"').command == text


def test_the_order_that_files_imply() -> None:
    jobs = [
        JobSpec("last", "x", input_files=("f", "g")),
        JobSpec("first", "x", output_files=("f",)),
        JobSpec("also", "x", output_files=("f", "g")),
    ]
    assert implied_dependencies(jobs) == {"last": ("first", "also", "also"), "first": (), "also": ()}


def test_a_file_with_its_time() -> None:
    text = "name: w\nfiles: [{name: f, path: p, st_mtime: 1.5}]\njobs: [{name: a, command: x}]"
    assert parse_spec(text, "w.yaml").files == (FileSpec("f", "p", 1.5),)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ("- {name: a, command: x, input_files: [f]}", "job 'a' reads 'f', which is no file of this spec"),
        ("- {name: a, command: x, output_files: [f]}", "job 'a' writes 'f', which is no file of this spec"),
        (
            "- {name: a, command: x, input_files: [in], output_files: [out]}\n"
            "- {name: b, command: x, input_files: [out], output_files: [in]}",
            r"in a circle \(by depends_on or by files\): [ab] -> [ab] -> [ab]",
        ),
        ("- {name: a, command: x, input_files: [in], output_files: [in]}", "in a circle .*: a -> a"),
        (
            "- {name: a, command: x, depends_on: [b], output_files: [in]}\n"
            "- {name: b, command: x, input_files: [in]}",
            "in a circle",
        ),
    ],
)
def test_files_that_do_not_fit(jobs: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(jobs)
