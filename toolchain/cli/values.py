"""Parsers of option values, for `type=` of argparse."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def parse_positive(text: str) -> int:
    """Parse an integer above 0.

    Raises:
        ArgumentTypeError: The text is anything else.
    """
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a positive integer (got {text!r})")


def parse_size(text: str) -> tuple[int, int]:
    """Parse width and height, for example "1920x1080".

    Raises:
        ArgumentTypeError: The text is not two integers.
    """
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        message = f"expected WxH, such as 1920x1080, got {text!r}"
        raise argparse.ArgumentTypeError(message) from error
    return width, height


def parse_list(text: str) -> tuple[str, ...]:
    """Parse comma-separated values."""
    return tuple(text.split(","))


def list_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of comma-separated names, in upper or lower case.

    Args:
        known: The valid names.

    Returns:
        The parser. Its result has each name once, spelled and ordered as in `known`.
    """

    def parse(text: str) -> tuple[str, ...]:
        given = [name.lower() for name in parse_list(text)]
        valid = {name.lower() for name in known}
        if unknown := [name for name in parse_list(text) if name.lower() not in valid]:
            raise argparse.ArgumentTypeError(
                f"unknown {', '.join(unknown) or repr(text)}; expected {', '.join(known)}"
            )
        return tuple(name for name in known if name.lower() in given)

    return parse
