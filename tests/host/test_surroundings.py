"""The scripts that run on hosts, in accounts whose login files steer shells and tools."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.test_scripts import live, taken
from tests.support.host_scripts import HOST, KEY, WORKER, ScriptHost, installed_shells, script_host

# A job's view of its environment.
TELLING = WORKER.replace("sleep 611 &", 'env -0 >"$HOME/environment"; sleep 611 &')
NEVER = "() {  exit 9\n}"
STEERED = {
    "AWKPATH": "/nowhere",
    "BASH_ENV": "/nowhere",
    "BLOCK_SIZE": "1M",
    "BLOCKSIZE": "1M",
    "CDPATH": "/:/tmp:.",
    "ENV": "/nowhere",
    "GLOBIGNORE": "*",
    "GREP_COLOR": "1",
    "GREP_COLORS": "mt=01;31",
    "GREP_OPTIONS": "--color=always -v",
    "GZIP": "-9",
    "IFS": "ab:/",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "LS_COLORS": "ex=1",
    "POSIXLY_CORRECT": "y",
    "PS_FORMAT": "comm",
    "PS_PERSONALITY": "bsd",
    "TAR_OPTIONS": "--exclude=*.o --exclude=*.log",
    "TIME_STYLE": "full-iso",
    "TMOUT": "1",
    "TZ": "Pacific/Kiritimati",
    "status": "x",
    "COLUMNS": "7",
    "path": "/nowhere",
    "QUOTED": 'it\'s \\ "$HOME" `id`\n',
    "BYTES": "\udcff\udcc3 П",
}
# What bash alone makes something of.
BASH = {
    "1st-name": "x",
    "BASHOPTS": "failglob:nocasematch:nullglob",
    "SHELLOPTS": "errexit:noclobber:noglob:nounset",
    **{f"BASH_FUNC_{name}%%": NEVER for name in ("awk", "cd", "command", "declare", "printf", "tar")},
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path, TELLING) as host:
        yield host


def job_environment(host: ScriptHost) -> dict[str, str]:
    text = (host.home / "environment").read_bytes().decode("utf-8", "surrogateescape")
    return dict(line.split("=", 1) for line in text.split("\0") if line)


@pytest.mark.parametrize("shell", installed_shells())
def test_what_login_files_export_steers_jobs_but_no_script(host: ScriptHost, shell: str) -> None:
    host.shell = shell
    host.account = STEERED | (BASH if shell == "bash" else {})
    live(host)
    seen = job_environment(host)
    own = {"IFS", "SHELLOPTS", "BASHOPTS"}  # shells don't take these over as they are
    assert {name: seen.get(name) for name in host.account if name not in own} == {
        name: value for name, value in host.account.items() if name not in own
    }
    assert seen["HOME"] == os.fspath(host.home)
    assert "torc_account" not in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can put another program in place of /bin/sh")
@pytest.mark.parametrize("shell", ["zsh", "bash", "mksh"])
def test_a_login_file_may_replace_the_shell(host: ScriptHost, shell: str) -> None:
    """With its own startup files read: an alias or a function there is none of ours."""
    host.login_shell = shell
    # as a function, `unset` keeps bash from starting at all under the name of sh
    functions = {**BASH, "BASH_FUNC_unset%%": NEVER, "BASH_FUNC_export%%": NEVER} if shell == "bash" else {}
    host.account = {**STEERED, **functions, "BASH_ENV": os.fspath(host.home / ".zshenv")}
    del host.account["POSIXLY_CORRECT"]
    (host.home / ".zshenv").write_text(
        "alias printf=false case=false\ncd() { false; }\nshopt -s expand_aliases failglob 2>/dev/null\n"
        "set -C\nsetopt nullglob ksharrays 2>/dev/null\nPATH=$PATH:/nowhere\n"
    )
    live(host)
    seen = job_environment(host)
    assert (seen["TAR_OPTIONS"], seen["QUOTED"]) == (STEERED["TAR_OPTIONS"], STEERED["QUOTED"])


def test_no_variable_of_the_scripts_belongs_to_a_shell() -> None:
    """A value that is put into such a one is another value, or is refused."""
    bound = {"path", "status", "argv", "options", "commands", "functions", "aliases", "pipestatus", "match"}
    for shell in filter(shutil.which, ("bash", "mksh", "zsh")):
        names = "zmodload zsh/parameter; print -l ${(k)parameters}" if shell == "zsh" else "set"
        said = subprocess.run([shell, "-c", names], env={}, capture_output=True, text=True, check=True).stdout
        bound |= set(re.findall(r"^(\w+)(?==|$)", said, re.MULTILINE))
    text = "\n".join(file.read_text() for file in HOST.glob("*/*.sh"))
    ours = set(re.findall(r"(?:^|[\s;{(])(\w+)=", text, re.MULTILINE))
    ours |= {name for names in re.findall(r"\bread -r ([\w ]+)", text) for name in names.split()}
    ours |= set(re.findall(r"\bfor (\w+)\b", text))
    assert {"output", "p_start", "member"} <= ours
    assert ours & bound <= {"IFS", "LC_ALL", "PATH"}


# Names that tars print in ways of their own, or that look like something else.
ODD = (
    b"a\nb",
    b"a\\nb",
    b"-rf",
    b"\303\251\3771",
    b"* \t'\"$(id)",
    b"x" * 200,
    b"\n",
    b"\\",
    b"[a]",
    b".hidden",
)


def with_odd_logs(host: ScriptHost) -> None:
    logs = host.home / "torc_output/job_stdio"
    assert host.start()["state"] == "started"
    host.verify()
    host.stop(force=True)
    for name in ODD:
        (logs / os.fsdecode(name)).write_text("a line\n")
    socket.socket(socket.AF_UNIX).bind(os.fspath(logs / "socket"))


@pytest.mark.parametrize("tar", ["tar", "busybox tar"])
def test_every_name_is_found_again_in_the_archive(host: ScriptHost, tar: str) -> None:
    """Else what tar left out would be deleted as collected; or what it has not, would never be collected."""
    host.path = f"{host.home}/bin:{host.path}"
    (host.home / "bin").mkdir()
    shim = host.home / "bin/tar"
    with_odd_logs(host)
    real = f"/usr/bin/{tar}" if tar != "tar" else str(shutil.which("tar"))
    shim.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    shim.chmod(0o755)
    packed = host.pack()
    assert "unread" not in packed
    taken(host, packed)
    for name in ODD:
        (host.home / "left").write_bytes(b"./job_stdio/" + name)
        # as tar does that is steered by what we don't know of
        shim.write_text(
            '#!/bin/sh\nleft=$(cat "$HOME/left"; echo .); left=${left%.}\n'
            'case $1 in -c*) mv "$left" "$HOME/away"; trap \'mv "$HOME/away" "$left"\' EXIT;; esac\n'
            f'{real} "$@" 2>/dev/null\n'
        )
        packed = host.pack()
        taken(host, packed)
        assert "(tar left it out)" in packed["unread"], name
    (host.home / "left").write_bytes(b"./job_stdio/" + ODD[0])
    shim.write_text(shim.read_text().replace("trap", ": trap"))
    packed = host.pack()
    taken(host, packed)
    assert "unread" not in packed, "that file is gone"


@pytest.mark.parametrize(
    "name", ["link", "link/", "link//", "./link///", "dir//../link//", "link/.", "dir/..", ".//"]
)
def test_no_spelling_of_a_link_is_deleted_through(host: ScriptHost, name: str) -> None:
    (host.home / "dir").mkdir()
    (host.home / "dir/torc_worker_42.log").touch()
    (host.home / "link").symlink_to("dir")
    answer = host.delete(output_dir=name)
    assert (answer["state"], answer["failed"]) == ("refused", "1"), answer
    assert (host.home / "dir/torc_worker_42.log").exists()


def test_a_directory_below_a_link_is_deleted(host: ScriptHost) -> None:
    (host.home / "real").mkdir()
    (host.home / "link").symlink_to("real")
    assert host.start("link//out/")["state"] == "started"
    host.verify()
    host.stop(force=True)
    assert host.delete(output_dir="link/out//")["state"] == "deleted"
    assert not list((host.home / "real").iterdir())


def test_a_tilde_in_the_executables_name_is_the_home(host: ScriptHost) -> None:
    for name in ("~/.local/bin/torc", ".local/bin/torc"):
        answer = host.run("version_check", name, "1.0.0", "h", "0")
        assert answer["executable"] == f"{host.home}/.local/bin/torc", answer


LOGINCTL = """#!/bin/sh
case $* in
"show-session 7 -p Name") echo Name=alice ;;
"show-session -p"*) cat "$HOME/logind" ;;
"show-user "*) echo "Linger=$(cat "$HOME/linger")" ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
[ "$1 $2 $3 $4" = "--user --scope --quiet --" ] || exit 9
[ -e "$HOME/bus" ] || { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
shift 4
echo "$XDG_RUNTIME_DIR $1" >>"$HOME/scopes"
exec "$@"
"""


def test_a_worker_stays_where_logout_ends_all_processes(host: ScriptHost) -> None:
    """By stand-ins for logind's programs, as in a session that logind made."""
    host.path = f"{host.home}/bin:{host.path}"
    (host.home / "bin").mkdir()
    for name, text in {"loginctl": LOGINCTL, "systemd-run": SYSTEMD_RUN}.items():
        (host.home / "bin" / name).write_text(text)
        (host.home / "bin" / name).chmod(0o755)
    (host.home / "cgroup").write_text("0::/user.slice/user-1000.slice/session-7.scope\n")
    host.edits = {'"$proc/self/cgroup"': f"{host.home}/cgroup"}
    logind, linger, scopes = host.home / "logind", host.home / "linger", host.home / "scopes"
    logind.write_text("KillUserProcesses=yes\nKillExcludeUsers=root\n")
    linger.write_text("no")
    refused = host.start()
    assert refused["state"] == "failed"
    assert "loginctl enable-linger" in refused["msg"]
    assert not (host.home / "torc_output").exists()
    linger.write_text("yes")
    assert "No medium found" in host.start()["msg"]
    (host.home / "bus").touch()
    live(host)
    assert scopes.read_text().endswith(f"/run/user/{os.geteuid()} setsid\n")
    scopes.unlink()
    linger.write_text("no")
    for text in ("no\n", "yes\nKillOnlyUsers=bob carol\n", "yes\nKillExcludeUsers=root alice\n"):
        logind.write_text(f"KillUserProcesses={text}")
        assert host.start()["state"] == "started", text
        host.stop(force=True)
    assert not scopes.exists()


def tool(host: ScriptHost, name: str, text: str) -> None:
    """Put a program before those of the host."""
    (host.home / "bin").mkdir(exist_ok=True)
    (host.home / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
    (host.home / "bin" / name).chmod(0o755)
    if not host.path.startswith(f"{host.home}/bin:"):
        host.path = f"{host.home}/bin:{host.path}"


@pytest.mark.parametrize("shell", installed_shells())
def test_a_log_of_three_gigabytes(host: ScriptHost, shell: str) -> None:
    """More than 32 bits can count, which is how mksh counts."""
    host.shell = shell
    tool(host, "uname", "echo n")
    output = host.home / "torc_output"
    output.mkdir()
    log = output / f"torc_worker_42_n_{KEY}.log"
    log.touch()
    os.truncate(log, 3_000_000_000)
    assert host.start()["state"] == "started"
    assert host.verify()["state"] == "registered"
    stopped = host.stop(force=True)
    assert stopped["nodes"].startswith("node 7 ")
    log.unlink()
    tool(host, "wc", "echo '  3000000000'")
    packed = host.pack()
    assert packed["size"] == "3000000000"
    assert "content" not in packed


def test_long_names_and_odd_directories(host: ScriptHost) -> None:
    host.account = {"TMPDIR": "a\\b c", "XDG_STATE_HOME": "state"}
    tool(host, "uname", f"echo {'n' * 229}")
    live(host)
    seen = job_environment(host)
    assert {name: seen[name] for name in host.account} == host.account
    for odd in ("\\ *$(id)\n'", "missing"):
        host.account = {"TMPDIR": f"{host.home}/{odd}"}
        if odd != "missing":
            (host.home / odd).mkdir()
        live(host)


def test_a_step_of_the_clock_is_no_reboot(host: ScriptHost) -> None:
    """As on FreeBSD, where the time of the last boot moves with the clock; one of its own it has had since 14."""
    host.edits = {"/proc": "/no-such-place"}
    tool(host, "sysctl", '[ "$2" = kern.boottime ] && date +%s%N')
    tool(host, "who", "echo '  system boot  2026-11-01 10:00'")
    live(host)
    tool(host, "who", "exit 1")
    tool(
        host, "sysctl", "case $2 in kern.boottime) date +%s%N ;; kern.boot_id) echo 0123 ;; *) exit 1 ;; esac"
    )
    live(host)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("bind", [True, False], ids=["bind", "tmpfs"])
def test_what_is_mounted_in_the_output_directory_is_kept(host: ScriptHost, bind: bool) -> None:
    assert host.start("out \\ put")["state"] == "started"
    host.verify()
    host.stop(force=True)
    inside, theirs = host.home / "out \\ put/mnt a\\b", host.home / "theirs"
    inside.mkdir()
    theirs.mkdir()
    options = ["--bind", theirs] if bind else ["-t", "tmpfs", "none"]
    subprocess.run(["mount", *options, inside], check=True)
    try:
        (inside / "thesis").touch()
        answer = host.delete()
        assert (answer["state"], inside.joinpath("thesis").exists()) == ("refused", True), answer
        assert str(inside) in answer["msg"]
    finally:
        subprocess.run(["umount", inside], check=True)
    assert host.delete()["state"] == "deleted"


def test_an_account_that_breaks_its_own_python_can_be_installed_to(host: ScriptHost) -> None:
    host.account = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}
    words = ("0" * 64, "1", "1", "torc-upload.x", "file", "0")
    answer = host.run("prepare_install", *words)
    assert answer["state"] == "ready", answer
