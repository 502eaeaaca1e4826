"""What ssh makes of the options that it is given."""

import os
import shlex
import subprocess
from pathlib import Path

from torc_remote.ssh.options import SshOptions, find_ssh_config

CONTROL_DIR = Path("/run/user/1000/torc-remote/0a1b2c3d")


def ssh_g(options: SshOptions, home: Path) -> dict[str, str]:
    """What ssh itself makes of the options."""
    words = shlex.split(options.group_vars()["ansible_ssh_args"])
    done = subprocess.run(["ssh", *words, "-G", "h1"], env={"HOME": str(home), "PATH": os.environ["PATH"]},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)  # fmt: skip
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_ssh_takes_the_options_of_the_contract(tmp_path: Path) -> None:
    found = ssh_g(SshOptions(CONTROL_DIR), tmp_path)
    assert found["connecttimeout"] == "30"
    assert found["batchmode"] == "yes"
    assert found["stricthostkeychecking"] == "accept-new"
    assert found["controlmaster"] == "auto"
    assert found["controlpersist"] == "900"
    assert (found["serveraliveinterval"], found["serveralivecountmax"]) == ("15", "4")


def test_ssh_config_rules_the_rest(tmp_path: Path) -> None:
    config = tmp_path / "it's a config"
    config.write_text("Host h1\n  HostName 10.1.1.1\n  User carol\n  Port 2200\n  ProxyJump gate\n"
                      "  RequestTTY force\n  RemoteCommand screen\n"
                      "  ForwardAgent yes\n  ForwardX11 yes\n  LocalForward 8888 localhost:8888\n  LogLevel QUIET\n"
                      "  StdinNull yes\n  ForkAfterAuthentication yes\n  PermitLocalCommand yes\n")  # fmt: skip
    found = ssh_g(SshOptions(CONTROL_DIR, find_ssh_config(config)), tmp_path)
    assert (found["hostname"], found["user"], found["port"]) == ("10.1.1.1", "carol", "2200")
    assert found["proxyjump"] == "gate"
    assert found["requesttty"] == "false"
    assert found.get("remotecommand", "none") == "none"
    for option in (
        "forwardagent",
        "forwardx11",
        "stdinnull",
        "forkafterauthentication",
        "permitlocalcommand",
    ):
        assert found[option] == "no"
    assert (found["clearallforwardings"], found["sessiontype"], found["loglevel"]) == (
        "yes",
        "default",
        "INFO",
    )
