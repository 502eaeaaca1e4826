"""Worker addresses, worker files and duplicates."""

import os
import re
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_remote.remote.workers import (
    MAX_ADDRESS,
    WorkerAddress,
    WorkerError,
    check_duplicates,
    parse_worker,
    read_worker_file,
    shown,
)

ACCEPTED = {
    "worker1.example.com": (None, "worker1.example.com", None),
    "alice@worker2.example.com": ("alice", "worker2.example.com", None),
    "admin@192.168.1.10:2222": ("admin", "192.168.1.10", 2222),
    "10.0.0.5": (None, "10.0.0.5", None),
    "[2001:db8::1]": (None, "2001:db8::1", None),
    "[::1]:2222": (None, "::1", 2222),
    "2001:db8::1": (None, "2001:db8::1", None),
    "::1:22": (None, "::1:22", None),
    "::": (None, "::", None),
    "::ffff:10.0.0.5": (None, "::ffff:10.0.0.5", None),
    "fe80::1%eth0": (None, "fe80::1%eth0", None),
    "bob@[fe80::1%eth0.7]:65535": ("bob", "fe80::1%eth0.7", 65535),
    "bob@2001:DB8::1": ("bob", "2001:DB8::1", None),
    "my_alias": (None, "my_alias", None),
    "_h": (None, "_h", None),
    "h.": (None, "h.", None),
    "Host-1:1": (None, "Host-1", 1),
    "first.last@h": ("first.last", "h", None),
    "svc-torc+test_1@h": ("svc-torc+test_1", "h", None),
    "CORP\\bob@h": ("CORP\\bob", "h", None),
    "bob@realm.example@h:22": ("bob@realm.example", "h", 22),
}

REFUSED = {
    "": "empty",
    "-oProxyCommand=touch x": "begins with '-'",
    "-h": "begins with '-'",
    "u@-h": "the host must begin",
    "-u@h": "begins with '-'",
    "{{ lookup('pipe', 'id') }}": "'{'",
    "h1\n": "'\\n'",
    "h1\nh2": "'\\n'",
    "h\0": "'\\x00'",
    "h\x1b[2J": "'\\x1b'",
    " h": "' '",
    "h ": "' '",
    "a b": "' '",
    "h\t": "'\\t'",
    "x" * 10_000: "longer than",
    "x" * 254: "the host is longer than",
    "u" * 129 + "@h": "the user is longer than",
    "w\u043erker1": "'\\u043e'",
    "h\uff11": "'\\uff11'",
    "h:\u0663": "'\\u0663'",
    "$(id)": "'$'",
    "h;id": "';'",
    "h,i": "','",
    "h/..": "'/'",
    "..": "the host must begin",
    ".h": "the host must begin",
    "@h": "the user must begin",
    "u@": "the host must begin",
    "u@@h": "the user must begin",
    "u\\@h": "the user must begin",
    "+u@h": "the user must begin",
    ":22": "the host must begin",
    "h:": "the port must be",
    "h:0": "the port must be",
    "h:022": "the port must be",
    "h:65536": "the port must be",
    "h:99999": "the port must be",
    "h:-1": "the port must be",
    "h:ssh": "the port must be",
    "a:b:c": "not an IPv6 address",
    "1:2:3": "not an IPv6 address",
    "2001:db8::1::2": "not an IPv6 address",
    "[2001:db8::1]:": "brackets",
    "[2001:db8::1]x": "brackets",
    "[::1": "brackets",
    "::1]": "brackets",
    "[h1]:22": "brackets",
    "[10.0.0.5]": "brackets",
    "[]": "brackets",
    "[fe80::1%]": "brackets",
    "fe80::1%a%b": "not an IPv6 address",
    "[::12345]": "not an IPv6 address",
    "h%eth0": "the host must begin",
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str) -> None:
    assert parse_worker(text) == WorkerAddress(*ACCEPTED[text], stored=text)


@pytest.mark.parametrize("text", REFUSED)
def test_refused_with_name_and_reason(text: str) -> None:
    with pytest.raises(WorkerError) as caught:
        parse_worker(text)
    said = str(caught.value)
    assert said.startswith(f"invalid worker {shown(text)}: ")
    assert REFUSED[text] in said
    assert said.isascii() and said.isprintable() and len(said) < 250
    assert caught.value.exit_code == 2


users = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._+@\\-]{0,20}[A-Za-z0-9._+-])?", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,40}", fullmatch=True)
zones = st.from_regex(r"(%[A-Za-z0-9._-]{1,10})?", fullmatch=True)
ipv6 = st.builds("{}{}".format, st.ip_addresses(v=6), zones)
ports = st.integers(1, 65535)


def _written(user: str | None, host: str, port: int | None, brackets: bool) -> str:
    shown_host = f"[{host}]" if ":" in host and (brackets or port) else host
    return f"{user}@" * bool(user) + shown_host + f":{port}" * bool(port)


@given(st.none() | users, names | ipv6, st.none() | ports, st.booleans())
def test_everything_in_the_grammar_is_accepted(
    user: str | None, host: str, port: int | None, brackets: bool
) -> None:
    text = _written(user, host, port, brackets)
    assert parse_worker(text) == WorkerAddress(user, host, port, text)


@settings(max_examples=500)
@given(st.text(max_size=30) | st.text(alphabet="ab1:@[]%._-\\+{\n -", max_size=16))
def test_whatever_is_accepted_is_in_the_grammar(text: str) -> None:
    try:
        worker = parse_worker(text)
    except WorkerError:
        return
    assert text in {_written(worker.user, worker.host, worker.port, brackets) for brackets in (True, False)}
    assert len(text) <= MAX_ADDRESS
    for part in (worker.user or "u", worker.host):
        assert re.fullmatch(r"[A-Za-z0-9._+@%:\\-]+", part) and not part.startswith("-")
    if ":" in worker.host:
        IPv6Address(worker.host.partition("%")[0])


