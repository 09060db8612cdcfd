"""YAML as nodes with file, line and column; no code is ever executed.

Nodes are built from the parser's events without recursion.  Depth, aliases and duplicate keys are
checked while reading, so no input can exhaust stack or memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from yaml.constructor import SafeConstructor

from toolchain.errors import CatalogError

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SIZE_LIMIT = 1 << 20  # bytes; the largest published model.yml has 34 KB
NODE_LIMIT = 100_000  # each alias counts as many nodes as its value has
DEPTH_LIMIT = 20
NUMBER_LENGTH = 64

Kind = Literal["mapping", "list", "text", "integer", "number", "boolean", "null", "date"]
_TAG = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "null": "null",
    "timestamp": "date",
    "merge": "text",
    "value": "text",
}
_EXPLICIT = {"str", "int", "float", "bool", "null"}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MERGE = "<<"
_BREAK = re.compile("\r\n|\r|\n")
_CONSTRUCTOR = SafeConstructor()
_NUMBERS: dict[str, Any] = {
    "integer": _CONSTRUCTOR.construct_yaml_int,
    "number": _CONSTRUCTOR.construct_yaml_float,
    "boolean": _CONSTRUCTOR.construct_yaml_bool,
}


@dataclass(frozen=True)
class Node:
    """One value of a YAML file.

    Attributes:
        path: The file.
        line: Line of its beginning, from 1.
        column: Column of its beginning, from 1.
        kind: Its type.
        value: A dict of key to (key node, value node), a list of nodes, or a str, int, float, bool
            or None; the text of a date.
        written: The text of a scalar in the file.
        weight: Number of nodes in it, including itself.
        lenient: Whether the file is read as Open Model Zoo reads it, see `read_yaml`.
    """

    path: Path
    line: int
    column: int
    kind: Kind
    value: Any
    written: str = ""
    weight: int = 1
    lenient: bool = False

    def error(self, wrong: str, expected: str) -> CatalogError:
        """Build an error about this node."""
        return error_at(self.path, self.line, self.column, wrong, expected)


def error_at(path: Path, line: int, column: int, wrong: str, expected: str) -> CatalogError:
    """Build an error: `path:line:column: what is wrong; expected ...`."""
    return CatalogError(one_line(f"{path}:{line}:{column}: {wrong}; expected {expected}"))


def one_line(text: str) -> str:
    """Escape all non-printable characters, so that the text is one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_yaml(path: Path, *, lenient: bool = False) -> Node:
    """Read the only document of a file.

    Args:
        path: The file.
        lenient: Whether to accept what Open Model Zoo accepts: UTF-16, merge keys, keys that are no
            text, and of equal keys the last.

    Returns:
        The root node.

    Raises:
        CatalogError: The file is unreadable, too long, not UTF-8, not YAML, empty, or has tags
            other than those of plain values.
    """
    return parse_yaml(path, _read_text(path, lenient=lenient), lenient=lenient)


