"""A host may say what it likes about itself, and nothing about others or to Ansible."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.faults import hook_sessions
from tests.support.remote import SandboxFleet

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
# words that mean something to the command or to Ansible, in the result of a task
WORDS = (
    "on_controller=1 hosts=x failed_hosts=x unreachable=1 skipped=1 exception=x warnings=x deprecations=x diff=x "
    "ansible_facts=x _ansible_facts=x add_host=x add_group=x results=x invocation=x ansible_stats=x _ansible_item=x"
)
LIAR = f"""\
text=$(cat)
mark=$(printf '%s\\n' "$text" | sed -n 's/^torc_mark=//p')
for word in {WORDS}; do printf '%s %s\\n' "$mark" "$word"; done
printf '%s\\n' "$text" | /bin/sh -s
exit
"""


@contextmanager
def lying(fleet: SandboxFleet, *hosts: str) -> Iterator[None]:
    hook_sessions(fleet.sandbox)
    hooks = [fleet.home(host) / ".host" for host in hosts]
    try:
        for hook in hooks:
            hook.write_text(LIAR)
        yield
    finally:
        for hook in hooks:
            hook.unlink()


@pytest.mark.parametrize("liars", [["sandbox1"], HOSTS], ids=["one", "all"])
def test_words_that_are_not_the_scripts_are_not_heard(fleet: SandboxFleet, liars: list[str]) -> None:
    number = fleet.sleeping(HOSTS)
    with lying(fleet, *liars):
        started = fleet.hosts("run", number)
        assert {host["state"] for host in started.values()} == {"registered"}
        assert {host["state"] for host in fleet.hosts("status", number).values()} == {"running"}
        assert {host["state"] for host in fleet.hosts("stop", number).values()} == {"stopped"}
        assert {host["state"] for host in fleet.hosts("delete-logs", number).values()} == {"deleted"}
