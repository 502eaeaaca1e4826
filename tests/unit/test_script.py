"""What is sent to a host's shell and what comes back, with a real /bin/sh and any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_remote.ssh import script
from torc_remote.ssh.script import ScriptValueError, compose, new_nonce, parse_answer, quote
from torc_remote.text import printable

# Values as Python has them from a command line: text, with bytes that are no UTF-8 as lone surrogates.
# each example starts a shell


@given(st.text(), st.text())
def test_noise_around_the_answer_is_told_apart(before: str, after: str) -> None:
    nonce = new_nonce()
    answer = parse_answer(nonce, f"{before}torc-{nonce} state=well\n{after}\ntorc-{nonce} end=1\n")
    assert answer.complete
    assert answer.values == {"state": "well"}
    assert not parse_answer(new_nonce(), f"torc-{nonce} end=1\n").complete


@pytest.mark.parametrize("value", ["\0", "a\0b"])
def test_a_nul_byte_is_refused(value: str) -> None:
    with pytest.raises(ScriptValueError, match="NUL"):
        quote(value)
    with pytest.raises(ScriptValueError, match="NUL"):
        compose("0", [], [], {"X": value})


@pytest.mark.parametrize("name", ["", "1X", "X Y", "X=Y", "X\n", "é", "X;id"])
def test_a_bad_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(ScriptValueError, match="not the name"):
        compose("0", [], [], {name: "value"})


@given(st.text(st.characters(codec=None)))
def test_printable_text_is_safe_for_terminals_and_json(text: str) -> None:
    shown = printable(text, keep="\n\t")
    assert all(char in "\n\t" or char.isprintable() for char in shown)
    shown.encode()
    assert printable(shown, keep="\n\t") == shown


@pytest.mark.parametrize(
    "said",
    [
        "'/bin/sh' is not recognized as an internal or external command,\noperable program or batch file.",
        "/bin/sh : The term '/bin/sh' is not recognized as the name of a cmdlet, function, script file",
        "/bin/sh: The term '/bin/sh' is not recognized as a name of a cmdlet, function, script file",
        "The system cannot find the path specified.",
    ],
)
def test_windows_is_known_by_its_words(said: str) -> None:
    assert script.WINDOWS.search(said)
    assert not script.WINDOWS.search("sh: 1: /bin/sh: not found")
