"""safetensors files: a header that contradicts itself or the file is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
import safetensors.torch
import torch

from toolchain.checkpoints.safetensors_files import read_safetensors
from toolchain.checkpoints.sources import Memory
from toolchain.checkpoints.values import DenseTensor, Opaque
from toolchain.errors import CheckpointError

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
HEADER = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "F16", "shape": [4], "data_offsets": [24, 32]},
}


def packed(header: Any, body: bytes = bytes(32), length: int | None = None) -> bytes:
    """A file with this header, an object or text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def test_tensors_and_metadata_are_read() -> None:
    """As the library writes them."""
    table, texts = read_safetensors(Memory(safetensors.torch.save(TENSORS, {"about": "x"})))
    assert texts == {"about": "x"}
    for name, expected in TENSORS.items():
        tensor = table.items[name]
        assert isinstance(tensor, DenseTensor)
        assert (tensor.shape, tensor.dtype) == (tuple(expected.shape), expected.dtype)
        assert tensor.storage.data is not None
        data = tensor.storage.data.open().read(0, tensor.bytes)
        assert bytes(data) == expected.numpy().tobytes()


def test_a_type_that_is_not_known_is_named() -> None:
    """The others are still read."""
    header = {**HEADER, "b": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [24, 32]}}
    table, _ = read_safetensors(Memory(packed(header)))
    assert isinstance(table.items["a"], DenseTensor)
    assert isinstance(table.items["b"], Opaque)


def changed(key: str, field: str, value: Any) -> bytes:
    """The header with one other value."""
    return packed({**HEADER, key: {**HEADER[key], field: value}})


WRONG = {
    "overlap": changed("b", "data_offsets", [16, 24]),
    "hole": changed("b", "data_offsets", [25, 33]),
    "beyond the end": changed("b", "data_offsets", [24, 1 << 40]),
    "backwards": changed("b", "data_offsets", [24, 8]),
    "negative": changed("a", "data_offsets", [-8, 16]),
    "shape": changed("a", "shape", [2, 4]),
    "negative shape": changed("a", "shape", [-2, -3]),
    "fraction": changed("a", "shape", [2.0, 3.0]),
    "truth": changed("a", "shape", [True, 6]),
    "text as shape": changed("a", "shape", "23"),
    "many dimensions": changed("a", "shape", [1] * 100 + [6]),
    "no offsets": packed({"a": {"dtype": "F32", "shape": [2]}}),
    "list": packed([1, 2]),
    "entry": packed({"a": 3}),
    "metadata": packed({**HEADER, "__metadata__": [1]}),
    "metadata not text": packed({**HEADER, "__metadata__": {"a": 3}}),
    "data after it": packed(HEADER, bytes(33)),
    "truncated": packed(HEADER, bytes(31)),
    "length": packed(HEADER, length=1 << 62),
    "length within": packed(HEADER, length=20),
    "not UTF-8": packed(b'{"\xff":{}}', b""),
    "twice": packed(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}', b""),
    "deep": packed(b'{"a":' + b"[" * 500_000, b""),
    "long number": packed(b'{"a":' + b"9" * 500_000 + b"}", b""),
    "long fraction": packed(b'{"a":1e' + b"9" * 500_000 + b"}", b""),
    "many objects": packed(b'{"a":[' + b"{}," * 330_000 + b"0]}", b""),
    "long": packed(b"{" + b" " * (1 << 20) + b"}", b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_header_is_one_sentence(name: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(CheckpointError, match="not a readable safetensors checkpoint"):
        read_safetensors(Memory(WRONG[name]))
