"""Typed reading of nodes: every function gives a value or raises CatalogError at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from toolchain.catalog.names import fault_of_path
from toolchain.catalog.positions import Node, article, one_line, shown

LARGEST = 2**63 - 1
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?")
Choice = TypeVar("Choice", bound=str)


def entries(
    node: Node, what: str, known: Collection[str], required: Iterable[str] = ()
) -> dict[str, Node]:
    """The values of a mapping that has all of `required` and nothing outside `known`."""
    if node.kind != "mapping":
        raise node.error(
            f"{what} is {article(node)}", f"a mapping with {listed(required or known)}"
        )
    pairs: Mapping[str, tuple[Node, Node]] = node.value
    for key, (place, _) in pairs.items():
        if key not in known:
            raise place.error(f"unknown key {shown(key)} in {what}", nearest(key, known))
    for key in required:
        if key not in pairs:
            raise node.error(f"{what} has no {key}", f"the key {key}")
    return {key: value for key, (_, value) in pairs.items()}


def nearest(found: str, known: Collection[str]) -> str:
    """The one of `known` that was probably meant, else all of them."""
    import difflib

    close = difflib.get_close_matches(found, known, 1)
    return f'"{close[0]}"' if close else listed(known)


def listed(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def text(node: Node, what: str) -> str:
    """A string; numbers, dates and the like must be quoted."""
    if node.kind != "text":
        hint = "" if node.kind in ("mapping", "list", "null") else " (put it in quotes)"
        raise node.error(f"{what} is {article(node)}", f"text{hint}")
    return str(node.value)


def filled(node: Node, what: str) -> str:
    """A string that is more than white space."""
    value = text(node, what)
    if not value.strip():
        raise node.error(f"{what} is empty", "text")
    return value


def choice(node: Node, what: str, options: Collection[Choice]) -> Choice:
    """One of `options`."""
    value = text(node, what)
    for option in options:
        if option == value:
            return option
    raise node.error(f"{what} is {shown(value)}", nearest(value, options))


def whole(node: Node, what: str, least: int = 0) -> int:
    """An integer from `least` to 2**63 - 1."""
    expected = f"an integer from {least} to {LARGEST}"
    if node.kind != "integer" or not least <= node.value <= LARGEST:
        raise node.error(f"{what} is {article(node)}", expected)
    return int(node.value)


def number(node: Node, what: str) -> float:
    """A finite number, not negative.  `2e-5` counts, though YAML 1.1 takes it for text."""
    value = math.nan
    is_number = node.kind in ("integer", "number")
    if is_number or (node.kind == "text" and _NUMBER.fullmatch(node.value)):
        value = _float(node.value)
    if not (math.isfinite(value) and value >= 0):
        raise node.error(f"{what} is {article(node)}", "a finite number, not negative")
    return value


def _float(value: str | float) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def items(node: Node, what: str) -> list[Node]:
    """The nodes of a list."""
    if node.kind != "list":
        raise node.error(f"{what} is {article(node)}", "a list")
    return list(node.value)


def texts(node: Node, what: str) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(text(item, f"an item of {what}") for item in items(node, what))


def safe_path(node: Node, what: str) -> str:
    """A relative path that stays in its folder on every system."""
    value = text(node, what)
    if fault := fault_of_path(value):
        shortened = f" {shown(value)}" if value else ""
        raise node.error(
            one_line(f"{what}{shortened} {fault}"), "a relative path with / inside its folder"
        )
    return value
