"""Ansible inventory plugin: the remote workers of Torc workflows, as the torc server lists them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: torc_workers
short_description: The remote workers of Torc workflows
version_added: 1.0.0
author:
  - The torc-remote developers
description:
  - Asks a torc server for the remote workers of one or several workflows
    (C(torc remote add-workers) puts them there) and makes a host of each.
  - All hosts are in the group C(torc_workers), those of workflow 42 also in C(torc_workflow_42).
    The playbooks of this collection target the group of the workflow that they are run for.
  - The inventory name of a host is its bare host name or address. Where two workers share a host and where it
    is an IPv6 address, the name is put together from user, host and port. Where it would be one that Ansible
    has another use for (C(localhost)), a hash is added.
  - Every host has the variables C(torc_worker) (the address as the server has it) and C(torc_workflow_ids),
    and when it serves one workflow only, C(torc_workflow_id) and C(torc_workflow_name).
  - The group C(torc_workers) has C(torc_workflow_keys), by which the roles tell a workflow apart from others that had
    its number, by ID.
  - C(ansible_user) and C(ansible_port) are set only where the address names them, and C(ansible_host) only
    where the name is not the host; the ssh configuration rules the rest.
  - The group C(torc_workers) carries the ssh options as C(ansible_ssh_args) and its siblings. Your own
    C(group_vars/torc_workers.yml) wins over them. C(ansible_ssh_common_args), for example with a
    C(ProxyJump), is added to them.
  - Names that come from the server are data. An entry that is no worker address is refused, and nothing in
    one is evaluated as a template.
requirements:
  - The Python package C(torc-remote) in the interpreter that runs Ansible.
notes:
  - The file's name has to end in C(torc.yml), C(torc.yaml), C(torc_workers.yml) or
    C(torc_workers.yaml).
  - Settings that neither the file nor the environment has come from C(torc.toml), as for the command C(torc).
  - Ansible only warns about an inventory that can't be read and goes on without hosts;
    E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true) makes it stop.
  - Name several workflows in one file rather than using several files, so that a host that serves more than
    one of them is known as such.
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Tells that the file is meant for this plugin.
    type: str
    required: true
    choices:
      - torc.remote.torc_workers
  workflow_ids:
    description:
      - The workflows whose workers make the inventory; an ID, a list of IDs, or a text with commas between.
      - Without it, the extra variable C(torc_workflow_id) counts (C(-e torc_workflow_id=42)).
      - Without either, all workflows of the user that have workers and are not archived.
    type: raw
    vars:
      - name: torc_workflow_id
  api_url:
    description:
      - The address of the torc server, such as C(http://torc.example.com:8080/torc-service/v1).
    type: str
    env:
      - name: TORC_API_URL
  username:
    description:
      - The name to log in with, and whose workflows are meant where O(workflow_ids) is not given.
      - The default is the name of the account that runs Ansible.
    type: str
    env:
      - name: TORC_USERNAME
  password:
    description:
      - The password for the server. Encrypt it with Ansible Vault or leave it to the environment.
      - The plays don't see what stands here. An extra variable C(torc_password), for example in a vaulted file
        (C(-e @secrets.yml)), reaches both, as the environment does.
    type: str
    env:
      - name: TORC_PASSWORD
    vars:
      - name: torc_password
  cookie_header:
    description:
      - The value of a C(Cookie) header for a server behind a login page. Encrypt it as you would a password.
    type: str
    env:
      - name: TORC_COOKIE_HEADER
    vars:
      - name: torc_cookie_header
  tls_ca_cert:
    description:
      - A file with the certificates that sign the server's own.
    type: path
    env:
      - name: TORC_TLS_CA_CERT
  tls_insecure:
    description:
      - Whether the server's certificate is accepted unchecked.
    type: bool
    env:
      - name: TORC_TLS_INSECURE
  ssh_config:
    description:
      - An ssh configuration file that is used instead of C(~/.ssh/config) and C(/etc/ssh/ssh_config).
    type: path
    env:
      - name: TORC_REMOTE_SSH_CONFIG
  keep_going:
    description:
      - Whether an entry of the server that is no worker address is left out with a warning.
        Otherwise it is an error.
    type: bool
    default: false
    vars:
      - name: torc_keep_going
"""

EXAMPLES = r"""
---
# torc.yml: the smallest. The server comes from TORC_API_URL or torc.toml, the workflow from the command line:
#   ansible-inventory -i torc.yml --graph
#   ansible-playbook torc.remote.status -i torc.yml -e torc_workflow_id=42
plugin: torc.remote.torc_workers

---
# project.torc.yml: two workflows on a server with a login. The password is made with
#   ansible-vault encrypt_string --name password
plugin: torc.remote.torc_workers
api_url: https://torc.example.com/torc-service/v1
username: alice
password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  62313365396662343061393464336163383764373764613633653634306231386433626436623361
  6134333665353966363534333632666535333761666131620a663537646436643839616531643561
tls_ca_cert: /etc/ssl/certs/example-ca.pem
workflow_ids:
  - 42
  - 43

---
# fleet.torc.yml: all workflows of the user, grouped by name and by site, and asked for once in ten minutes
plugin: torc.remote.torc_workers
api_url: http://torc.example.com:8080/torc-service/v1
keep_going: true
keyed_groups:
  # torc_name_simulation, torc_name_training, ...
  - key: torc_workflow_name
    prefix: torc_name
groups:
  site_b: inventory_hostname is match('.*[.]b[.]example[.]com$')
compose:
  # a variable of your own
  rack: inventory_hostname.split('-')[0]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible-torc
cache_timeout: 600
"""

