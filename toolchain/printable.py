"""Text of unknown origin, made safe to print: short, on one line, without control characters."""

from __future__ import annotations

from collections.abc import Sequence

NAME_LIMIT = 80  # characters of one name in a message
LIST_LIMIT = 20  # names that a message lists before it counts the rest


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