def test_worker_file_of_the_manual(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    lines = [
        "# Lines starting with # are comments",
        "",
        "worker1.example.com",
        "  alice@worker2.example.com\t",
        "  # indented",
        "admin@192.168.1.10:2222  # the one with the GPU",
        "[::1]:2222",
    ]
    file.write_text("\n".join(lines))
    found = read_worker_file(file)
    assert [(worker.stored, worker.line) for worker in found] == [
        ("worker1.example.com", 3),
        ("alice@worker2.example.com", 4),
        ("admin@192.168.1.10:2222", 6),
        ("[::1]:2222", 7),
    ]
    assert {worker.file for worker in found} == {str(file)}


def test_worker_file_of_windows(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_bytes("\ufeffh1\r\n# \u00e4\r\n\r\nh2\r\n".encode())
    assert [worker.stored for worker in read_worker_file(file)] == ["h1", "h2"]


def _refusal(path: str | Path) -> str:
    with pytest.raises(WorkerError) as caught:
        read_worker_file(path)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "# none yet\n"])
def test_a_file_without_workers(tmp_path: Path, text: str) -> None:
    file = tmp_path / "workers.txt"
    file.write_text(text)
    assert _refusal(file) == f"The worker file '{file}' lists no workers."


def test_bad_lines_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_text("h1\n-oX=y\nh2\nh3:0\nh4#5\n")
    assert _refusal(file).splitlines() == [
        f"{file}:2: invalid worker '-oX=y': it begins with '-'",
        f"{file}:4: invalid worker 'h3:0': the port must be a number from 1 to 65535",
        f"{file}:5: invalid worker 'h4#5': the character '#' is not allowed; expected [user@]host[:port]",
    ]


def test_reading_stops_after_ten_bad_lines(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_text("-\n" * 100)
    said = _refusal(file).splitlines()
    assert len(said) == 11
    assert said[9].startswith(f"{file}:10: ")
    assert "reading stopped here" in said[10]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_only_newlines_end_a_line(tmp_path: Path, separator: str) -> None:
    file = tmp_path / "workers.txt"
    file.write_text(f"h1{separator}h2\n", newline="")
    assert _refusal(file).startswith(f"{file}:1: ")


def test_other_encodings(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_bytes(b"h1\n# M\xfcller\n")
    assert f"{file}:2: not UTF-8 text" in _refusal(file)
    file.write_text("h1\n", encoding="utf-16")
    assert f"{file}:1: not UTF-8 text" in _refusal(file)
    file.write_bytes(b"h1\n" + b"\0" * 5_000)
    assert f"{file}:2: longer than 4096 bytes" in _refusal(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/zero"):
        assert "not a regular file" in _refusal(path)
    assert "No such file" in _refusal(tmp_path / "missing")
    assert "not a file name" in _refusal("a\0b")


def test_a_million_lines(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_text("".join(f"bob@host{number}.example.com:22\n" for number in range(1_000_000)))
    begin = time.process_time()
    found = read_worker_file(file)
    check_duplicates(found)
    assert len(found) == 1_000_000
    assert time.process_time() - begin < 30


def _parsed(*texts: str) -> list[WorkerAddress]:
    return [parse_worker(text) for text in texts]


SAME_HOST = [
    ("h1", "bob@h1:22"),
    ("h1", "H1"),
    ("h1.example.com", "h1.example.com."),
    ("[2001:db8::1]", "2001:DB8:0::1"),
    ("[::1]:22", "[::1]:23"),
    ("h1", "h1"),
]


@pytest.mark.parametrize(("one", "other"), SAME_HOST)
def test_one_host_twice_in_a_call_names_both(one: str, other: str) -> None:
    with pytest.raises(WorkerError) as caught:
        check_duplicates(_parsed("h0", one, other))
    assert f"worker {other!r} and {one!r} name the same host" in str(caught.value)


@pytest.mark.parametrize(("stored", "new"), SAME_HOST[:-1])
def test_one_host_against_the_stored_list_names_both(stored: str, new: str) -> None:
    with pytest.raises(WorkerError) as caught:
        check_duplicates(_parsed(new), ["h0", stored])
    assert f"worker {new!r} and {stored!r} (stored) name the same host" in str(caught.value)


def test_what_is_stored_already_is_no_duplicate() -> None:
    hostile = ["-oProxyCommand=x", ""]
    found = check_duplicates(_parsed("h1", "h2"), ["h2", "bob@h2", *hostile])
    assert (found.to_add, found.present) == (_parsed("h1"), _parsed("h2"))


def test_different_hosts_are_no_duplicates() -> None:
    workers = _parsed("h1", "h1.example.com", "fe80::1%eth0", "fe80::1%eth1", "10.0.0.1")
    assert check_duplicates(workers).to_add == workers


def test_duplicates_tell_where_they_were_read(tmp_path: Path) -> None:
    file = tmp_path / "workers.txt"
    file.write_text("# two names\nh1\n\nbob@h1:22\n")
    with pytest.raises(WorkerError) as caught:
        check_duplicates(read_worker_file(file))
    assert f"worker 'bob@h1:22' ({file}:4) and 'h1' ({file}:2) name the same host" in str(caught.value)


def test_many_duplicates_are_counted() -> None:
    with pytest.raises(WorkerError) as caught:
        check_duplicates(_parsed(*["h1"] * 100))
    assert "... and 89 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 13
