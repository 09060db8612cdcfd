"""Find the one mapping of names to tensors in a file that has a network's keys and shapes."""

from __future__ import annotations

import itertools
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from toolchain.checkpoints import limits
from toolchain.checkpoints.constructors import NumpyArray
from toolchain.checkpoints.values import DenseTensor, Opaque, Table, Value
from toolchain.errors import CheckpointError
from toolchain.printable import printable, printable_list

Shapes = Mapping[str, tuple[int, ...]]
COUNTER = "num_batches_tracked"  # counts steps of training; inference does not use it
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_RESNET_BLOCK = re.compile(r"backbone\.layer3\.(\d{1,3})\.")
_LONGEST_PATH = 64  # names
_KEPT_NAMES = 64


@dataclass(frozen=True)
class Names:
    """Names for a message.

    Attributes:
        first: The first of them.
        count: How many there are.
    """

    first: tuple[str, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        return printable_list(self.first, count=self.count)


@dataclass(frozen=True)
class Mapped:
    """A mapping of names to tensors, compared with the network.

    Attributes:
        network: Name of the network that it has most keys of.
        container: Where in the file it is, names joined by dots; "" for the top level.
        prefix: What its keys have before the network's own.
        tensors: Those with the network's keys and shapes, by key.
        missing: Keys of the network that it lacks.
        unexpected: Keys that begin like the network's but are not among them.
        misshapen: Keys whose value has another shape or type, each with what was found.
        others: Names of tensors in it that have nothing to do with the network.
        uncounted: How many `num_batches_tracked` it lacks, which is permitted.
        resnet_block: Highest block of a ResNet backbone's third layer; -1 for another backbone.
    """

    network: str
    container: str
    prefix: str
    tensors: Mapping[str, DenseTensor]
    missing: tuple[str, ...] = ()
    unexpected: Names = field(default_factory=Names)
    misshapen: tuple[str, ...] = ()
    others: Names = field(default_factory=Names)
    uncounted: int = 0
    resnet_block: int = -1

    @property
    def fits(self) -> bool:
        """Whether it has exactly the network's keys and shapes."""
        return not (self.missing or self.unexpected.count or self.misshapen)

    @property
    def name(self) -> str:
        """Name for `--weights-key`: container and prefix joined; "." for the top level."""
        return ".".join(part for part in (self.container, self.prefix.strip(".")) if part) or "."

    @property
    def where(self) -> str:
        """Container and prefix for people."""
        place = f'under "{printable(self.container)}"' if self.container else "at the top level"
        return f'{place}, prefix "{printable(self.prefix)}"' if self.prefix else place

    @property
    def faults(self) -> str:
        """What keeps it from fitting, for people."""
        parts = (
            ("missing", Names(self.missing, len(self.missing))),
            ("unexpected", self.unexpected),
            ("misshapen", Names(self.misshapen, len(self.misshapen))),
        )
        return "; ".join(f"{names.count} {kind}: {names}" for kind, names in parts if names.count)


@dataclass
class Findings:
    """What was found in a file.

    Attributes:
        mappings: Those that have some of the network's keys, outermost first.
        tensors: Number of dense tensors.
        samples: Paths of the first of them.
        opaque: Number of tensors of each kind that is not dense.
    """

    mappings: list[Mapped] = field(default_factory=list)
    tensors: int = 0
    samples: list[str] = field(default_factory=list)
    opaque: Counter[str] = field(default_factory=Counter)

    @property
    def fitting(self) -> list[Mapped]:
        """Those that fit; the same tensors once, unless one mapping has them under two prefixes."""
        kept: list[Mapped] = []
        places: dict[object, str] = {}
        for mapping in self.mappings:
            if mapping.fits:
                place = tuple(tensor.place for tensor in mapping.tensors.values())
                if places.setdefault(place, mapping.container) == mapping.container:
                    kept.append(mapping)
        return kept

    @property
    def closest(self) -> Mapped | None:
        """The mapping with most of the network's keys."""
        return max(self.mappings, key=lambda mapping: len(mapping.tensors), default=None)


class _Place(NamedTuple):
    """A value and the way to it."""

    parent: _Place | None
    name: str | int
    value: Value

    def path(self) -> str:
        names: list[str] = []
        place: _Place | None = self
        while place is not None and len(names) < _LONGEST_PATH:
            names.append(str(place.name))
            place = place.parent
        return ".".join(filter(None, reversed(names)))


class Search:
    """Compares every mapping in a file with the networks.

    Args:
        networks: Shapes by key of each network's state dict, by its name.
    """

    def __init__(self, networks: Mapping[str, Shapes]) -> None:
        self._networks = networks
        keys = itertools.chain.from_iterable(networks.values())
        first_names = sorted({re.escape(key.partition(".")[0]) for key in keys})
        self._first_name = re.compile(rf"(?:{'|'.join(first_names)})(?=\.|$)")
        self._views: dict[int, Mapping[str, Value] | None] = {}
        self._left = limits.NAMES

    def run(self, root: Value) -> Findings:
        """Search the tree of values below `root`.

        Raises:
            CheckpointError: More mappings have names of the network than can be compared.
        """
        findings, compared = Findings(), 0
        for place in self._walk(root, findings):
            for view in self._mappings(place.value):
                for prefix in self._prefixes(view):
                    compared += 1
                    if compared > limits.CANDIDATES:
                        raise CheckpointError(
                            f"more than {limits.CANDIDATES} mappings in it have names of this "
                            "network",
                            hint="Save only `model.state_dict()`, or name another file.",
                        )
                    mapping = self._compare(view, place.path(), prefix)
                    if mapping.tensors or mapping.misshapen or mapping.resnet_block >= 0:
                        findings.mappings.append(mapping)
        return findings

    def _count(self, names: int) -> None:
        self._left -= names
        if self._left < 0:
            raise CheckpointError(
                "it holds more names than any checkpoint of this network",
                hint="Save only `model.state_dict()`, or name another file.",
            )

    def _walk(self, root: Value, findings: Findings) -> Iterator[_Place]:
        """Every table and list, outermost first, each once; the tensors are counted."""
        queue = deque([_Place(None, "", root)])
        seen = {id(root)}
        while queue:
            place = queue.popleft()
            yield place
            for name, child in self._children(place.value):
                value = tensor_in(child)
                if isinstance(value, DenseTensor):
                    findings.tensors += 1
                    if len(findings.samples) < limits.PREFIXES:
                        findings.samples.append(_Place(place, name, value).path())
                elif isinstance(value, Opaque):
                    findings.opaque[value.kind] += 1
                elif isinstance(value, (Table, list)) and id(value) not in seen:
                    seen.add(id(value))
                    queue.append(_Place(place, name, value))

    def _children(self, node: Value) -> Iterator[tuple[str | int, Value]]:
        """Parts of a value with their names; the state of an object has none of its own, ""."""
        view = self._view(node)
        if isinstance(node, list):
            yield from enumerate(node) if view is None else view.items()
        elif isinstance(node, Table):
            yield from (view or {}).items()
            if view is not node.items:
                yield from node.items.items()
            if node.attributes is not None:
                yield "", node.attributes
            yield from enumerate(node.others or ())

    def _mappings(self, node: Value) -> Iterator[Mapping[str, Value]]:
        """The node as mappings of names.  The attributes of an object are a node of their own."""
        view = self._view(node)
        if view and not (
            isinstance(node, Table) and node.attributes and view is node.attributes.items
        ):
            yield view
        if isinstance(node, Table) and node.items and view is not node.items:
            yield node.items

    def _view(self, node: Value) -> Mapping[str, Value] | None:
        """The node as part of a larger mapping: a module, a dictionary, an object, or pairs."""
        if isinstance(node, list):
            if id(node) not in self._views:
                self._views[id(node)] = self._pairs(node)
            return self._views[id(node)]
        if not isinstance(node, Table):
            return None
        if node.attributes is None or node.items:
            return node.items
        if id(node) not in self._views:
            self._views[id(node)] = _module(node.attributes.items)
        return self._views[id(node)] or node.attributes.items

    def _pairs(self, items: list[Value]) -> Mapping[str, Value] | None:
        """A list of pairs of a name and a value as a mapping; None for any other list."""
        found: dict[str, Value] = {}
        for item in items:
            if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):  # noqa: PLR2004
                return None
            self._count(1)
            found[item[0]] = item[1]
        return found or None

    def _prefixes(self, view: Mapping[str, Value]) -> list[str]:
        """What keys have before the network's first names, the most frequent first."""
        self._count(len(view))
        votes: Counter[str] = Counter()
        for key in view:
            for match in self._first_name.finditer(key):
                prefix = key[: match.start()]
                if prefix in votes or len(votes) < limits.CANDIDATES:
                    votes[prefix] += 1
        return [prefix for prefix, _ in votes.most_common(limits.PREFIXES)]

    def _compare(self, view: Mapping[str, Value], container: str, prefix: str) -> Mapped:
        leaves, others = self._leaves(view, prefix)
        network, expected = max(
            self._networks.items(), key=lambda item: sum(key in leaves for key in item[1])
        )
        tensors: dict[str, DenseTensor] = {}
        missing, misshapen, uncounted = [], [], 0
        for key, shape in expected.items():
            value = leaves.get(key)
            if key in leaves:
                fault = _fault(value, shape, is_counter=key.endswith(COUNTER))
                if fault:
                    misshapen.append(f"{key} ({fault})")
                elif isinstance(value, DenseTensor):
                    tensors[key] = value
            elif key.endswith(COUNTER):
                uncounted += 1
            else:
                missing.append(key)
        unexpected = [
            key
            for key, value in leaves.items()
            if key not in expected and isinstance(value, (DenseTensor, Opaque))
        ]
        return Mapped(
            network,
            container,
            prefix,
            tensors,
            missing=tuple(missing),
            unexpected=Names(tuple(unexpected[:_KEPT_NAMES]), len(unexpected)),
            misshapen=tuple(misshapen),
            others=Names(tuple(others[:_KEPT_NAMES]), len(others)),
            uncounted=uncounted,
            resnet_block=max(
                (int(match[1]) for key in leaves if (match := _RESNET_BLOCK.match(key))), default=-1
            ),
        )

    def _leaves(self, view: Mapping[str, Value], prefix: str) -> tuple[dict[str, Value], list[str]]:
        """Values below the network's first names, and the names of other tensors."""
        self._count(len(view))
        leaves: dict[str, Value] = {}
        others = []
        pending: deque[tuple[str, Value, int]] = deque()
        for key, child in view.items():
            value = tensor_in(child)
            inner = key[len(prefix) :]
            if key.startswith(prefix) and self._first_name.match(inner):
                pending.append((inner, value, 0))
            elif isinstance(value, (DenseTensor, Opaque)):
                others.append(key)
        while pending:
            key, value, depth = pending.popleft()
            names = self._view(value)
            if names is None:
                leaves[key] = value
            elif depth < limits.DEPTH and len(leaves) + len(pending) + len(names) < limits.LEAVES:
                self._count(len(names))
                pending.extend(
                    (f"{key}.{name}", tensor_in(child), depth + 1) for name, child in names.items()
                )
        return leaves, others


