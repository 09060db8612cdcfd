"""Typed values of YAML nodes.

Every function returns a value or raises CatalogError with the node's line and column.  `what` is
the name of the value in the message.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from toolchain.catalog.names import find_path_fault
from toolchain.catalog.yaml_nodes import Node, describe, one_line, quote

LARGEST = 2**63 - 1
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?")
Choice = TypeVar("Choice", bound=str)


def read_mapping(
    node: Node, what: str, known: Collection[str], required: Iterable[str] = ()
) -> dict[str, Node]:
    """Read a mapping that has all keys in `required` and none outside `known`.

    Unknown keys are left out if the file is read leniently.
    """
    if node.kind != "mapping":
        raise node.error(
            f"{what} is {describe(node)}", f"a mapping with {join_or(required or known)}"
        )
    pairs: Mapping[str, tuple[Node, Node]] = node.value
    for key, (place, _) in pairs.items():
        if key not in known and not node.lenient:
            raise place.error(f"unknown key {quote(key)} in {what}", suggest(key, known))
    for key in required:
        if key not in pairs:
            raise node.error(f"{what} has no {key}", f"the key {key}")
    return {key: value for key, (_, value) in pairs.items() if key in known}


def suggest(found: str, known: Collection[str]) -> str:
    """Return the one of `known` that was probably meant, else all of them, for a message."""
    close = difflib.get_close_matches(found, known, 1)
    return f'"{close[0]}"' if close else join_or(known)


def join_or(names: Iterable[str]) -> str:
    """Join names as "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def read_text(node: Node, what: str) -> str:
    """Read a string; numbers, dates and the like must be quoted."""
    if node.kind != "text":
        hint = "" if node.kind in ("mapping", "list", "null") else " (put it in quotes)"
        raise node.error(f"{what} is {describe(node)}", f"text{hint}")
    return str(node.value)


def read_nonempty(node: Node, what: str) -> str:
    """Read a string that is not empty or blank."""
    value = read_text(node, what)
    if not value.strip():
        raise node.error(f"{what} is empty", "text")
    return value


def read_choice(node: Node, what: str, options: Collection[Choice]) -> Choice:
    """Read one of `options`."""
    value = read_text(node, what)
    for option in options:
        if option == value:
            return option
    raise node.error(f"{what} is {quote(value)}", suggest(value, options))


def read_integer(node: Node, what: str, least: int = 0) -> int:
    """Read an integer from `least` to 2**63 - 1."""
    expected = f"an integer from {least} to {LARGEST}"
    if node.kind != "integer" or not least <= node.value <= LARGEST:
        raise node.error(f"{what} is {describe(node)}", expected)
    return int(node.value)


def read_number(node: Node, what: str) -> float:
    """Read a finite number that is not negative, including `2e-5`, which is text in YAML 1.1."""
    value = math.nan
    is_number = node.kind in ("integer", "number")
    if is_number or (node.kind == "text" and _NUMBER.fullmatch(node.value)):
        value = _float(node.value)
    if not (math.isfinite(value) and value >= 0):
        raise node.error(f"{what} is {describe(node)}", "a finite number, not negative")
    return value


def _float(value: str | float) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def read_list(node: Node, what: str) -> list[Node]:
    """Read the nodes of a list."""
    if node.kind != "list":
        raise node.error(f"{what} is {describe(node)}", "a list")
    return list(node.value)


def read_texts(node: Node, what: str) -> tuple[str, ...]:
    """Read a list of strings."""
    return tuple(read_text(item, f"an item of {what}") for item in read_list(node, what))


def read_relative_path(node: Node, what: str) -> str:
    """Read a relative path that stays in its folder on every operating system."""
    value = read_text(node, what)
    if node.lenient and not value.startswith("/"):
        value = "/".join(part for part in value.split("/") if part not in (".", ""))
    if fault := find_path_fault(value, any_system=not node.lenient):
        shortened = f" {quote(value)}" if value else ""
        raise node.error(
            one_line(f"{what}{shortened} {fault}"), "a relative path with / inside its folder"
        )
    return value
