"""What ssh says when it fails: one true sentence, and whether a command can have run on the host.

ssh mixes its own words with those of the host's login files; its last lines are the ones that tell.
"""

import re
from dataclasses import dataclass

_ANSIBLE = re.compile(
    r"(?:Task failed: )?"
    r"(?:Data could not be sent to remote host \".*?\"\. Make sure this host can be reached over (?:ssh: ?|SSH\.)"
    r"|Failed to connect to the host via \w+: ?)",
)
NEWLY_KNOWN = "Warning: Permanently added "
"""How ssh's words at the first connection begin."""
_SAID = 4
_VIA_SFTP, _HEAD = "to the host via sftp:", 100
_NO_SFTP = (
    "sftp ended (Connection closed): the link was cut, "
    "or the program is missing that Subsystem sftp in its sshd_config names"
)
_NOT_SERVED = "Its sshd is busy (MaxStartups) or does not serve this address, or it is no sshd"
_HANGS_UP = re.compile(r"Connection (?:closed|reset) by (\S+) port \d+")
_BEHIND_PROXY = "UNKNOWN"
_BEFORE_LOGIN = re.compile(
    r"(?:kex|ssh)_exchange_identification: (?:read: )?Connection (?:closed|reset) by .*"
)
_SILENT_PROXY = re.compile(rf"banner exchange: Connection to {_BEHIND_PROXY} port -?\d+: .*")
_NO_LOGIN = re.compile(r"(?:\S+@\S+: )?(Permission denied \((.*)\))\.?")
_WITHOUT_QUESTIONS = {"publickey", "hostbased", "gssapi-with-mic", "gssapi-keyex"}
_ENDS_BEFORE = re.compile(r"(?:\S+@\S+: )?Permission denied \(.*\)\.?|Connection closed\.?")
_LOST = re.compile(
    r"Connection to \S+ closed by remote host\.|Timeout, server \S+ not responding\.|client_loop: .*"
    r"|Read from remote host .*|Connection closed\.?|Connection (?:closed|reset) by .*"
    r"|Shared connection to \S+ closed\.|Broken pipe"
)
# Lines that only sum up the line before them, which has the reason.
_BAD_OPTIONS = re.compile(r".+: terminating, \d+ bad configuration options")
# A shell's complaint about a file, which may come from the host, has a colon before the line's number.
_BAD_CONFIGURATION = re.compile(
    r"[^:]+ line \d+: .+|.*[Bb]ad configuration option.*|Bad owner or permissions on .*"
    r"|Can't open user config file .*|.*Too many recursive configuration includes"
)
_NO_MASTER = "Failed to connect to new control master"
_NO_SESSION = re.compile(r"mux_client_request_session: session request failed: (.*)")
_ENDED_AFTER_LOGIN = re.compile(
    r"muxclient: master hello exchange failed|mux_client_request_(alive|session): .*"
)
# What ssh says when it opened no session, so that nothing ran on the host. True: another try in a second makes sense.
_NEVER_RAN = (
    # not again: ssh has waited for the whole ConnectTimeout already
    (re.compile(r"(?:ssh: )?connect to (?:host|address) .*: (?:Connection|Operation) timed out"), False),
    (re.compile(r"(?:ssh: )?connect to (?:host|address) .*"), True),
    (re.compile(r"(?:ssh: )?Could not resolve hostname .*: Temporary failure .*"), True),
    (re.compile(r"(?:ssh: )?Could not resolve hostname .*"), False),
    (re.compile(r"channel \d+: open failed: .*"), True),
    (re.compile(r"ControlPath too long .*|.*[Bb]ad configuration option.*"), False),
    (re.compile(r"No \S+ host key is known for .*|Host key verification failed\.?"), False),
    (re.compile(r"Unable to negotiate .*|.*Too many authentication failures|banner exchange: .*"), False),
)
# Lines of ssh or of the host's PAM that give the true reason; after them comes a line that only says that it ended.
_TELLING = re.compile(
    r"Load key .*|no such identity: .*|Permissions \S+ for .* are too open\.|subsystem request failed on channel \d+"
    r"|Your account has expired.*|Account .* has expired.*|.*Password change required but no TTY available\."
    r"|No user exists for uid \d+|System is booting up\..*|sign_and_send_pubkey: .*"
)
# Advice to add to a reason of ssh's.
_ADVICE = (
    (
        re.compile(r".*Too many authentication failures"),
        "ssh offers more keys than the host allows; set IdentityFile and IdentitiesOnly yes for it in ~/.ssh/config",
    ),
    (re.compile(r"Load key .*: bad permissions"), "others may read it; chmod 600"),
    (re.compile(r".*Password change required .*"), "log in with ssh and change it"),
)
_CHANGED_KEY = "REMOTE HOST IDENTIFICATION HAS CHANGED"
# ssh's advice how to remove an old host key. Users copy it from our message, and a host could print such a line itself:
# so nothing but this very command with plain names is taken over.
_REMOVAL = re.compile(r"""ssh-keygen -f (['"])[^'"`$\\;&|<>]+\1 -R (['"])[A-Za-z0-9._:\[\]%,-]+\2""")


@dataclass(frozen=True)
class SshFailure:
    """Why ssh failed. ``never_ran``: no session was opened, so nothing happened on the host. ``transient``: in that
    case, whether another try in a second makes sense. ``unexplained``: a jump host failed and ssh did not say why, as
    it does with ControlPersist."""

    reason: str
    never_ran: bool = False
    transient: bool = False
    unexplained: bool = False


