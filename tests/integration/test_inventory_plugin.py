"""The inventory plugin as Ansible's own programs run it, against a server that answers as torc does."""

import json
import os
import re
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CONFIG = {"plugin": "torc.remote.torc_workers"}
BASE = "/torc-service/v1"


class Server(ThreadingHTTPServer):
    """The three reads that the plugin makes, in torc's wire format (torc wire 3.3, 3.6)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.workflows: list[dict[str, Any]] = []
        self.workers: dict[int, list[str]] = {}
        self.authorization: str | None = None
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{BASE}"

    def add(self, workflow_id: int, name: str, workers: list[str], **more: Any) -> None:
        workflow = {"id": workflow_id, "name": name, "user": "alice", "is_archived": False, **more}
        workflow["timestamp"] = f"2026-11-22T18:46:34.{workflow_id:03}Z"
        self.workflows.append(workflow)
        self.workers[workflow_id] = workers


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.answer(401, "Unauthorized")
            return
        url = urlsplit(self.path)
        parts = url.path.removeprefix(BASE + "/").split("/")
        if parts == ["workflows"]:
            self.list_workflows(parse_qs(url.query))
        elif parts[-1] == "remote_workers":
            number = int(parts[1])
            self.answer(200, [{"worker": w, "workflow_id": number} for w in self.server.workers[number]])
        else:
            found = [w for w in self.server.workflows if w["id"] == int(parts[1])]
            missing = {"error": {"error": "NotFound", "message": f"Workflow not found with ID: {parts[1]}"}}
            self.answer(200, found[0]) if found else self.answer(404, missing)

    def list_workflows(self, query: dict[str, list[str]]) -> None:
        items = [
            w
            for w in self.server.workflows
            if [w["user"]] == query["user"] and [str(w["is_archived"]).lower()] == query["is_archived"]
        ]
        self.answer(200, {"items": items, "offset": 0, "count": len(items), "has_more": False})

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


class Ansible:
    """Ansible's programs in a directory of their own, with the checkout as the collection."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.env = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(directory),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "TORC_API_URL": url,
            "TORC_USERNAME": "alice",
            "LC_ALL": "C.UTF-8",
        }

    def config(self, name: str = "torc.yml", **options: Any) -> None:
        (self.directory / name).write_text(yaml.safe_dump(CONFIG | options))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def inventory(self, *arguments: str, source: str = "torc.yml") -> dict[str, Any]:
        done = self.run("ansible-inventory", "-i", source, "--list", *arguments)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def refusal(self, *arguments: str, source: str = "torc.yml") -> str:
        """What Ansible says, on one line, about an inventory that must not be readable."""
        self.env["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] = "true"
        done = self.run("ansible-inventory", "-i", source, "--list", *arguments)
        assert done.returncode != 0, done.stdout
        return re.sub(r"\s+", " ", done.stderr)


@pytest.fixture
def ansible(tmp_path: Path, server: Server) -> Ansible:
    return Ansible(tmp_path, server.url)


def hosts(inventory: dict[str, Any], group: str = "torc_workers") -> list[str]:
    found: list[str] = inventory[group]["hosts"]
    return found


def plain(value: Any) -> str:
    """Strings that are no templates are shown as {"__ansible_unsafe": text} by ansible-core 2.18 and 2.19."""
    text: str = value["__ansible_unsafe"] if isinstance(value, dict) else value
    return text


def test_workflow_from_extra_vars(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h2", "bob@h1:2222", "h3", "eve@h3"])
    server.add(2, "two", ["h9"])
    ansible.config()
    found = ansible.inventory("-e", "torc_workflow_id=1")
    assert hosts(found) == hosts(found, "torc_workflow_1") == ["h2", "h1", "h3", "eve_h3"]
    assert "torc_workflow_2" not in found
    h1 = found["_meta"]["hostvars"]["h1"]
    assert plain(h1["torc_worker"]) == "bob@h1:2222"
    assert (plain(h1["ansible_user"]), h1["ansible_port"]) == ("bob", 2222)
    assert (h1["torc_workflow_ids"], plain(h1["torc_workflow_name"])) == ([1], "one")
    assert "BatchMode=yes" in plain(h1["ansible_ssh_args"])
    keys = h1["torc_workflow_keys"]
    assert {number: plain(key) for number, key in keys.items()} == {"1": "1795373194001"}


def test_without_id_all_current_workflows_with_workers(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h1", "h2"])
    server.add(2, "empty", [])
    server.add(3, "archived", ["h3"], is_archived=True)
    server.add(4, "somebody else's", ["h4"], user="bob")
    server.add(5, "five", ["h2", "h5"])
    ansible.config()
    found = ansible.inventory()
    assert hosts(found) == ["h1", "h2", "h5"]
    groups = {name for name in found if name.startswith("torc_workflow_")}
    assert groups == {"torc_workflow_1", "torc_workflow_5"}
    shared = found["_meta"]["hostvars"]["h2"]
    assert shared["torc_workflow_ids"] == [1, 5]
    assert "torc_workflow_id" not in shared


def test_the_plays_talk_to_the_server_that_the_file_names(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h1"])
    del ansible.env["TORC_API_URL"]
    ansible.config(api_url=server.url)
    found = ansible.inventory()
    assert plain(found["_meta"]["hostvars"]["h1"]["torc_api_url"]) == server.url


@pytest.mark.parametrize("ids", [2, "2", [2], ["2"], "1,2"])
def test_workflow_ids_in_the_file(server: Server, ansible: Ansible, ids: Any) -> None:
    server.add(1, "one", ["h1"])
    server.add(2, "two", ["h2"])
    ansible.config(workflow_ids=ids)
    assert hosts(ansible.inventory(), "torc_workflow_2") == ["h2"]


def test_names_from_the_server_are_never_templates(server: Server, ansible: Ansible, tmp_path: Path) -> None:
    hostile = f"{{{{ lookup('pipe', 'touch {tmp_path}/hacked') }}}}"
    server.add(1, hostile, ["h1"])
    ansible.config(compose={"copied": "torc_workflow_name"})
    play = [
        {
            "hosts": "torc_workflow_1",
            "gather_facts": False,
            "connection": "local",
            "tasks": [
                {"ansible.builtin.debug": {"msg": "{{ torc_workflow_name }} / {{ copied }}"}},
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    done = ansible.run("ansible-playbook", "-i", "torc.yml", "play.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("lookup('pipe'") == 2
    assert not (tmp_path / "hacked").exists()


HOSTILE = ["-oProxyCommand=touch x", "{{ 1 + 1 }}", "a\nb", "a\0b", "x" * 10_000, "h\u0430", "a b"]


def test_hostile_workers_are_refused_by_name(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h1", *HOSTILE])
    ansible.config()
    said = ansible.refusal()
    for worker in HOSTILE:
        assert ascii(worker)[1:30] in said.replace("\\\\", "\\")


def test_keep_going_leaves_them_out_with_a_warning(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h1", "-oProxyCommand=x"])
    ansible.config()
    done = ansible.run("ansible-inventory", "-i", "torc.yml", "--list", "-e", "torc_keep_going=true")
    assert hosts(json.loads(done.stdout)) == ["h1"]
    assert "'-oProxyCommand=x'" in done.stderr


def test_constructed(server: Server, ansible: Ansible) -> None:
    server.add(1, "training", ["a1.b.example.com", "a2.c.example.com"])
    ansible.config(
        keyed_groups=[{"key": "torc_workflow_name", "prefix": "torc_name"}],
        groups={"site_b": "inventory_hostname is match('.*[.]b[.]example[.]com$')"},
        compose={"rack": "inventory_hostname.split('.')[0]"},
    )
    found = ansible.inventory()
    assert hosts(found, "torc_name_training") == ["a1.b.example.com", "a2.c.example.com"]
    assert hosts(found, "site_b") == ["a1.b.example.com"]
    assert plain(found["_meta"]["hostvars"]["a2.c.example.com"]["rack"]) == "a2"


def test_cache_is_read_before_the_network_and_holds_no_secret(
    server: Server, ansible: Ansible, tmp_path: Path
) -> None:
    server.add(1, "one", ["h1", "h2"])
    server.add(2, "two", ["h3"])
    server.authorization = "Basic " + b64encode(b"alice:hidden-password").decode()
    ansible.env["TORC_PASSWORD"] = "hidden-password"
    ansible.config(
        cache=True, cache_plugin="ansible.builtin.jsonfile", cache_connection=str(tmp_path / "cache")
    )
    first = ansible.inventory("-e", "torc_workflow_id=1")
    asked = len(server.requests)
    assert asked == 2
    assert ansible.inventory("-e", "torc_workflow_id=1") == first
    assert len(server.requests) == asked
    assert hosts(ansible.inventory("-e", "torc_workflow_id=2")) == ["h3"]
    cached = [path.read_text() for path in (tmp_path / "cache").iterdir()]
    assert len(cached) == 2
    assert not any("hidden" in text or "authorization" in text.lower() for text in cached)
    (tmp_path / "play.yml").write_text("[{hosts: none}]")
    ansible.run("ansible-playbook", "-i", "torc.yml", "--flush-cache", "-e", "torc_workflow_id=1", "play.yml")
    assert len(server.requests) > asked + 2


def test_vaulted_password(server: Server, ansible: Ansible, tmp_path: Path) -> None:
    server.add(1, "one", ["h1"])
    server.authorization = "Basic " + b64encode(b"alice:from-the-vault").decode()
    (tmp_path / "key").write_text("vault key\n")
    vaulted = ansible.run(
        "ansible-vault",
        "encrypt_string",
        "--vault-password-file",
        "key",
        "--name",
        "password",
        "from-the-vault",
    )
    (tmp_path / "torc.yml").write_text(f"{yaml.safe_dump(CONFIG)}{vaulted.stdout}\n")
    assert "from-the-vault" not in (tmp_path / "torc.yml").read_text()
    assert hosts(ansible.inventory("--vault-password-file", "key")) == ["h1"]


def test_group_vars_of_the_admin_win(server: Server, ansible: Ansible, tmp_path: Path) -> None:
    server.add(1, "one", ["h1"])
    ansible.config()
    (tmp_path / "group_vars").mkdir()
    variables = {"ansible_ssh_args": "-o BatchMode=no", "ansible_ssh_common_args": "-o ProxyJump=gate"}
    (tmp_path / "group_vars" / "torc_workers.yml").write_text(yaml.safe_dump(variables))
    found = ansible.inventory()["_meta"]["hostvars"]["h1"]
    assert {name: found[name] for name in variables} == variables


def test_ssh_config_of_the_environment(server: Server, ansible: Ansible, tmp_path: Path) -> None:
    server.add(1, "one", ["h1"])
    ansible.config()
    before = ansible.inventory()["_meta"]["hostvars"]["h1"]
    ansible.env["TORC_REMOTE_SSH_CONFIG"] = str(tmp_path / "my config")
    assert "my config" in ansible.refusal()
    (tmp_path / "my config").touch()
    found = ansible.inventory()["_meta"]["hostvars"]["h1"]
    assert plain(found["ansible_ssh_args"]).startswith(f"-F '{tmp_path}/my config' -o ")
    assert plain(found["ansible_control_path_dir"]) != plain(before["ansible_control_path_dir"])


def test_what_ansible_says_when_it_cannot(server: Server, ansible: Ansible) -> None:
    ansible.config()
    assert "Workflow not found with ID: 7" in ansible.refusal("-e", "torc_workflow_id=7")
    assert "workflow_ids: ['x'] can't be used" in ansible.refusal("-e", "torc_workflow_id=x")
    server.authorization = "Basic nobody"
    assert "401" in ansible.refusal()
    ansible.env["TORC_API_URL"] = "http://127.0.0.1:1/torc-service/v1"
    assert "127.0.0.1:1" in ansible.refusal()


def test_file_names(server: Server, ansible: Ansible) -> None:
    server.add(1, "one", ["h1"])
    for name in ("torc.yaml", "fleet.torc.yml", "my_torc_workers.yml"):
        ansible.config(name)
        assert hosts(ansible.inventory(source=name)) == ["h1"]
    ansible.config("hosts.yml")
    assert "could not be verified" in ansible.refusal(source="hosts.yml")


def test_without_the_python_package_one_line_says_what_to_install(ansible: Ansible, tmp_path: Path) -> None:
    blocker = tmp_path / "blocked" / "torc_remote"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('no torc_remote here')\n")
    ansible.env["PYTHONPATH"] = str(blocker.parent)
    ansible.config()
    said = ansible.refusal()
    assert "-m pip install torc-remote" in said
    assert "Traceback" not in said
    assert ansible.run("ansible-doc", "-t", "inventory", CONFIG["plugin"]).returncode == 0


def test_documentation(ansible: Ansible, parse_examples: Callable[[str], list[dict[str, Any]]]) -> None:
    done = ansible.run("ansible-doc", "-t", "inventory", "--json", CONFIG["plugin"])
    page = json.loads(done.stdout)[CONFIG["plugin"]]
    environment = {env["name"] for option in page["doc"]["options"].values() for env in option.get("env", [])}
    assert environment >= {
        "TORC_API_URL",
        "TORC_USERNAME",
        "TORC_PASSWORD",
        "TORC_COOKIE_HEADER",
        "TORC_TLS_CA_CERT",
        "TORC_TLS_INSECURE",
        "TORC_REMOTE_SSH_CONFIG",
    }
    examples = parse_examples(page["examples"])
    assert len(examples) == 3
    for example in examples:
        assert example["plugin"] == CONFIG["plugin"]
        assert set(example) <= set(page["doc"]["options"])


@pytest.fixture
def parse_examples() -> Callable[[str], list[dict[str, Any]]]:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!vault", lambda loader, node: str(node.value))
    return lambda text: list(yaml.load_all(text, Loader=Loader))
