"""The controller's surroundings: what the user's account is set up for does not rule the play."""

from dataclasses import replace

from tests.faults.hosts import with_ssh_config
from tests.remote_support import Fleet

_HOSTILE = {
    "ANSIBLE_STRATEGY": "free",
    "ANSIBLE_BECOME": "true",
    "ANSIBLE_BECOME_USER": "nobody",
    "ANSIBLE_REMOTE_USER": "nobody",
    "ANSIBLE_REMOTE_PORT": "1",
    "ANSIBLE_SSH_EXECUTABLE": "/bin/false",
    "ANSIBLE_VAULT_PASSWORD_FILE": "/nonexistent",
    "ANSIBLE_STDOUT_CALLBACK": "nonexistent",
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C",
}


def _cycle(machines: Fleet) -> None:
    number = machines.sleeping(["sandbox1", "sandbox2"])
    for operation, state in (("run", "registered"), ("status", "running"), ("stop", "stopped")):
        hosts = machines.hosts(operation, number)
        assert {host["state"] for host in hosts.values()} == {state}


def test_91_settings_of_ansible_and_a_plain_locale(fleet: Fleet) -> None:
    """Variables of the user's own for Ansible and the locale C change nothing: run, status and stop work."""
    _cycle(replace(fleet, environment=_HOSTILE))


def test_92_forwardings_in_the_ssh_configuration(fleet: Fleet) -> None:
    """A port forwarded for every host, with ExitOnForwardFailure, and no words of ssh's: all hosts are served."""
    forward = "Host *\n LocalForward 18889 localhost:8888\n ExitOnForwardFailure yes\n LogLevel QUIET\n"
    _cycle(with_ssh_config(fleet, forward, "forwarding"))
