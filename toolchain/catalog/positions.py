"""YAML text into nodes that know their file, line and column; nothing is ever executed.

Built from the parser's events without recursion, so that depth, aliases and repeated keys are
held in check while reading and no input can exhaust the stack or the memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from yaml.constructor import SafeConstructor

from toolchain.errors import CatalogError

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SIZE_LIMIT = 1 << 20  # bytes; the largest published model.yml has 34 KB
NODE_LIMIT = 100_000  # with every alias counted as what it stands for
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

    `value`: by kind a dict of key to (key node, value node), a list of nodes, or a str, int,
    float, bool or None; of a date, its text.  `line`, `column`: from 1.  `weight`: nodes in it.
    """

    path: Path
    line: int
    column: int
    kind: Kind
    value: Any
    written: str = ""
    weight: int = 1

    def error(self, wrong: str, expected: str) -> CatalogError:
        """A complaint about this node."""
        return complaint(self.path, self.line, self.column, wrong, expected)


def complaint(path: Path, line: int, column: int, wrong: str, expected: str) -> CatalogError:
    """The one form of every complaint: `path:line:column: what was wrong; expected ...`."""
    return CatalogError(one_line(f"{path}:{line}:{column}: {wrong}; expected {expected}"))


def one_line(text: str) -> str:
    """`text` with everything that could break or hide the line written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_yaml(path: Path) -> Node:
    """The root node of the only document in `path`.

    Raises CatalogError for a file that can't be read, is too long, is not UTF-8, is not YAML,
    is empty, or asks for more than plain values.
    """
    return compose(path, _read_text(path))


def compose(path: Path, text: str) -> Node:
    """The root node of `text`; `path` is for messages."""
    if found := _CONTROL.search(text):
        line, column = _place(text[: found.start()])
        character = f"control character U+{ord(found[0]):04X}"
        raise complaint(path, line, column, character, "printable text")
    composer = _Composer(path)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        line, column = min(place, _place(text))  # libyaml may point behind the end
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise complaint(path, line, column, f"not YAML: {said}", "valid YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise complaint(path, 1, 1, f"not YAML: {said}", "valid YAML") from None
    if composer.root is None:
        raise complaint(path, 1, 1, "the file is empty", "a mapping of keys to values")
    return composer.root


def place_of(path: Path, text: str) -> tuple[int, int]:
    """Line and column where `text` stands as a value in the file; (1, 1) if it can't be found."""
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


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise complaint(path, 1, 1, f"can't be read: {said}", "a readable YAML file") from None
    if len(data) > SIZE_LIMIT:
        raise complaint(path, 1, 1, "the file is too long", f"at most {SIZE_LIMIT} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The BOM is cut off before decoding, so the offset counts from behind it.
        start = data.removeprefix(b"\xef\xbb\xbf")[: error.start]
        line, column = _place(start.decode())
        wrong = f"byte 0x{error.object[error.start]:02X} is not UTF-8 ({error.reason})"
        raise complaint(path, line, column, wrong, "text in UTF-8") from None


def _place(before: str) -> tuple[int, int]:
    lines = _BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


@dataclass
class _Open:
    """A mapping or list whose end has not come yet."""

    line: int
    column: int
    kind: Kind
    anchor: str | None
    value: Any
    key: Node | None = None
    weight: int = 1


class _Composer:
    def __init__(self, path: Path) -> None:
        self.root: Node | None = None
        self._path = path
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
            node = Node(
                self._path, done.line, done.column, done.kind, done.value, weight=done.weight
            )
            self._add(node, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event.anchor, line, column), None)
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise self._error(line, column, "a second document begins", "one document in a file")

    def _error(self, line: int, column: int, wrong: str, expected: str) -> CatalogError:
        return complaint(self._path, line, column, wrong, expected)

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
            raise self._error(
                line, column, f"alias *{anchor} names no anchor", f"&{anchor} before it"
            )
        node = self._anchors[anchor]
        if node is None:
            raise self._error(line, column, f"alias *{anchor} contains itself", "values that end")
        return Node(
            self._path, line, column, node.kind, node.value, node.written, weight=node.weight
        )

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if self._open:
            self._put(self._open[-1], node)
        else:
            self.root = node

    def _put(self, holder: _Open, node: Node) -> None:
        holder.weight += node.weight  # an alias weighs all that it stands for
        if holder.weight > NODE_LIMIT:
            wrong = f"the file stands for more than {NODE_LIMIT} values"
            raise self._error(node.line, node.column, wrong, "a description of one model")
        if holder.kind == "list":
            holder.value.append(node)
        elif holder.key is None:
            if node.kind != "text":
                raise self._error(node.line, node.column, f"a key is {article(node)}", "text")
            if node.value in holder.value:
                first = holder.value[node.value][0].line
                wrong = f'key "{node.value}" stands here again, first in line {first}'
                raise self._error(node.line, node.column, wrong, "each key once")
            holder.key = node
        else:
            holder.value[holder.key.value] = (holder.key, node)
            holder.key = None

    def _scalar(self, event: Any, line: int, column: int) -> Node:
        text: str = event.value
        if found := _CONTROL.search(text):
            wrong = f"the text holds control character U+{ord(found[0]):04X}"
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
        return Node(self._path, line, column, kind, value, text)

    def _number(self, kind: Kind, tag: str, text: str, line: int, column: int) -> float:
        if len(text) > NUMBER_LENGTH:
            return math.inf  # out of every range; a digest that looks so counts as written
        try:
            return cast("float", _NUMBERS[kind](yaml.ScalarNode(_TAG + tag, text)))
        except (ValueError, KeyError, OverflowError, IndexError):
            wrong = f"{shown(text)} is no {kind}"
            raise self._error(line, column, wrong, f"a {kind} or quotes") from None

    def _refused_tag(self, tag: str, line: int, column: int) -> CatalogError:
        return self._error(
            line, column, f"tag {shown(tag)} is not allowed", "plain values without tags"
        )


def _implicit_tag(text: str) -> str:
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag).removeprefix(_TAG)
    return "str"


def article(node: Node) -> str:
    """What a node is, for a message: `a list`, `the text "x"`, `the integer 3`, `nothing`."""
    if node.kind in ("mapping", "list"):
        return f"a {node.kind}"
    if node.kind == "null":
        return "nothing"
    written = shown(node.written) if node.kind == "text" else node.written[:NUMBER_LENGTH]
    return f"the {node.kind} {written}"


def shown(text: str) -> str:
    """`text` in quotes, on one line, shortened."""
    longest = 80
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return f'"{one_line(cut)}"'