def explain(message: str) -> SshFailure:
    """Read ssh's standard error, with or without the words that Ansible puts before it."""
    lines = [line.strip() for line in _ANSIBLE.sub("", message, count=1).splitlines()]
    lines = [line for line in lines if line]
    if any(_CHANGED_KEY in line for line in lines):
        return SshFailure(_changed_key(lines), never_ran=True)
    if not lines:
        return SshFailure("the connection was lost")
    terminating = _BAD_OPTIONS.fullmatch(lines[-1])
    bad = [line for line in lines if _BAD_CONFIGURATION.fullmatch(line)]
    if bad and (terminating or bad == lines):
        reason = f"{bad[0].rstrip('.')} (ssh's configuration on this machine; nothing was sent)"
        return SshFailure(reason, never_ran=True)
    if len(lines) > 1 and lines[-1] == _NO_MASTER:
        lines.pop()
    ended = _explain_end(lines)
    if ended:
        return ended
    if _VIA_SFTP in message[:_HEAD] and lines[-1].rstrip(".") == "Connection closed":
        return SshFailure(_NO_SFTP)
    if lines[-1].startswith("Disconnected from ") and len(lines) > 1:
        lines.pop()
    return _explain_line(lines[-1], lines)


def _explain_end(lines: list[str]) -> SshFailure | None:
    """Where the last line only says that the connection ended, what stands above it may tell why."""
    hangs_up = _HANGS_UP.fullmatch(lines[-1].rstrip("."))
    if (hangs_up and hangs_up[1] == _BEHIND_PROXY) or _SILENT_PROXY.fullmatch(lines[-1]):
        return _explain_proxy(lines[:-1])
    if hangs_up and len(lines) > 1 and _BEFORE_LOGIN.fullmatch(lines[-2]):
        return SshFailure(f"{lines[-1]} before the login. {_NOT_SERVED}", never_ran=True, transient=True)
    telling = next((line for line in reversed(lines) if _TELLING.fullmatch(line)), None)
    if telling and (telling == lines[-1] or hangs_up or _ENDS_BEFORE.fullmatch(lines[-1])):
        return _explain_telling(telling, lines[-1])
    if hangs_up and len(lines) > 1:
        said = [line for line in lines if not line.startswith(NEWLY_KNOWN)][-_SAID:]
        return SshFailure(f"the connection was lost ({' / '.join(said)})")
    if "during banner exchange" in " ".join(lines[-2:]):
        return SshFailure("connected, but no ssh server answered (timed out)", never_ran=True)
    return None


def _explain_proxy(lines: list[str]) -> SshFailure:
    """The ProxyJump or ProxyCommand failed; what stands above is from it."""
    own = [line for line in lines if not _BEFORE_LOGIN.fullmatch(line) and line != "stdio forwarding failed"]
    if not own:
        return SshFailure("the jump host hung up", never_ran=True, transient=True, unexplained=True)
    failure = explain("\n".join(own))
    through = "the jump host can't reach it" if own[-1].startswith("channel ") else "the jump host failed"
    return SshFailure(f"{through}: {failure.reason}", never_ran=True, transient=failure.transient)


def _explain_telling(telling: str, last: str) -> SshFailure:
    denied = _NO_LOGIN.fullmatch(last)
    reason = _advised(telling.rstrip("."))
    if reason.startswith("subsystem request failed"):
        reason = "it offers no sftp (subsystem request failed); its sshd_config needs a line Subsystem sftp"
    return SshFailure(f"{denied[1]}: {reason}" if denied else reason, never_ran=True)


def _explain_line(line: str, lines: list[str]) -> SshFailure:
    denied = _NO_LOGIN.fullmatch(line)
    if denied:
        alone = _WITHOUT_QUESTIONS & set(denied[2].split(","))
        return SshFailure(
            denied[1] if alone else f"{denied[1]}: a key alone does not open this account", never_ran=True
        )
    if refused := _NO_SESSION.fullmatch(line):
        reason = f"it opens no session for this account ({refused[1]}); see MaxSessions in its sshd_config"
        return SshFailure(reason, never_ran=True)
    if ended := _ENDED_AFTER_LOGIN.fullmatch(line):
        return SshFailure("it ended the connection right after the login", never_ran=ended[1] != "session")
    for pattern, transient in _NEVER_RAN:
        if pattern.fullmatch(line):
            return SshFailure(_shortened(line, lines), never_ran=True, transient=transient)
    if _LOST.fullmatch(line):
        return SshFailure(f"the connection was lost ({line.rstrip('.')})")
    return SshFailure(line.rstrip("."))


def _shortened(line: str, lines: list[str]) -> str:
    if line.startswith("Host key verification failed"):
        why = lines[-2] if len(lines) > 1 else ""
        if "host key is known" not in why and "revoked" not in why:
            return "its host key is not known here; log in once with ssh to compare and accept it"
        line = why
    line = re.sub(
        r"^(?:ssh: |channel \d+: open failed: (?:\w+ failed: )?|Received disconnect from .*?: )", "", line
    )
    return _advised(line.rstrip("."))


def _advised(reason: str) -> str:
    advice = next((advice for pattern, advice in _ADVICE if pattern.fullmatch(reason)), None)
    return f"{reason} ({advice})" if advice else reason


def _changed_key(lines: list[str]) -> str:
    """One sentence for the banner of a dozen lines."""
    command = next((line for line in lines if _REMOVAL.fullmatch(line)), None)
    offending = next((line.rpartition(" in ")[2] for line in lines if line.startswith("Offending ")), None)
    what = command or (
        f"remove the entry {offending}" if offending else "remove the old entry of known_hosts"
    )
    return (
        "the host key has changed: the machine was set up anew, or another one answers in its place. "
        f"If you expected that: {what}"
    )
