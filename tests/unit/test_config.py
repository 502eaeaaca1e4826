"""Where settings come from, and which source wins (torc wire 1.1)."""

import grp
import os
import pwd
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from torc_remote.client import config
from torc_remote.client.config import DEFAULT_API_URL, Settings, load_settings
from torc_remote.errors import UsageError

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """load_settings in a world of its own: home, working directory and /etc lie in tmp_path."""
    for name in ("home/.config/torc", "cwd", "etc"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "etc/config.toml")

    def load(overrides: dict[str, object] | None = None, **environ: str) -> Settings:
        return load_settings(overrides, {"HOME": str(tmp_path / "home")} | environ, tmp_path / "cwd")

    return load


def write_url(path: Path, host: str) -> None:
    path.write_text(f'[client]\napi_url = "http://{host}/torc-service/v1"\n')


def test_defaults(load: Load) -> None:
    settings = load()
    account = pwd.getpwuid(os.getuid()).pw_name
    assert settings == Settings(username=account)
    assert (settings.api_url, settings.run.output_dir) == (DEFAULT_API_URL, "torc_output")


def test_the_user_name_is_the_accounts_where_the_environment_has_none(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(USERNAME="dora").username == "dora"
    assert load(USER="carl", USERNAME="dora").username == "carl"
    assert load(TORC_USERNAME="bert", USER="carl").username == "bert"
    assert load(USER="").username == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_000)
    assert load().username == "unknown"


def test_each_source_beats_the_next(load: Load, tmp_path: Path) -> None:
    def host(overrides: dict[str, object] | None = None, **environ: str) -> str:
        return load(overrides, **environ).api_url.split("/")[2]

    write_url(tmp_path / "etc/config.toml", "etc")
    assert host() == "etc"
    write_url(tmp_path / "home/.config/torc/config.toml", "home")
    assert host() == "home"
    write_url(tmp_path / "cwd/torc.toml", "cwd")
    assert host() == "cwd"
    nested = {"TORC_CLIENT__API_URL": "http://nested/v1"}
    assert host(**nested) == "nested"
    plain = nested | {"TORC_API_URL": "http://plain/v1"}
    assert host(**plain) == "plain"
    assert host({"api_url": "http://flag/v1"}, **plain) == "flag"
    assert host({"api_url": None}, **plain) == "plain"


def test_files_are_merged_key_by_key_and_unknown_keys_are_let_pass(load: Load, tmp_path: Path) -> None:
    (tmp_path / "cwd/torc.toml").write_text(
        "[client.run]\nnum_cpus = 4\nfuture = 1\n"
        '[client]\napi_url = "https://h"\n'
        "[client.tls]\ninsecure = true\n[other]\nx = 1\n"
    )
    (tmp_path / "home/.config/torc/config.toml").write_text(
        '[client]\nformat = "json"\n[client.run]\nnum_cpus = 8\nmemory_gb = 2.5\npoll_interval = 1\n'
    )
    settings = load()
    assert settings.format == "json"
    assert settings.tls_insecure is True
    assert (settings.run.num_cpus, settings.run.memory_gb, settings.run.poll_interval) == (4, 2.5, 1.0)


def test_nested_environment_reaches_every_key(load: Load) -> None:
    settings = load(
        TORC_CLIENT__RUN__NUM_GPUS="2", TORC_CLIENT__FORMAT="csv", TORC_CLIENT__TLS__CA_CERT="/ca.pem"
    )
    assert (settings.run.num_gpus, settings.format, settings.tls_ca_cert) == (2, "csv", "/ca.pem")


