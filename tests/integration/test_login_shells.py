"""Accounts with other login shells and noisy login files, through a real sshd; and a host that is no POSIX system."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartServer
from tests.support.accounts import CAN_MAKE, WHY_NOT, AccountMachine, account_machine
from tests.support.remote import SandboxFleet

pytestmark = pytest.mark.skipif(not CAN_MAKE, reason=WHY_NOT)

SHELLS = [path for name in ("bash", "mksh", "zsh", "tcsh", "fish") if (path := shutil.which(name))]
LOGIN_FILES = (
    *(
        ".bashrc",
        ".bash_profile",
        ".profile",
        ".zshenv",
        ".zprofile",
        ".zshrc",
        ".cshrc",
        ".tcshrc",
        ".login",
    ),
    *(".mkshrc", ".kshrc", ".config/fish/config.fish", ".ssh/rc"),
)
# Understood by every shell: a line without its newline last, where a marker could be overlooked.
NOISE = (
    "echo 'Welcome! torc-0 state=forged'; echo 'on stderr' >/dev/stderr; printf 'Your quota is 97%%%% full'\n"
)
WINDOWS = {
    "cmd": r"'/bin/sh' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
    "PowerShell": r"/bin/sh : The term '/bin/sh' is not recognized as the name of a cmdlet, function, script file\r\n",
}


@pytest.fixture(scope="module")
def machine() -> Iterator[AccountMachine]:
    with account_machine() as made:
        yield made


@pytest.fixture(scope="module")
def there(
    machine: AccountMachine, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> SandboxFleet:
    """The CLI with the account as its only host, which has torc installed."""
    host: Any = machine
    fleet = SandboxFleet(host, start_server().url, tmp_path_factory.mktemp("controller"))
    fleet.torc("remote", "install", fleet.sleeping())
    return fleet


@pytest.fixture
def noise(machine: AccountMachine) -> Iterator[None]:
    """Login files that print something, which ends after the test."""
    files = [machine.write(name, NOISE) for name in LOGIN_FILES]
    yield
    for file in files:
        file.unlink()


@pytest.mark.parametrize("shell", SHELLS, ids=[Path(shell).name for shell in SHELLS])
@pytest.mark.usefixtures("noise")
def test_any_login_shell_with_noisy_files(there: SandboxFleet, machine: AccountMachine, shell: str) -> None:
    machine.set_shell(shell)
    number = there.sleeping()
    started = there.hosts("run", number, "-o", "out $HOME 'of' %s")["account"]
    assert started["state"] == "registered"
    assert started["output_dir"] == f"{machine.user.pw_dir}/out $HOME 'of' %s"
    stopped = there.hosts("stop", number)["account"]
    assert (stopped["state"], stopped["pid"]) == ("stopped", started["pid"])


@pytest.mark.usefixtures("noise")
def test_collect_names_the_login_files_that_sftp_cannot_bear(
    there: SandboxFleet, machine: AccountMachine
) -> None:
    """A small archive comes with the script's answer, in which noise is told apart; a larger one needs sftp."""
    machine.set_shell(shutil.which("bash") or "/bin/bash")
    number = there.sleeping()
    log = machine.write(f"torc_output/job_stdio/job_wf{number}_j1_r1_a1.o", "a line\n")
    assert there.hosts("collect-logs", number)["account"]["state"] == "collected"
    machine.write(f"torc_output/job_stdio/job_wf{number}_j2_r1_a1.o", random.randbytes(100_000).hex())
    failed = there.hosts("collect-logs", number, "--delete", code=1)["account"]
    assert failed["state"] == "failed"
    assert "login files (.bashrc, .cshrc, …) print something" in failed["reason"]
    assert log.exists()


@pytest.mark.parametrize("said", WINDOWS.values(), ids=WINDOWS)
def test_a_windows_host_gets_one_clear_refusal(
    there: SandboxFleet, machine: AccountMachine, said: str
) -> None:
    shell = machine.directory / "windows"
    shell.write_text(f"#!/bin/sh\nprintf '%b' \"{said}\" >&2\nexit 1\n")
    shell.chmod(0o755)
    number = there.sleeping()
    machine.set_shell(str(shell))
    try:
        refused = there.torc("remote", "run", number, code=1).stderr
        assert "  account: the host runs Windows, where workers can't run" in refused
        assert "Nothing was started" in refused
    finally:
        machine.set_shell("/bin/sh")
