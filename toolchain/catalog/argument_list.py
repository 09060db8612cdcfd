"""Parsing of argument lists, from model.yml and from --add_mo_arg."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from toolchain.catalog.fields import suggest
from toolchain.catalog.yaml_nodes import error_at, find_place, one_line, quote
from toolchain.errors import CatalogError, ToolchainError, UsageError

MakeError = Callable[[str, str, str], ToolchainError]  # item, what is wrong, what is expected
Value = TypeVar("Value")
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Argument:
    """One argument `--key=value`.

    Attributes:
        key: Its name, with underscores.
        value: Its value, None if it has none.
        item: The item of the list that it comes from.
        make_error: Builds errors about it.
    """

    key: str
    value: str | None
    item: str
    make_error: MakeError

    def error(self, wrong: str, expected: str) -> ToolchainError:
        """Build an error about this argument."""
        return self.make_error(self.item, f"--{self.key} {wrong}", expected)

    def required_value(self) -> str:
        """Return the value; an error if there is none."""
        if self.value is None or not self.value.strip():
            raise self.error("has no value", f"--{self.key}=VALUE")
        return self.value.strip()


def errors_in_file(path: Path, key: str) -> MakeError:
    """Build errors about the list under `key` of the model.yml at `path`."""

    def make_error(item: str, wrong: str, expected: str) -> CatalogError:
        return error_at(path, *find_place(path, item), f"{key}: {wrong}", expected)

    return make_error


def errors_on_command_line(flag: str) -> MakeError:
    """Build errors about arguments given with `flag`."""

    def make_error(item: str, wrong: str, expected: str) -> UsageError:
        return UsageError(one_line(f"{flag} {item}: {wrong}; expected {expected}"))

    return make_error


def parse_arguments(
    items: Iterable[str], known: Collection[str], make_error: MakeError
) -> dict[str, Argument]:
    """Parse a list of arguments.

    `--key=value`, `--key value` in one item or two, and `--key` alone are understood; `-` and `_`
    are the same in a key.

    Args:
        items: The list.
        known: Keys that are understood.
        make_error: Builds the errors.

    Returns:
        The arguments by key.

    Raises:
        ToolchainError: A key is unknown, a value has no key, or a key has two values.
    """
    found: dict[str, Argument] = {}
    waiting: Argument | None = None
    for item in items:
        if not item.startswith("--"):
            if waiting is None:
                raise make_error(
                    item, f"{quote(item)} is not the value of an argument", "--KEY=VALUE"
                )
            _enter(found, Argument(waiting.key, item, item, make_error))
            waiting = None
            continue
        if waiting is not None:
            _enter(found, waiting)
        argument = _split(item, known, make_error)
        waiting = argument if argument.value is None else None
        if waiting is None:
            _enter(found, argument)
    if waiting is not None:
        _enter(found, waiting)
    return found


def _split(item: str, known: Collection[str], make_error: MakeError) -> Argument:
    separator = re.search(r"=|\s+", item.rstrip())
    key = item if separator is None else item[: separator.start()]
    value = None if separator is None else item[separator.end() :]
    name = key[2:].replace("-", "_")
    if name not in known:
        wrong = f"unknown argument {quote(key)}"
        raise make_error(item, wrong, f"--{suggest(name, sorted(known)).strip(chr(34))}")
    return Argument(name, value, item, make_error)


def _enter(found: dict[str, Argument], argument: Argument) -> None:
    earlier = found.get(argument.key)
    if earlier is not None and earlier.value != argument.value:
        wrong = f"is {quote(argument.value or '')} after {quote(earlier.value or '')}"
        raise argument.error(wrong, "each argument once")
    found[argument.key] = argument


def read_or_default(
    found: Mapping[str, Argument], key: str, read: Callable[[Argument], Value], default: Value
) -> Value:
    """Read an argument if it is given, else return `default`."""
    return read(found[key]) if key in found else default


def read_flag(argument: Argument) -> bool:
    """Read a boolean: `--key` alone is true; else true/false, yes/no, 1/0 in any case."""
    if argument.value is None:
        return True
    value = argument.value.strip().lower()
    if value not in ("true", "yes", "1", "false", "no", "0"):
        raise argument.error(f"is {quote(argument.value)}", "true or false")
    return value in ("true", "yes", "1")


def read_finite(argument: Argument, text: str | None = None) -> float:
    """Read a finite number from the value, or from a part `text` of it."""
    written = argument.required_value() if text is None else text.strip()
    number = float(written) if _NUMBER.fullmatch(written) else math.nan
    if not math.isfinite(number):
        raise argument.error(f"is {quote(written)}", "a finite number")
    return number


def read_positive(argument: Argument, text: str | None = None) -> int:
    """Read an integer from 1 to 2**31 - 1 from the value, or from a part `text` of it."""
    written = argument.required_value() if text is None else text.strip()
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", written) or int(written) >= 2**31:
        raise argument.error(f"is {quote(written)}", "a positive integer")
    return int(written)


def substitute(
    args: Iterable[str], mapping: Mapping[str, object], config: Path | None = None
) -> tuple[str, ...]:
    """Replace variables such as $dl_dir, $conv_dir, $config_dir and $mo_dir; `$$` is a `$`.

    Args:
        args: The arguments.
        mapping: Values by name.
        config: The model.yml, for messages.

    Raises:
        CatalogError: A variable is unknown.
    """
    return tuple(_substitute(item, mapping, config) for item in args)


def _substitute(item: str, mapping: Mapping[str, object], config: Path | None) -> str:
    try:
        return string.Template(item).substitute(mapping)
    except KeyError as error:
        wrong = f"{quote(item)} has the unknown variable ${error.args[0]}"
    except ValueError:
        wrong = f"{quote(item)} has a $ without a variable name"
    expected = ", ".join(f"${name}" for name in mapping) or "no variable"
    if config is None:
        raise CatalogError(one_line(f"{wrong}; expected {expected}"))
    raise error_at(config, *find_place(config, item), wrong, expected)
