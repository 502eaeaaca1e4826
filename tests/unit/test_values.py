"""Flags, memory sizes and numbers are read in one way, wherever they come from."""

from collections.abc import Callable, Mapping

import pytest

from torc_remote.builtin.worker.connection import Connection
from torc_remote.builtin.worker.errors import WorkerError
from torc_remote.client.config import load_settings
from torc_remote.client.play_settings import play_settings
from torc_remote.errors import TorcError
from torc_remote.values import read_count, read_count_or_zero, read_flag, read_memory, read_positive

URL = "http://h/v1"


def by_cli(text: str) -> bool:
    return load_settings({}, {"TORC_TLS_INSECURE": text}, "/").tls_insecure


def by_play(text: str) -> bool:
    variables: Mapping[str, object] = {"torc_tls_insecure": text, "torc_api_url": URL}
    return play_settings(variables.get).tls_insecure


def by_worker(text: str) -> bool:
    return Connection.from_environment({"TORC_TLS_INSECURE": text, "TORC_API_URL": URL})._tls_insecure


EVERYWHERE = pytest.mark.parametrize("read", [read_flag, by_cli, by_play, by_worker])


@EVERYWHERE
@pytest.mark.parametrize(
    ("text", "flag"),
    [
        *((text, True) for text in ("true", "True", "YES", "on", "1", " y ", "t")),
        *((text, False) for text in ("false", "False", "NO", "off", "0", "n", "f")),
    ],
)
def test_flags(read: Callable[[str], bool], text: str, flag: bool) -> None:
    assert read(text) is flag


@EVERYWHERE
@pytest.mark.parametrize("text", ["maybe", "2", "truely", "-"])
def test_what_is_no_flag_is_an_error(read: Callable[[str], bool], text: str) -> None:
    with pytest.raises((ValueError, TorcError, WorkerError), match="it must be true or false"):
        read(text)


@pytest.mark.parametrize("read", [by_cli, by_play, by_worker])
def test_an_empty_flag_counts_as_not_set(read: Callable[[str], bool]) -> None:
    assert read("") is False


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("1k", 1024),
        ("100m", 104857600),
        ("2G", 2**31),
        ("1t", 2**40),
        (" 5MB ", 5 * 2**20),
    ],
)
def test_memory(text: str, size: int) -> None:
    assert read_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1m", "1.5g", "1x", "1 g", "9999999999999999", "99999999t", "1m\n2", "٣m"]
)
def test_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid memory size"):
        read_memory(text)


@pytest.mark.parametrize(("read", "least"), [(read_count, 1), (read_count_or_zero, 0)])
def test_whole_numbers(read: Callable[[str], int], least: int) -> None:
    assert read(str(least)) == least
    for text in (str(least - 1), "", "1.0", "many", "²", "1 000"):
        with pytest.raises(ValueError, match=f"a whole number of at least {least}"):
            read(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "lots", ""])
def test_no_positive_number(text: str) -> None:
    with pytest.raises(ValueError, match="a number greater than 0"):
        read_positive(text)