def test_a_broken_file_is_an_error_with_file_and_line(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "cwd/torc.toml"
    path.write_text('[client]\nformat = "json"\napi_url = = 3\n')
    with pytest.raises(UsageError, match=rf"{path} .*line 3"):
        load()


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ('[client]\nformat = "xml"', "client.format in"),
        ('[client.run]\nnum_cpus = "many"', "client.run.num_cpus in"),
        ("[client.run]\nnum_cpus = 0", "client.run.num_cpus in .* at least 1"),
        ("[client.run]\npoll_interval = 0", "client.run.poll_interval in .* greater than 0"),
        ("[client.run]\nmemory_gb = nan", "client.run.memory_gb in .* greater than 0"),
        ("[client.run]\nnum_gpus = -1", "client.run.num_gpus in .* at least 0"),
        ('[client.run]\noutput_dir = ""', "client.run.output_dir in .* not be empty"),
        ('[client.tls]\ninsecure = "maybe"', "client.tls.insecure in .* true or false"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_source(
    load: Load, tmp_path: Path, toml: str, named: str
) -> None:
    (tmp_path / "cwd/torc.toml").write_text(toml)
    with pytest.raises(UsageError, match=named):
        load()


def test_secrets_come_from_the_environment_alone(load: Load, tmp_path: Path) -> None:
    (tmp_path / "cwd/torc.toml").write_text('[client]\npassword = "x"\ncookie_header = "y"\n')
    assert (load().password, load().cookie_header) == (None, None)
    settings = load(TORC_PASSWORD="p", TORC_COOKIE_HEADER="c=1")
    assert (settings.password, settings.cookie_header) == ("p", "c=1")


def test_user_name(load: Load) -> None:
    assert load(USERNAME="c").username == "c"
    assert load(USER="b", USERNAME="c").username == "b"
    assert load(TORC_USERNAME="a", USER="b", USERNAME="c").username == "a"


def test_credentials_in_the_url_are_used_and_never_shown(load: Load) -> None:
    settings = load(TORC_API_URL="http://bob:s%40cret@h:1/v1/", TORC_USERNAME="alice")
    assert settings.api_url == "http://h:1/v1"
    assert (settings.username, settings.password) == ("bob", "s@cret")
    assert "s@cret" not in repr(settings)
    assert load(TORC_API_URL="http://bob:x@h/v1", TORC_PASSWORD="y").password == "y"


@pytest.mark.parametrize(
    "url", ["ftp://u:s3cret@h/v1", "localhost:8080", "http://", "http://u:s3cret@h:99999/"]
)
def test_a_url_that_cannot_be_used(load: Load, url: str) -> None:
    with pytest.raises(UsageError) as error:
        load(TORC_API_URL=url)
    assert "s3cret" not in str(error.value)


def test_rust_log_filters_are_let_pass(load: Load) -> None:
    assert load(RUST_LOG="torc=debug,hyper=warn").log_level == "info"
    assert load(RUST_LOG="DEBUG").log_level == "debug"


def test_a_file_that_others_rule_is_not_read(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cwd/torc.toml"
    write_url(path, "cwd")
    path.chmod(0o646)
    assert load().api_url == DEFAULT_API_URL
    assert f"{path} is not read: other users may write it" in capsys.readouterr().err
    path.chmod(0o644)
    assert load().api_url != DEFAULT_API_URL
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    if path.stat().st_uid:
        assert load().api_url == DEFAULT_API_URL
        assert f"{path} is not read: it belongs to another user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "number", "members", "read"),
    [
        ("alice", 1000, [], True),
        ("alice", 1000, ["alice"], True),
        ("alice", 1000, ["alice", "bob"], False),
        ("users", 1000, [], False),
        ("alice", 1001, [], False),
    ],
)
def test_a_group_without_others_may_write_the_file(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    members: list[str],
    read: bool,
) -> None:
    """With the umask 002 and a group for each user, files are 0664."""
    path = tmp_path / "cwd/torc.toml"
    write_url(path, "cwd")
    path.chmod(0o664)
    user = pwd.struct_passwd(("alice", "x", 1000, 1000, "", "/", "/bin/sh"))
    monkeypatch.setattr("pwd.getpwuid", lambda uid: user)
    monkeypatch.setattr("grp.getgrgid", lambda gid: grp.struct_group((name, "x", number, members)))
    assert (load().api_url != DEFAULT_API_URL) is read
    # user::rw-, user:4711:rw-, group::rw-, mask::rw-, other::r--
    entries = ((1, 6, -1), (2, 6, 4711), (4, 6, -1), (16, 6, -1), (32, 4, -1))
    rights = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", rights)
    except (OSError, AttributeError):
        return  # a file system without such lists
    assert load().api_url == DEFAULT_API_URL


@pytest.mark.parametrize(
    ("environment", "lax"),
    [
        ({}, True),
        ({"TORC_API_URL": "https://elsewhere"}, False),
        ({"TORC_API_URL": "https://elsewhere", "TORC_TLS_INSECURE": "1"}, True),
        ({"TORC_TLS_INSECURE": "1"}, False),
    ],
)
def test_laxity_holds_for_the_url_of_the_same_source(
    load: Load, tmp_path: Path, environment: dict[str, str], lax: bool
) -> None:
    (tmp_path / "cwd/torc.toml").write_text(
        '[client]\napi_url = "https://h"\n[client.tls]\ninsecure = true\n'
    )
    assert load(**environment).tls_insecure is lax
