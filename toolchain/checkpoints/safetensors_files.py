"""The safetensors format: <https://github.com/huggingface/safetensors#format>."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import torch

from toolchain.checkpoints import limits
from toolchain.checkpoints.sources import DamagedError, Slice, Source
from toolchain.checkpoints.values import (
    OTHER_TYPE,
    DenseTensor,
    Storage,
    Table,
    contiguous_strides,
)

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_LENGTH = struct.Struct("<Q")
_LONGEST_NUMBER = 20  # digits; more is no size in 64 bits


def read_safetensors(source: Source) -> tuple[Table, dict[str, str]]:
    """Read the header; tensors are read when they are needed.

    Returns:
        The tensors by key, and the texts of `__metadata__`.

    Raises:
        DamagedError: It is damaged or contradicts itself.
    """
    (size,) = _LENGTH.unpack(source.read(0, _LENGTH.size))
    first = _LENGTH.size + size
    if first > source.size:
        raise _damaged("it is truncated")
    if size > limits.HEADER_BYTES:
        raise _damaged(f"its header has {size:,} bytes")
    try:
        header = json.loads(
            source.read(_LENGTH.size, size).decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_read_number,
        )
        texts = header.pop("__metadata__", None)
        texts = {} if texts is None else dict(texts.items())
        entries = sorted((*_read_entry(entry), key) for key, entry in header.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged("its header is damaged") from error
    if not all(isinstance(text, str) for text in texts.values()):
        raise _damaged("its metadata is not text")
    place, table = 0, Table()
    for start, end, shape, kind, key in entries:
        if start != place or first + end > source.size:
            raise _damaged("its tensors overlap, or it is truncated")
        place, dtype = end, _TYPES.get(kind)
        if dtype is None:
            table.items[key] = OTHER_TYPE
            continue
        if end - start != math.prod(shape) * dtype.itemsize:
            raise _damaged("a size differs from its shape")
        storage = Storage(end - start, Slice(source, first + start, end - start))
        table.items[key] = DenseTensor(storage, 0, shape, contiguous_strides(shape), dtype)
    if first + place != source.size:
        raise _damaged("data follows its tensors")
    return table, texts


def _damaged(reason: str) -> DamagedError:
    return DamagedError(f"not a readable safetensors checkpoint: {reason}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _read_number(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return int(text)


def _read_entry(entry: Any) -> tuple[int, int, tuple[int, ...], str]:
    """First byte, end, shape and type of a tensor."""
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    numbers = (start, end, *shape)
    if any(type(number) is not int or number < 0 for number in numbers) or start > end:
        raise ValueError("a size is wrong")
    if len(shape) > limits.DIMENSIONS:
        raise ValueError("too many dimensions")
    return start, end, shape, str(entry["dtype"])