def parse_yaml(path: Path, text: str, *, lenient: bool = False) -> Node:
    """Parse `text` into its root node; `path` is for messages, `lenient` as in `read_yaml`."""
    if found := _CONTROL.search(text):
        line, column = _place(text[: found.start()])
        character = f"control character U+{ord(found[0]):04X}"
        raise error_at(path, line, column, character, "printable text")
    composer = _Composer(path, lenient=lenient)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        line, column = min(place, _place(text))  # libyaml may report a place after the end
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise error_at(path, line, column, f"invalid YAML: {reason}", "valid YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise error_at(path, 1, 1, f"invalid YAML: {reason}", "valid YAML") from None
    if composer.root is None:
        raise error_at(path, 1, 1, "the file is empty", "a mapping of keys to values")
    return composer.root


def find_place(path: Path, text: str) -> tuple[int, int]:
    """Find line and column of the scalar `text` in a file; (1, 1) if it is not found."""
    try:
        root = read_yaml(path)
    except CatalogError:
        return 1, 1
    return next(((n.line, n.column) for n in _scalars(root) if n.written == text), (1, 1))


def _scalars(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.kind == "mapping":
            waiting += [value for _, value in reversed(node.value.values())]
        elif node.kind == "list":
            waiting += reversed(node.value)
        else:
            yield node


def _read_text(path: Path, *, lenient: bool) -> str:
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            wrong = "cannot be read: not a plain file"
            raise error_at(path, 1, 1, wrong, "a readable YAML file")
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise error_at(path, 1, 1, f"cannot be read: {reason}", "a readable YAML file") from None
    if len(data) > SIZE_LIMIT:
        raise error_at(path, 1, 1, "the file is too long", f"at most {SIZE_LIMIT} bytes")
    try:
        if lenient and data.startswith(_UTF16):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):
            raise error_at(path, 1, 1, "not UTF-16", "text in UTF-8 or UTF-16") from None
        # The byte order mark is removed before decoding; the offset does not include it.
        start = data.removeprefix(b"\xef\xbb\xbf")[: error.start]
        line, column = _place(start.decode())
        wrong = f"byte 0x{error.object[error.start]:02X} is not UTF-8 ({error.reason})"
        raise error_at(path, line, column, wrong, "text in UTF-8") from None


def _place(before: str) -> tuple[int, int]:
    lines = _BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


@dataclass
class _Open:
    """A mapping or list that has not ended yet."""

    line: int
    column: int
    kind: Kind
    anchor: str | None
    value: Any
    key: Node | None = None
    weight: int = 1


class _Composer:
    def __init__(self, path: Path, *, lenient: bool) -> None:
        self.root: Node | None = None
        self._path = path
        self._lenient = lenient
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}

    def take(self, event: Any) -> None:
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, line, column), event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin(event, line, column)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            value = self._merged(done.value) if done.kind == "mapping" else done.value
            node = Node(
                *(self._path, done.line, done.column, done.kind, value),
                weight=done.weight,
                lenient=self._lenient,
            )
            self._add(node, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event.anchor, line, column), None)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise self._error(line, column, "a second document begins", "one document in a file")

    def _error(self, line: int, column: int, wrong: str, expected: str) -> CatalogError:
        return error_at(self._path, line, column, wrong, expected)

    def _begin(self, event: Any, line: int, column: int) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            wrong = f"values are nested more than {DEPTH_LIMIT} deep"
            raise self._error(line, column, wrong, "a flat description of a model")
        is_map = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if is_map else "seq")):
            raise self._refused_tag(event.tag, line, column)
        kind: Kind = "mapping" if is_map else "list"
        self._open.append(_Open(line, column, kind, event.anchor, {} if is_map else []))
        if event.anchor:
            self._anchors[event.anchor] = None

    def _alias(self, anchor: str | None, line: int, column: int) -> Node:
        if anchor is None or anchor not in self._anchors:
            raise self._error(line, column, f"undefined alias *{anchor}", f"&{anchor} before it")
        node = self._anchors[anchor]
        if node is None:
            raise self._error(line, column, f"alias *{anchor} contains itself", "a finite value")
        return replace(node, line=line, column=column)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if self._open:
            self._put(self._open[-1], node)
        else:
            self.root = node

    def _put(self, holder: _Open, node: Node) -> None:
        holder.weight += node.weight  # an alias has the weight of its value
        if holder.weight > NODE_LIMIT:
            wrong = f"the file expands to more than {NODE_LIMIT} values"
            raise self._error(node.line, node.column, wrong, "a description of one model")
        if holder.kind == "list":
            holder.value.append(node)
        elif holder.key is None:
            if node.kind != "text":
                if not self._lenient or node.kind in ("mapping", "list"):
                    raise self._error(node.line, node.column, f"a key is {describe(node)}", "text")
                node = replace(node, kind="text", value=node.written)
            if node.value in holder.value and not self._lenient:
                first = holder.value[node.value][0].line
                wrong = f'duplicate key "{node.value}", first on line {first}'
                raise self._error(node.line, node.column, wrong, "each key once")
            holder.key = node
        else:
            holder.value[holder.key.value] = (holder.key, node)
            holder.key = None

    def _merged(self, pairs: dict[str, tuple[Node, Node]]) -> dict[str, tuple[Node, Node]]:
        """Add the keys of the mappings under the merge key; keys beside it come first."""
        if not self._lenient or _MERGE not in pairs:
            return pairs
        _, merged = pairs[_MERGE]
        own = {key: pair for key, pair in pairs.items() if key != _MERGE}
        for node in merged.value if merged.kind == "list" else [merged]:
            if node.kind != "mapping":
                raise node.error(f"the merge key has {describe(node)}", "a mapping")
            own = {**node.value, **own}
        return own

    def _scalar(self, event: Any, line: int, column: int) -> Node:
        text: str = event.value
        if found := _CONTROL.search(text):
            wrong = f"the text contains control character U+{ord(found[0]):04X}"
            raise self._error(line, column, wrong, "printable text")
        if event.tag in (None, "!"):
            tag = _implicit_tag(text) if event.tag is None and event.implicit[0] else "str"
        else:
            tag = event.tag.removeprefix(_TAG)
            if tag not in _EXPLICIT or not event.tag.startswith(_TAG):
                raise self._refused_tag(event.tag, line, column)
        kind = _KINDS[tag]
        value: Any = None if kind == "null" else text
        if kind in _NUMBERS:
            value = self._number(kind, tag, text, line, column)
        return Node(self._path, line, column, kind, value, text, lenient=self._lenient)

    def _number(self, kind: Kind, tag: str, text: str, line: int, column: int) -> float:
        if len(text) > NUMBER_LENGTH:
            return math.inf  # out of every range; a digest is read from `written`
        try:
            return cast("float", _NUMBERS[kind](yaml.ScalarNode(_TAG + tag, text)))
        except (ValueError, KeyError, OverflowError, IndexError):
            wrong = f"{quote(text)} is not a valid {kind}"
            article = "an" if kind == "integer" else "a"
            raise self._error(line, column, wrong, f"{article} {kind}, or quotes") from None

    def _refused_tag(self, tag: str, line: int, column: int) -> CatalogError:
        return self._error(
            line, column, f"tag {quote(tag)} is not allowed", "plain values without tags"
        )


def _implicit_tag(text: str) -> str:
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag).removeprefix(_TAG)
    return "str"


def describe(node: Node) -> str:
    """Describe a node for a message: `a list`, `the text "x"`, `the integer 3`, `empty`."""
    if node.kind in ("mapping", "list"):
        return f"a {node.kind}"
    if node.kind == "null":
        return "empty"
    written = quote(node.written) if node.kind == "text" else node.written[:NUMBER_LENGTH]
    return f"the {node.kind} {written}"


def quote(text: str) -> str:
    """Quote `text` for a message: on one line, shortened."""
    longest = 80
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return f'"{one_line(cut)}"'
