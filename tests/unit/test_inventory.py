"""Workers to inventory: names, variables, groups, and the file that Ansible reads."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from hypothesis import given
from hypothesis import strategies as st

from torc_remote.remote.inventory import Inventory, WorkflowWorkers, build_inventory, host_names, to_yaml
from torc_remote.remote.workers import WorkerError, parse_worker
from torc_remote.ssh.options import SshOptions

OPTIONS = SshOptions(control_dir=Path("/run/user/1000/torc-remote/0a1b2c3d"))


def build(*workers: str, name: str = "simulation", **more: Any) -> Inventory:
    return build_inventory([WorkflowWorkers(42, name, workers)], OPTIONS, **more)


def names(*workers: str) -> list[str]:
    found = host_names([parse_worker(worker) for worker in workers])
    return [found[worker] for worker in workers]


def host_vars(inventory: Inventory) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = inventory.data["all"]["children"]["torc_workers"]["hosts"]
    return found


def test_shape_and_order() -> None:
    groups = build("h2", "alice@h1:2222", "h3").data["all"]["children"]
    assert list(groups) == ["torc_workers", "torc_workflow_42"]
    assert list(groups["torc_workers"]["hosts"]) == ["h2", "h1", "h3"]
    assert groups["torc_workflow_42"] == {"hosts": {"h2": {}, "h1": {}, "h3": {}}}
    assert groups["torc_workers"]["vars"] == OPTIONS.group_vars()


def test_only_what_the_address_names_is_set() -> None:
    common = {"torc_workflow_ids": [42], "torc_workflow_id": 42, "torc_workflow_name": "simulation"}
    assert host_vars(build("h2", "alice@h1:2222", "bob@[::1]")) == {
        "h2": {"torc_worker": "h2", **common},
        "h1": {"torc_worker": "alice@h1:2222", **common, "ansible_user": "alice", "ansible_port": 2222},
        "bob___1": {
            "torc_worker": "bob@[::1]",
            **common,
            "ansible_host": "::1",
            "ansible_user": "bob",
        },
    }


def test_two_entries_of_one_host_are_two_hosts() -> None:
    found = build("h1", "bob@h1:22", "h2")
    assert list(found.hosts) == ["h1", "bob_h1_22", "h2"]
    assert found.labels == {"h1": "h1", "bob_h1_22": "bob@h1:22", "h2": "h2"}
    assert host_vars(found)["bob_h1_22"]["ansible_host"] == "h1"


def test_a_host_of_several_workflows() -> None:
    workflows = [WorkflowWorkers(1, "one", ["h1", "h2"]), WorkflowWorkers(2, "two", ["h2", "h3"])]
    found = build_inventory(workflows, OPTIONS)
    groups = found.data["all"]["children"]
    assert list(groups["torc_workflow_1"]["hosts"]) == ["h1", "h2"]
    assert list(groups["torc_workflow_2"]["hosts"]) == ["h2", "h3"]
    assert host_vars(found)["h2"] == {"torc_worker": "h2", "torc_workflow_ids": [1, 2]}
    assert host_vars(found)["h3"]["torc_workflow_name"] == "two"


def test_workflow_without_workers_has_its_group() -> None:
    found = build()
    assert found.data["all"]["children"]["torc_workflow_42"] == {"hosts": {}}
    assert DataLoader().load(to_yaml(found)) == found.data


def test_bad_entries_are_named_all_together() -> None:
    with pytest.raises(WorkerError) as caught:
        build("h1", "-oProxyCommand=x", "{{ 1 }}")
    assert str(caught.value).splitlines() == [
        "Workflow 42: invalid worker '-oProxyCommand=x': it begins with '-'",
        "Workflow 42: invalid worker '{{ 1 }}': the character '{' is not allowed; "
        "expected [user@]host[:port]",
    ]


def test_keep_going_skips_them() -> None:
    found = build("h1", "-oProxyCommand=x", "h2", keep_going=True)
    assert list(found.hosts) == ["h1", "h2"]
    assert [(bad.workflow_id, bad.stored) for bad in found.skipped] == [(42, "-oProxyCommand=x")]
    assert "begins with '-'" in found.skipped[0].reason
    assert "ProxyCommand" not in json.dumps(found.data)


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "all", "ungrouped", "ALL", "torc_workers", "torc_workflow_7"]
)
def test_names_that_mean_something_to_ansible(name: str) -> None:
    found = build(name)
    (inventory_name,) = found.hosts
    assert re.fullmatch(re.escape(name) + "_[0-9a-f]{8}", inventory_name)
    assert host_vars(found)[inventory_name]["ansible_host"] == name
    assert found.labels[inventory_name] == name


def test_names() -> None:
    assert names("h1", "bob@h2:22", "10.0.0.5") == ["h1", "h2", "10.0.0.5"]
    assert names("bob@h1", "h1:22") == ["bob_h1", "h1_22"]
    assert names("[2001:db8::1]:22", "fe80::1%eth0") == ["2001_db8__1_22", "fe80__1_eth0"]
    assert names("CORP\\bob@h1", "h1") == ["CORP_bob_h1", "h1"]


def test_clashing_names_get_a_hash_each() -> None:
    found = names("bob@h1:22", "h1", "bob_h1_22")
    assert found[1] == "h1"
    assert all(re.fullmatch("bob_h1_22_[0-9a-f]{8}", name) for name in (found[0], found[2]))
    assert found[0] != found[2]
    assert [name.casefold() for name in names("H1", "h1")] != ["h1", "h1"]


def test_nobody_can_take_the_name_with_the_hash_either() -> None:
    first = ["bob@h1:22", "h1", "bob_h1_22"]
    squatted = [*first, names(*first)[0]]
    found = names(*squatted)
    assert len({name.casefold() for name in found}) == 4


hosts = st.sampled_from(["h1", "H1", "h1.", "h_1", "h", "1", "::1", "::2", "all", "u_h1", "h1_22", "u_h1_22"])
users = st.sampled_from([None, "u", "u_h1", "u_h", "U", "u@h1", "c\\u"])
ports = st.sampled_from([None, 1, 22])
workers = st.builds(
    lambda user, host, port: (
        f"{user}@" * bool(user) + (f"[{host}]" if ":" in host else host) + f":{port}" * bool(port)
    ),
    users,
    hosts,
    ports,
)


@given(st.lists(workers, unique=True, max_size=30), st.randoms(use_true_random=False))
def test_names_are_injective_and_do_not_depend_on_order(texts: list[str], shuffled: random.Random) -> None:
    found = host_names([parse_worker(text) for text in texts])
    assert len({name.casefold() for name in found.values()}) == len(texts)
    for name in found.values():
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
        assert name.casefold() not in {"all", "localhost", "torc_workers"}
    shuffled.shuffle(texts)
    assert host_names([parse_worker(text) for text in texts]) == found


any_text = st.text(st.characters(codec=None)) | st.sampled_from(
    [
        "{{ 1 + 1 }}",
        "{% raw %}",
        "yes",
        "null",
        "~",
        "010",
        "1e3",
        "0x1F",
        "!unsafe x",
        "a: b",
        "# c",
        "\ud800",
        "\x85\u2028",
    ]
)


def is_marked(value: Any) -> bool:
    """Whether every string stands behind the mark of what is no template."""
    if isinstance(value, dict):
        return list(value) == ["__ansible_unsafe"] or all(is_marked(item) for item in value.values())
    return all(is_marked(item) for item in value) if isinstance(value, list) else not isinstance(value, str)


@given(any_text, st.lists(workers, unique=True, max_size=5))
def test_ansible_reads_what_was_written_and_no_string_as_a_template(name: str, texts: list[str]) -> None:
    found = build(*texts, name=name)
    text = to_yaml(found)
    assert DataLoader().load(text) == found.data
    assert is_marked(json.loads(text))


@given(any_text)
def test_json_round_trip(name: str) -> None:
    found = build("h1", name=name)
    assert json.loads(json.dumps(found.data)) == found.data
    json.dumps(found.data, ensure_ascii=False).encode()
