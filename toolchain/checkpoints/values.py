"""What the readers make of a file: inert values, with names, places and shapes but no behaviour.

Next to these, None, bool, int, float, str and bytes stand for themselves, and a list stands for
every list, tuple and set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from toolchain.checkpoints.limits import DIMENSIONS
from toolchain.checkpoints.sources import DamagedError, Memory, Slice, Source

Value = object


class Data(Protocol):
    """The bytes of a storage, opened when they are needed."""

    def open(self) -> Source:
        """Return the bytes, verified as far as the format permits."""


class Table:
    """A dictionary, or an object of any class.

    Attributes:
        name: "dict", or the class as "module.name".
        items: Values by key, where the key is a short text.
        others: Values under any other key, arguments of the constructor, and elements.
        attributes: State of an object: what its `__dict__` held.
    """

    __slots__ = ("attributes", "items", "name", "others")

    def __init__(self, name: str = "dict") -> None:
        self.name = name
        self.items: dict[str, Value] = {}
        self.others: list[Value] | None = None
        self.attributes: Table | None = None

    def add(self, key: Value, value: Value) -> None:
        """Set the item `key`."""
        if isinstance(key, str):
            self.items[key] = value
        else:
            self.add_other(value)

    def add_other(self, value: Value) -> None:
        """Append to `others`."""
        if self.others is None:
            self.others = []
        self.others.append(value)


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function.  Nothing is imported.

    Attributes:
        name: "module.name".
    """

    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of a known kind that is not a dense tensor.

    Attributes:
        kind: What it is, for messages: "a sparse tensor".
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A long text or byte string, left where it is.

    Attributes:
        source: Where it is.
        start: First byte.
        size: Number of bytes in the file.
        is_text: Whether it is text in UTF-8.
        is_latin: Whether it is a text that stands for bytes: one byte for each character.
    """

    source: Source
    start: int
    size: int
    is_text: bool
    is_latin: bool = False

    def open(self) -> Source:
        """Return the bytes."""
        part = Slice(self.source, self.start, self.size)
        if not self.is_latin:
            return part
        try:
            return Memory(part.read(0, self.size).decode("utf-8").encode("latin-1"))
        except UnicodeError as error:
            raise DamagedError("a text that stands for bytes is damaged") from error


@dataclass(frozen=True, slots=True)
class Part:
    """A part of other data, for example without its header.

    Attributes:
        data: The whole.
        start: First byte of the part.
        size: Number of bytes.
    """

    data: Data
    start: int
    size: int

    def open(self) -> Source:
        """Return the bytes."""
        return Slice(self.data.open(), self.start, self.size)


class Storage:
    """A flat array that tensors are views of.

    Attributes:
        size: Number of bytes, as recorded with the tensors.
        data: Its bytes; None while they have not been found.
        is_swapped: Whether its elements are big-endian.
    """

    __slots__ = ("data", "is_swapped", "size")

    def __init__(self, size: int, data: Data | None, *, is_swapped: bool = False) -> None:
        self.size, self.data, self.is_swapped = size, data, is_swapped


@dataclass(frozen=True, slots=True)
class StorageView:
    """A storage as elements of one type.

    Attributes:
        storage: The bytes.
        dtype: Type of the elements; None if the tensors over it tell.
        start: First byte of this view.
        size: Number of bytes.
    """

    storage: Storage
    dtype: torch.dtype | None
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class DenseTensor:
    """A dense tensor within the bounds of its storage.

    Attributes:
        storage: Where its elements are.
        start: First byte of its first element.
        shape: Its sizes.
        strides: Distances in elements, none negative.
        dtype: Type of the elements.
    """

    storage: Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @property
    def place(self) -> tuple[object, ...]:
        """Equal for two tensors of the same elements."""
        return (id(self.storage), self.start, self.shape, self.strides, self.dtype)

    @property
    def spread(self) -> int:
        """Number of bytes from its first element to its last."""
        return _spread(self.shape, self.strides) * self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """Number of bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


OUT_OF_BOUNDS = Opaque("a tensor beyond the end of its storage")
MALFORMED = Opaque("a malformed tensor")
META = Opaque("a tensor without data (meta)")
QUANTIZED = Opaque("a quantized tensor")
OTHER_CLASS = Opaque("a tensor of another class")
OTHER_TYPE = Opaque("a tensor of another type")
OTHER_ARRAY = Opaque("a NumPy array of another type")


def view_tensor(
    view: StorageView,
    offset: Value,
    shape: Value,
    strides: Value,
    dtype: torch.dtype | None = None,
) -> DenseTensor | Opaque:
    """Build a tensor over a storage, with its bounds checked.

    Args:
        view: The storage.
        offset: First element; of any type, as the file has it.
        shape: Sizes; likewise.
        strides: Distances in elements; likewise.
        dtype: Type of the elements if the storage has none.
    """
    kind = dtype or view.dtype
    sizes, steps = read_sizes(shape), read_sizes(strides)
    start = read_sizes([offset])
    if kind is None or sizes is None or steps is None or start is None or len(sizes) != len(steps):
        return MALFORMED
    end = (start[0] + _spread(sizes, steps)) * kind.itemsize
    if end > view.size:
        return OUT_OF_BOUNDS
    return DenseTensor(view.storage, view.start + start[0] * kind.itemsize, sizes, steps, kind)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor in row-major order."""
    return tuple(math.prod(shape[index + 1 :]) for index in range(len(shape)))


def read_sizes(value: Value) -> tuple[int, ...] | None:
    """Return `value` as non-negative integers; None if it is anything else."""
    if not isinstance(value, list) or len(value) > DIMENSIONS:
        return None
    if any(type(item) is not int or item < 0 or item >= 1 << 62 for item in value):
        return None
    return tuple(value)


def _spread(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Number of elements from the first to the last."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