import dataclasses
import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

try:
    from torc_remote.client.api import TorcClient, workflow_key
    from torc_remote.client.config import Settings, load_settings
    from torc_remote.errors import TorcError
    from torc_remote.remote.inventory import Inventory, WorkflowWorkers, build_inventory
    from torc_remote.ssh.options import SshOptions, default_control_dir, ensure_control_dir, find_ssh_config
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None

if TYPE_CHECKING:
    from ansible.inventory.data import InventoryData
    from ansible.parsing.dataloader import DataLoader

FILE_NAMES = ("torc.yml", "torc.yaml", "torc_workers.yml", "torc_workers.yaml")
OPEN_SETTINGS = ("username", "tls_ca_cert", "tls_insecure")  # no secrets: everybody sees hosts' variables
SETTINGS = ("api_url", "username", "password", "cookie_header", "tls_ca_cert", "tls_insecure")


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Settings, the server's answer or the cached one, the conversion that the CLI uses, then Ansible."""

    NAME = "torc.remote.torc_workers"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(FILE_NAMES)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        if MISSING:
            raise AnsibleParserError(
                f"{self.NAME} needs the Python package torc-remote in the interpreter that runs Ansible "
                f"({MISSING}): {sys.executable} -m pip install torc-remote"
            )
        written = self._read_config_data(path)
        try:
            settings = load_settings({name: self._setting(name) for name in SETTINGS})
            workflows = self._workflows(settings, path, cache)
            result = build_inventory(workflows, self._ssh_options(), keep_going=self.get_option("keep_going"))
        except TorcError as error:
            # Ansible would print the causes as well; the sentence says it all.
            raise AnsibleParserError(str(error)) from None
        self._populate(result)
        # what the file says about the server holds for the plays, too
        given = {"api_url", *(name for name in OPEN_SETTINGS if name in written)}
        self._set_variables("torc_workers", {f"torc_{name}": getattr(settings, name) for name in given})

    def _setting(self, name: str) -> Any:
        """The option as plain text (vaulted ones are decrypted here); empty counts as not given."""
        value = self.get_option(name)
        return value if value is None or isinstance(value, bool) else str(value) or None

    def _workflows(self, settings: Settings, path: str, cache: bool) -> list[WorkflowWorkers]:
        """From the cache where the user wants one and it knows, else from the server. It holds names only."""
        wanted = _workflow_ids(self.get_option("workflow_ids"))
        if not self.get_option("cache"):
            return _fetch(TorcClient(settings), wanted)
        asked = f"{settings.api_url}\n{settings.username}\n{wanted}"
        key = f"{self.get_cache_key(path)}_{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
        if cache and key in self._cache:
            return [WorkflowWorkers(**entry) for entry in self._cache[key]]
        workflows = _fetch(TorcClient(settings), wanted)
        self._cache[key] = [
            dataclasses.asdict(entry) | {"workers": list(entry.workers)} for entry in workflows
        ]
        return workflows

    def _ssh_options(self) -> SshOptions:
        config = find_ssh_config(self._setting("ssh_config"))
        return SshOptions(ensure_control_dir(default_control_dir(os.environ, config)), config)

    def _populate(self, result: Inventory) -> None:
        for bad in result.skipped:
            self.display.warning(f"Workflow {bad.workflow_id}: {bad.reason}; left out")
        for group, content in result.data["all"]["children"].items():
            self.inventory.add_group(group)
            self._set_variables(group, content.get("vars", {}))
            for host, variables in content["hosts"].items():
                self.inventory.add_host(host, group=group)
                self._set_variables(host, variables)
        for host in result.hosts:
            self._construct(host)

    def _set_variables(self, entity: str, variables: dict[str, Any]) -> None:
        for name, value in variables.items():
            # ansible-core before 2.19 takes any string for a template that is not marked so.
            self.inventory.set_variable(entity, name, wrap_var(value))

    def _construct(self, host: str) -> None:
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), self._host_vars(host), host, strict=strict)
        variables = self._host_vars(host)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)

    def _host_vars(self, host: str) -> dict[str, Any]:
        variables: dict[str, Any] = self.inventory.get_host(host).get_vars()
        return variables


def _workflow_ids(option: Any) -> list[int]:
    """``workflow_ids`` as numbers; none where it is not given, which means all of the user's workflows."""
    if option is None:
        return []
    entries = option if isinstance(option, list) else str(option).split(",")
    texts = [str(entry).strip() for entry in entries]
    wrong = [text for text in texts if not (text.isascii() and text.isdigit() and int(text) > 0)]
    if wrong or not texts:
        raise AnsibleParserError(f"workflow_ids: {wrong or option!r} can't be used; give numbers such as 42")
    return [int(text) for text in dict.fromkeys(texts)]


def _fetch(client: TorcClient, wanted: list[int]) -> list[WorkflowWorkers]:
    """The workers of the ``wanted`` workflows, or of all current ones of the user that have any."""
    if wanted:
        workflows = [client.get_workflow(workflow_id) for workflow_id in wanted]
    else:
        workflows = client.list_workflows(user=client.settings.username, is_archived=False)
    found = [
        WorkflowWorkers(
            int(entry["id"]), str(entry["name"]), client.list_remote_workers(entry["id"]), workflow_key(entry)
        )
        for entry in workflows
    ]
    return found if wanted else [workflow for workflow in found if workflow.workers]
