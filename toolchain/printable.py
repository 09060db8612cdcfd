"""Text of unknown origin, made safe to print: short, on one line, without control characters."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

LINE_LIMIT = 4000  # characters of one line for people
LINES_LIMIT = 400
NAME_LIMIT = 80  # characters of one name in a message
LIST_LIMIT = 20  # names that a message lists before it counts the rest
# Everything that can be other than printable: all but ASCII text, tabs and line breaks.
_NOT_PRINTABLE = re.compile(r"[^\n\t -~]")


def printable(text: str, limit: int = NAME_LIMIT) -> str:
    """Return `text` with every character that is not printable escaped, cut after `limit`.

    Control characters, line breaks, characters that change the direction of writing and lone
    surrogates are escaped as in a Python literal.

    Args:
        text: Any text, for example a key of a checkpoint.
        limit: Largest number of characters of `text` to keep; the rest is counted.
    """
    kept = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:limit]
    )
    return kept if len(text) <= limit else f"{kept}... ({len(text):,} characters)"


def printable_list(names: Sequence[str], limit: int = LIST_LIMIT, count: int | None = None) -> str:
    """Join `names`, each made printable.

    Args:
        names: The names, or only the first of them.
        limit: Largest number of names to list; the rest is counted.
        count: How many there are; the length of `names` if not given.
    """
    shown = ", ".join(printable(name) for name in names[:limit])
    rest = (len(names) if count is None else count) - min(len(names), limit)
    return f"{shown} and {rest:,} more" if rest else shown


def printable_lines(text: str) -> str:
    """Return `text` with every line made printable and cut; the line breaks stay.

    Args:
        text: Text of several lines, parts of which are of unknown origin.
    """
    lines = text.split("\n")
    shown = [printable(line.rstrip("\r"), LINE_LIMIT) for line in lines[:LINES_LIMIT]]
    if len(lines) > LINES_LIMIT:
        shown.append(f"... ({len(lines):,} lines)")
    return "\n".join(shown)


def printable_json(value: object) -> str:
    """Return `value` as indented JSON in which every character is printable."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return _NOT_PRINTABLE.sub(_escape_json, text)


def _escape_json(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


class PrintableStream:
    """A text stream to people: control characters are written as escapes.

    Only line breaks, tabs and a carriage return on its own, as progress writes it, pass.

    Args:
        stream: Where the text goes; None if it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text`; OSError if the stream is closed."""
        if self.stream is None:
            raise OSError(errno.EBADF, "standard output is closed")
        if text != "\r":
            text = _NOT_PRINTABLE.sub(_escape, text)
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        if self.stream is not None:
            self.stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode()
