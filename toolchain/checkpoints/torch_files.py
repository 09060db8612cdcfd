"""Files of torch.save and torch.jit.save, and plain pickles."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import torch

from toolchain.checkpoints.constructors import STORAGE_TYPES, Builder
from toolchain.checkpoints.pickles import PROTOCOL, Budget, Interpreter
from toolchain.checkpoints.sources import DamagedError, Slice, Source
from toolchain.checkpoints.values import (
    META,
    OTHER_TYPE,
    QUANTIZED,
    Data,
    Global,
    Opaque,
    Part,
    Storage,
    StorageView,
    Table,
    Value,
    read_sizes,
)
from toolchain.checkpoints.zips import Archive, MemberData
from toolchain.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_MISSING = Opaque("a tensor whose data is missing")
_BAD_REFERENCE = "its pickle is damaged: a reference to a storage is wrong"
_OUTSIDE = "a reference to another file"


@dataclass(frozen=True)
class _Identifier:
    """The persistent id of a storage.

    Attributes:
        key: Its name.
        dtype: Type of its elements; None if the tensors over it tell.
        item: Bytes of an element.
        size: Bytes of all of them.
        view: What a view of a storage is of, in old files.
    """

    key: str
    dtype: torch.dtype | None
    item: int
    size: int
    view: Value


def _read_identifier(identifier: Value) -> _Identifier | Value:
    """The parts of a storage's persistent id; an inert value for any other id."""
    if not isinstance(identifier, list) or len(identifier) < 2:  # noqa: PLR2004
        raise DamagedError(_BAD_REFERENCE)
    if identifier[0] == "module":
        found: Value = identifier[1]  # a class, beside its source text
        return found
    if identifier[0] != "storage" or len(identifier) not in (5, 6):
        raise DamagedError(_BAD_REFERENCE)
    kind, key, location, count, view = (*identifier[1:], None)[:5]
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 40:
        raise DamagedError(_BAD_REFERENCE)
    name = kind.name.rpartition(".")[2] if isinstance(kind, Global) else ""
    if location == "meta" or name not in STORAGE_TYPES:
        is_quantized = name.startswith(("Q", "Bits"))
        return META if location == "meta" else QUANTIZED if is_quantized else OTHER_TYPE
    dtype = STORAGE_TYPES[name]
    item = 1 if dtype is None else dtype.itemsize
    return _Identifier(key, dtype, item, count * item, view)


# Zip archives: torch.save since PyTorch 1.6, and TorchScript


def read_archive(archive: Archive, root: str) -> Value:
    """Read the pickle in an archive; tensors are read when they are needed.

    Args:
        archive: The archive.
        root: Folder of the pickle in it, with a slash at the end; "" for the top.

    Raises:
        CheckpointError: It is damaged, unsafe, or describes too many objects.
    """
    budget = Budget()
    builder = Builder(budget, _Members(archive, root).find)
    return Interpreter(archive.open(f"{root}data.pkl"), 0, builder, budget).run()


class _Members:
    """Finds storages among the files of an archive."""

    def __init__(self, archive: Archive, root: str) -> None:
        self._archive, self._root = archive, root
        self._found: dict[str, Storage] = {}
        self._is_swapped = _read_byte_order(archive, f"{root}byteorder") == b"big"

    def find(self, identifier: Value) -> Value:
        """What a persistent id refers to."""
        parts = _read_identifier(identifier)
        if not isinstance(parts, _Identifier):
            return parts
        if parts.view is not None:
            raise DamagedError(_BAD_REFERENCE)
        member = self._archive.members.get(f"{self._root}data/{parts.key}")
        if member is None or not 0 <= member.size - parts.size < parts.item:
            return _MISSING
        if parts.key not in self._found:
            data = MemberData(self._archive, member.name)
            self._found[parts.key] = Storage(member.size, data, is_swapped=self._is_swapped)
        return StorageView(self._found[parts.key], parts.dtype, 0, parts.size)


