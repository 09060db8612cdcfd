"""Lists of arguments, as model.yml holds them and --add_mo_arg gives them, taken apart."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from toolchain.catalog.fields import nearest
from toolchain.catalog.positions import complaint, one_line, place_of, shown
from toolchain.errors import CatalogError, ToolchainError, UsageError

Complain = Callable[[str, str, str], ToolchainError]  # item, what was wrong, what was expected
Value = TypeVar("Value")
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Argument:
    """`--key=value`; `key` with underscores, `value` None if there is none."""

    key: str
    value: str | None
    item: str
    complain: Complain

    def error(self, wrong: str, expected: str) -> ToolchainError:
        """A complaint about this argument."""
        return self.complain(self.item, f"--{self.key} {wrong}", expected)

    def needed(self) -> str:
        """The value, which must be there."""
        if self.value is None or not self.value.strip():
            raise self.error("has no value", f"--{self.key}=VALUE")
        return self.value.strip()


def in_file(path: Path, key: str) -> Complain:
    """Complaints about the list under `key` of the model.yml at `path`."""

    def complain(item: str, wrong: str, expected: str) -> CatalogError:
        return complaint(path, *place_of(path, item), f"{key}: {wrong}", expected)

    return complain


def on_command_line(flag: str) -> Complain:
    """Complaints about what was given by `flag`."""

    def complain(item: str, wrong: str, expected: str) -> UsageError:
        return UsageError(one_line(f"{flag} {item}: {wrong}; expected {expected}"))

    return complain


def parse(items: Iterable[str], known: Collection[str], complain: Complain) -> dict[str, Argument]:
    """The arguments by key.

    Understood: `--key=value`, `--key value` in one item or two, `--key` alone; `-` and `_` mean
    the same within a key.  Raises what `complain` gives for a key outside `known`, for a value
    without a key, and for a key with two values.
    """
    found: dict[str, Argument] = {}
    waiting: Argument | None = None
    for item in items:
        if not item.startswith("--"):
            if waiting is None:
                raise complain(item, f"{shown(item)} belongs to no argument", "--KEY=VALUE")
            _enter(found, Argument(waiting.key, item, item, complain))
            waiting = None
            continue
        if waiting is not None:
            _enter(found, waiting)
        argument = _split(item, known, complain)
        waiting = argument if argument.value is None else None
        if waiting is None:
            _enter(found, argument)
    if waiting is not None:
        _enter(found, waiting)
    return found


def _split(item: str, known: Collection[str], complain: Complain) -> Argument:
    separator = re.search(r"=|\s+", item.rstrip())
    key = item if separator is None else item[: separator.start()]
    value = None if separator is None else item[separator.end() :]
    name = key[2:].replace("-", "_")
    if name not in known:
        wrong = f"{shown(key)} can't be translated"
        raise complain(item, wrong, f"--{nearest(name, sorted(known)).strip(chr(34))}")
    return Argument(name, value, item, complain)


def _enter(found: dict[str, Argument], argument: Argument) -> None:
    earlier = found.get(argument.key)
    if earlier is not None and earlier.value != argument.value:
        wrong = f"is {shown(argument.value or '')} after {shown(earlier.value or '')}"
        raise argument.error(wrong, "each argument once")
    found[argument.key] = argument


def given(
    found: Mapping[str, Argument], key: str, read: Callable[[Argument], Value], default: Value
) -> Value:
    """What `read` makes of an argument that is there, else `default`."""
    return read(found[key]) if key in found else default


def flag(argument: Argument) -> bool:
    """`--key` alone is true; else true/false, yes/no, 1/0 in any case."""
    if argument.value is None:
        return True
    value = argument.value.strip().lower()
    if value not in ("true", "yes", "1", "false", "no", "0"):
        raise argument.error(f"is {shown(argument.value)}", "true or false")
    return value in ("true", "yes", "1")


def finite(argument: Argument, text: str | None = None) -> float:
    """A finite number: the value, or `text` out of it."""
    written = argument.needed() if text is None else text.strip()
    number = float(written) if _NUMBER.fullmatch(written) else math.nan
    if not math.isfinite(number):
        raise argument.error(f"is {shown(written)}", "a finite number")
    return number


def positive(argument: Argument, text: str | None = None) -> int:
    """An integer from 1 to 2**31 - 1: the value, or `text` out of it."""
    written = argument.needed() if text is None else text.strip()
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", written) or int(written) >= 2**31:
        raise argument.error(f"is {shown(written)}", "a positive integer")
    return int(written)


def substitute(
    args: Iterable[str], mapping: Mapping[str, object], config: Path | None = None
) -> tuple[str, ...]:
    """`args` with $dl_dir, $conv_dir, $config_dir, $mo_dir and the like put in; `$$` is a `$`.

    `config`: the model.yml, for messages.  Raises CatalogError for a variable that `mapping`
    lacks.
    """
    return tuple(_filled_in(item, mapping, config) for item in args)


def _filled_in(item: str, mapping: Mapping[str, object], config: Path | None) -> str:
    try:
        return string.Template(item).substitute(mapping)
    except KeyError as error:
        wrong = f"{shown(item)} has the unknown variable ${error.args[0]}"
    except ValueError:
        wrong = f"{shown(item)} has a $ that begins no variable"
    expected = ", ".join(f"${name}" for name in mapping) or "no variable"
    if config is None:
        raise CatalogError(one_line(f"{wrong}; expected {expected}"))
    raise complaint(config, *place_of(config, item), wrong, expected)
