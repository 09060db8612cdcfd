"""Arrays of NumPy's own file format, as `numpy.savez` writes them.

Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
"""

from __future__ import annotations

import re
import struct

from toolchain.checkpoints.constructors import NUMPY_TYPES
from toolchain.checkpoints.sources import DamagedError
from toolchain.checkpoints.values import (
    OTHER_ARRAY,
    Data,
    DenseTensor,
    Opaque,
    Part,
    Storage,
    contiguous_strides,
    read_sizes,
)

SIGNATURE = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 14
_HEADER = re.compile(
    r"\{'descr': '([<>|=])(\w\w?)', 'fortran_order': (False|True), "
    r"'shape': \(([\d, ]{0,200})\),? *\}"
)


def read_array(file: Data) -> DenseTensor | Opaque:
    """Read the header of an array; its elements are read when they are needed.

    Raises:
        DamagedError: It is damaged or contradicts itself.
    """
    source = file.open()
    head = source.read(0, 8)
    form = "<H" if head[6] == 1 else "<L"
    start = 8 + struct.calcsize(form)
    (size,) = struct.unpack(form, source.read(8, start - 8))
    if not head.startswith(SIGNATURE) or size > _LONGEST_HEADER:
        raise DamagedError("it is damaged: an array in it has no valid header")
    found = _HEADER.fullmatch(source.read(start, size).decode("latin-1").strip())
    dtype = NUMPY_TYPES.get(found[2]) if found else None
    if found is None or dtype is None:
        return OTHER_ARRAY
    shape = read_sizes([int(text) for text in found[4].split(",") if text.strip()])
    if shape is None:
        return OTHER_ARRAY
    strides = contiguous_strides(shape)
    if found[3] == "True":
        strides = contiguous_strides(shape[::-1])[::-1]
    content = Part(file, start + size, source.size - start - size)
    storage = Storage(content.size, content, is_swapped=found[1] == ">")
    tensor = DenseTensor(storage, 0, shape, strides, dtype)
    if tensor.bytes != content.size:
        raise DamagedError("it is damaged: the size of an array differs from its header")
    return tensor