def _read_byte_order(archive: Archive, name: str) -> bytes:
    if name not in archive.members:
        return b"little"
    source = archive.open(name)
    order = bytes(source.read(0, min(source.size, 16))).strip()
    if order not in (b"little", b"big"):
        raise DamagedError("it is damaged: its byte order is unknown")
    return order


# Pickles: torch.save before PyTorch 1.6, and plain ones


def read_pickle(source: Source) -> tuple[bool, Value]:
    """Read a file that begins with a pickle.

    Returns:
        Whether torch.save wrote it, and everything in it.

    Raises:
        CheckpointError: It is no pickle, damaged, unsafe, or describes too many objects.
    """
    budget = Budget()
    builder = Builder(
        budget, lambda _: Table(_OUTSIDE), lambda nested: _read_legacy(nested, budget)
    )
    first = Interpreter(source, 0, builder, budget)
    try:
        value = first.run()
    except DamagedError as error:
        if bytes(source.read(0, 1)) == PROTOCOL:
            raise
        raise CheckpointError(
            "not a checkpoint: its content is of no known format",
            hint="Name a file of torch.save, a TorchScript archive or a safetensors file.",
        ) from error
    if value == _MAGIC:
        return True, _read_legacy(Slice(source, 0, source.size), budget)
    if first.end != source.size:
        raise DamagedError("not a checkpoint: data follows its pickle")
    return False, value


def _read_legacy(data: Data, budget: Budget) -> Value:
    """Read what torch.save wrote before PyTorch 1.6: five pickles, then the storages."""
    source = data.open()
    storages = _Following()
    builder = Builder(budget, storages.find)
    place = 0

    def read() -> Value:
        nonlocal place
        interpreter = Interpreter(source, place, builder, budget)
        value = interpreter.run()
        place = interpreter.end
        return value

    magic, version, machine = read(), read(), read()
    if magic != _MAGIC or version != _PROTOCOL_VERSION:
        raise DamagedError("it is damaged: not a file of torch.save")
    if isinstance(machine, Table):
        storages.is_swapped = machine.items.get("little_endian") is False
    value = read()
    storages.locate(read(), data, place)
    return value


class _Following:
    """Finds storages after the pickles of an old file.

    Attributes:
        is_swapped: Whether they are big-endian.
    """

    def __init__(self) -> None:
        self.is_swapped = False
        self._found: dict[str, tuple[Storage, int]] = {}

    def find(self, identifier: Value) -> Value:
        """What a persistent id refers to; its data is found later."""
        parts = _read_identifier(identifier)
        if not isinstance(parts, _Identifier):
            return parts
        if parts.key not in self._found:
            storage = Storage(parts.size, None, is_swapped=self.is_swapped)
            self._found[parts.key] = storage, parts.item
        storage, item = self._found[parts.key]
        if parts.dtype is None or storage.size != parts.size or item != parts.item:
            raise DamagedError(_BAD_REFERENCE)
        if parts.view is None:
            return StorageView(storage, parts.dtype, 0, parts.size)
        view = read_sizes(parts.view[1:]) if isinstance(parts.view, list) else None
        if view is None or len(view) != 2 or sum(view) * item > parts.size:  # noqa: PLR2004
            raise DamagedError(_BAD_REFERENCE)
        return StorageView(storage, parts.dtype, view[0] * item, view[1] * item)

    def locate(self, keys: Value, data: Data, place: int) -> None:
        """Find the data of all storages, which follow one another from `place`."""
        source = data.open()
        for key in keys if isinstance(keys, list) else ():
            storage, item = self._found.get(key, (None, 1)) if isinstance(key, str) else (None, 1)
            if storage is None or storage.data is not None:
                raise DamagedError("it is damaged: its storages are not those of its tensors")
            (count,) = struct.unpack("<q", source.read(place, 8))
            if count * item != storage.size:
                raise DamagedError("it is damaged: a storage has another size than its tensors say")
            storage.data = Part(data, place + 8, storage.size)
            place += 8 + storage.size