def tensor_in(value: Value) -> Value:
    """Return the tensor of a NumPy array; any other value as it is."""
    return value.tensor if isinstance(value, NumpyArray) else value


class _Module(Mapping[str, Value]):
    """Parameters, persistent buffers and submodules of a `torch.nn.Module`, not copied."""

    def __init__(self, parts: list[dict[str, Value]], transient: frozenset[str]) -> None:
        self._parts, self._transient = parts, transient

    def __iter__(self) -> Iterator[str]:
        return (name for part in self._parts for name in part if name not in self._transient)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, name: str) -> Value:
        return next(part[name] for part in self._parts if name in part)


def _module(state: Mapping[str, Value]) -> Mapping[str, Value] | None:
    """The view of a `torch.nn.Module` with this state; None for any other object."""
    parts = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    tables = [part.items for part in parts if isinstance(part, Table)]
    if len(tables) < len(parts):
        return None
    names = state.get("_non_persistent_buffers_set")
    transient = names if isinstance(names, list) and len(names) < limits.LEAVES else []
    return _Module(tables, frozenset(name for name in transient if isinstance(name, str)))


def _fault(value: Value, shape: tuple[int, ...], *, is_counter: bool) -> str:
    """What is wrong with the value of a key; "" if nothing is."""
    if isinstance(value, Opaque):
        return value.kind
    if not isinstance(value, DenseTensor):
        return f"{'None' if value is None else 'a value'} instead of a tensor"
    if value.shape != shape:
        return f"expected {_shown(shape)}, found {_shown(value.shape)}"
    if value.dtype.is_complex or (value.dtype not in FLOATS and not is_counter):
        return f"expected a float type, found {str(value.dtype).removeprefix('torch.')}"
    if value.spread > max(limits.SPREAD * value.bytes, limits.SMALL_SPREAD):
        return "its elements are too far apart"
    return ""


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
