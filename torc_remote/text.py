"""Text of hosts and servers as it may be shown."""


def printable(text: str, keep: str = "") -> str:
    """The text with control characters but ``keep``, and undecodable bytes, escaped: safe for a terminal and for JSON.

    Names come from a shared database, and hosts say what they like: no escape sequence of theirs may reach a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Printable text whose lines follow each other, so that nobody's words pass for a line of somebody else."""
    return printable(" / ".join(filter(None, map(str.strip, text.splitlines()))).replace("\t", " "))
