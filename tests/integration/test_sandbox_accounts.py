"""The sandbox of a normal user: any login shell, noisy start-up files in the account's real home."""

import multiprocessing
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from torc_remote.processes import with_descendants
from torc_remote.sandbox import Sandbox, start

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("useradd"), reason="only root can make an account to try this with"
)
START_UP_FILES = (
    *(".bashrc", ".bash_profile", ".profile", ".zshenv", ".zshrc", ".cshrc", ".tcshrc", ".login"),
    *(".mkshrc", ".config/fish/config.fish", ".ssh/rc", ".ssh/environment"),
)
SHELLS = [path for name in ("bash", "dash", "zsh", "tcsh", "fish", "mksh") if (path := shutil.which(name))]


@pytest.fixture(scope="module")
def account() -> Iterator[pwd.struct_passwd]:
    """A normal user whose start-up files print noise and leave traces."""
    name = f"torc{os.getpid()}"
    base = Path(tempfile.mkdtemp(prefix="torc-home-"))
    base.chmod(0o755)
    subprocess.run(["useradd", "--create-home", "--base-dir", base, name], check=True)
    user = pwd.getpwnam(name)
    for file in (Path(user.pw_dir, entry) for entry in START_UP_FILES):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            "LEAK=yes\n" if file.name == "environment" else f"echo NOISE; : >{base}/{name}/trace\n"
        )
    subprocess.run(["chown", "-R", name, user.pw_dir], check=True)
    yield user
    subprocess.run(["userdel", "--remove", name], check=True, capture_output=True)
    shutil.rmtree(base)


def _become(user: pwd.struct_passwd) -> None:
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, TORC_PASSWORD="secret")
    os.chdir("/")


@contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[Callable[..., object]]:
    """Call functions as another user, in a fork of this process (which needs no readable Python there)."""
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=fork, initializer=_become, initargs=(user,)) as pool:
        yield lambda function, *args: pool.submit(function, *args).result(60)


def _count(sandbox: Sandbox) -> int:
    return len(with_descendants(sandbox.pids()))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_normal_users_sandbox_reads_none_of_the_accounts_files(
    account: pwd.struct_passwd, shell: str
) -> None:
    subprocess.run(["usermod", "--shell", shell, account.pw_name], check=True)
    directory = Path(account.pw_dir, "sandbox")
    with acting_as(account) as call:
        sandbox = call(start, 2, directory)
        assert isinstance(sandbox, Sandbox)
        try:
            done = call(Sandbox.ssh, sandbox, "sandbox2", "env; pwd")
            assert isinstance(done, subprocess.CompletedProcess)
            shell_is = f"SHELL={shell}"
            lines = done.stdout.splitlines()
            assert {f"HOME={directory}/hosts/sandbox2", f"USER={account.pw_name}", shell_is} <= set(lines)
            assert lines[-1] == f"{directory}/hosts/sandbox2"
            for trace in ("NOISE", "LEAK", "secret"):
                assert trace not in done.stdout + done.stderr
            call(
                Sandbox.ssh, sandbox, "sandbox1", "/bin/sh -c 'nohup sleep 600 >/dev/null 2>&1 </dev/null &'"
            )
            assert call(_count, sandbox) == 3
            read_only = "/bin/sh -c 'mkdir -p a/b && touch a/b/c && chmod 0 a/b && chmod 500 a .'"
            call(Sandbox.ssh, sandbox, "sandbox1", read_only)
        finally:
            call(Sandbox.stop, sandbox)
        assert call(_count, sandbox) == 0
    assert not directory.exists()
    assert not Path(account.pw_dir, "trace").exists()


def test_root_and_a_normal_user_each_have_one(account: pwd.struct_passwd, sandbox: Sandbox) -> None:
    with acting_as(account) as call:
        theirs = call(start, 1, Path(account.pw_dir, "sandbox"))
        assert isinstance(theirs, Sandbox)
        call(Sandbox.stop, theirs)
    assert sandbox.ssh("sandbox1", "true").returncode == 0
