"""What the calls in a pickle stand for: tensors, arrays, tables; anything else is only recorded.

The functions of PyTorch and NumPy are known by name and never imported.  A call of a function that
is known to run code or to touch files is refused: it would be harmless here, but a file that holds
one was made to attack.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from toolchain.checkpoints.pickles import ENTRY, Budget
from toolchain.checkpoints.sources import DamagedError, Memory
from toolchain.checkpoints.values import (
    MALFORMED,
    META,
    OTHER_ARRAY,
    OTHER_CLASS,
    OTHER_TYPE,
    QUANTIZED,
    Blob,
    Data,
    DenseTensor,
    Global,
    Opaque,
    Storage,
    StorageView,
    Table,
    Value,
    contiguous_strides,
    read_sizes,
    view_tensor,
)
from toolchain.errors import UnsafeCheckpointError
from toolchain.printable import printable

STORAGE_TYPES: dict[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": None,
}
_DTYPES = {
    f"torch.{name}": value
    for name, value in vars(torch).items()
    if isinstance(value, torch.dtype) and not name.startswith(("q", "bits"))
}
NUMPY_TYPES = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}
# Functions and classes of these modules run code or touch files when they are called.
_UNSAFE_MODULES = frozenset(
    (
        *("os", "posix", "nt", "subprocess", "sys", "pty", "runpy", "importlib", "imp", "ctypes"),
        *("_ctypes", "socket", "shutil", "webbrowser", "pdb", "timeit", "pip", "marshal", "pickle"),
        "_pickle",
    )
)
_UNSAFE_NAMES = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("eval", "exec", "execfile", "compile", "open", "file", "input", "breakpoint")
) | {"builtins.__import__", "__builtin__.__import__", "torch.load", "torch.jit.load", "numpy.load"}
_HARMLESS_RECORDS = ("_result", "terminal_size")  # of `os`: plain tuples


class NumpyType:
    """A NumPy dtype while its pickle is read.

    Attributes:
        dtype: The type; None if no tensor has it.
        is_swapped: Whether it is big-endian.
    """

    __slots__ = ("dtype", "is_swapped")

    def __init__(self, dtype: torch.dtype | None) -> None:
        self.dtype, self.is_swapped = dtype, False


class NumpyArray:
    """A NumPy array while its pickle is read.

    Attributes:
        tensor: The array as a tensor.
    """

    __slots__ = ("tensor",)

    def __init__(self) -> None:
        self.tensor: DenseTensor | Opaque = Opaque("a NumPy array without content")


class Builder:
    """Gives the calls and states of a pickle their meaning.

    Args:
        budget: What the objects of the file may still take.
        find_storage: Returns what a persistent id refers to.
        read_nested: Reads a file of `torch.save` within this one; None where that is not expected.
    """

    def __init__(
        self,
        budget: Budget,
        find_storage: Callable[[Value], Value],
        read_nested: Callable[[Data], Value] | None = None,
    ) -> None:
        self.budget, self.load_persistent, self.read_nested = budget, find_storage, read_nested

    def call(self, function: Value, arguments: list[Value]) -> Value:
        """Return the value that stands for calling `function`.

        Raises:
            UnsafeCheckpointError: The function runs code or touches files.
        """
        name = function.name if isinstance(function, Global) else "a call"
        known = _KNOWN.get(name)
        if known is not None:
            try:
                return known(self, arguments)
            except (IndexError, TypeError, ValueError, OverflowError) as error:
                raise DamagedError(f"its pickle is damaged: a call of {name} is wrong") from error
        _refuse_unsafe(name)
        return self.record(name, arguments)

    def set_state(self, value: Value, state: Value) -> Value:
        """Return what stands for `value` after its state was set."""
        if isinstance(value, NumpyArray):
            value.tensor = _array(state)
        elif isinstance(value, NumpyType):
            order = state[1] if isinstance(state, list) and len(state) > 1 else None
            value.is_swapped = order == ">"
            if order not in ("<", ">", "|", "="):
                value.dtype = None
        elif isinstance(value, Table):
            for part in _parts_of_state(state):
                if not isinstance(part, Table):
                    value.add_other(part)
                elif value.attributes is None:
                    value.attributes = part
                else:
                    value.add_other(part)
        return value

    def record(self, name: str, arguments: list[Value]) -> Table:
        """Record a call without a meaning."""
        self.budget.charge(8 * len(arguments))
        table = Table(name)
        table.others = list(arguments)
        return table


def _refuse_unsafe(name: str) -> None:
    is_unsafe = name.partition(".")[0] in _UNSAFE_MODULES and not name.endswith(_HARMLESS_RECORDS)
    if is_unsafe or name in _UNSAFE_NAMES:
        raise UnsafeCheckpointError(
            f"refused: its pickle asks to run code ({printable(name)}); a checkpoint holds only "
            "tensors",
            kept="Nothing in it was run.",
            hint="Use a file from a source that you trust, or its tensors saved as safetensors.",
        )


def _parts_of_state(state: Value) -> list[Value]:
    """The object's `__dict__` and its slots, where the state is the pair of both."""
    if isinstance(state, list) and len(state) == 2 and isinstance(state[1], Table):  # noqa: PLR2004
        return [part for part in state if part is not None]
    return [state]


def _data_of(value: Value) -> Data | None:
    if isinstance(value, bytes):
        return Memory(value)
    if isinstance(value, str):  # written by Python 2
        return Memory(value.encode("latin-1"))
    return value if isinstance(value, Blob) and not value.is_text else None


def array_tensor(
    value: Value, dtype: Value, shape: Value, *, is_fortran: bool
) -> DenseTensor | Opaque:
    """Build a tensor from the parts of a NumPy array."""
    sizes, data = read_sizes(shape), _data_of(value)
    if not isinstance(dtype, NumpyType) or dtype.dtype is None or sizes is None or data is None:
        return OTHER_ARRAY
    size = math.prod(sizes) * dtype.dtype.itemsize
    if isinstance(data, Blob) and not size <= data.size <= size * (1 + data.is_latin):
        return Opaque("a NumPy array whose data has another size")
    storage = Storage(size, data, is_swapped=dtype.is_swapped)
    strides = contiguous_strides(sizes)
    if is_fortran:
        strides = contiguous_strides(sizes[::-1])[::-1]
    return DenseTensor(storage, 0, sizes, strides, dtype.dtype)


def _array(state: Value) -> DenseTensor | Opaque:
    if not isinstance(state, list) or len(state) not in (4, 5):
        return MALFORMED
    *version, shape, dtype, is_fortran, data = state
    if any(number not in (0, 1) for number in (*version, is_fortran)):
        return MALFORMED
    return array_tensor(data, dtype, shape, is_fortran=bool(is_fortran))


def _rebuild_tensor(_: Builder, arguments: list[Value]) -> Value:
    view, offset, shape, strides = arguments[:4]
    return _view(view, offset, shape, strides, None, arguments[6:7])


def _rebuild_tensor_v3(_: Builder, arguments: list[Value]) -> Value:
    view, offset, shape, strides, _grad, _hooks, dtype = arguments[:7]
    kind = _DTYPES.get(dtype.name) if isinstance(dtype, Global) else None
    if kind is None:
        return OTHER_TYPE
    return _view(view, offset, shape, strides, kind, arguments[7:8])


def _view(
    view: Value,
    offset: Value,
    shape: Value,
    strides: Value,
    dtype: torch.dtype | None,
    metadata: list[Value],
) -> Value:
    if isinstance(view, Opaque):
        return view
    if not isinstance(view, StorageView):
        return MALFORMED
    for bits in metadata:
        if isinstance(bits, Table) and any(bits.items.values()):
            return Opaque("a negated or conjugated view")
    return view_tensor(view, offset, shape, strides, dtype)


def _rebuild_parameter(_: Builder, arguments: list[Value]) -> Value:
    return arguments[0]


def _rebuild_from_array(_: Builder, arguments: list[Value]) -> Value:
    array = arguments[0]
    return array.tensor if isinstance(array, NumpyArray) else array


def _reconstruct_array(_: Builder, arguments: list[Value]) -> Value:
    kind, shape, code = arguments
    if not isinstance(kind, Global) or read_sizes(shape) is None or code not in (b"b", "b"):
        raise TypeError
    return NumpyArray()


def _array_from_buffer(_: Builder, arguments: list[Value]) -> Value:
    data, dtype, shape, order = arguments
    array = NumpyArray()
    array.tensor = array_tensor(data, dtype, shape, is_fortran=order == "F")
    return array


def _numpy_type(_: Builder, arguments: list[Value]) -> Value:
    code = arguments[0]
    if not isinstance(code, str):
        raise TypeError
    return NumpyType(NUMPY_TYPES.get(code.lstrip("<|=")))


def _encode(_: Builder, arguments: list[Value]) -> Value:
    text, encoding = arguments[:2]
    if encoding not in ("latin1", "latin-1"):
        return MALFORMED
    if isinstance(text, str):
        return text.encode("latin-1")
    if isinstance(text, Blob) and text.is_text:
        return Blob(text.source, text.start, text.size, is_text=False, is_latin=True)
    return MALFORMED


def _bytes(_: Builder, arguments: list[Value]) -> Value:
    return arguments[0] if arguments else b""


def _list(_: Builder, arguments: list[Value]) -> Value:
    first = arguments[0] if arguments else []
    return first if isinstance(first, list) else MALFORMED


def _instance(builder: Builder, arguments: list[Value]) -> Value:
    kind = arguments[0]
    name = kind.name if isinstance(kind, Global) else "an object"
    return builder.record(name, arguments[1:])


def _table(builder: Builder, arguments: list[Value]) -> Value:
    table = Table()
    if len(arguments) > 2:  # noqa: PLR2004 - `defaultdict` has its factory before the pairs
        return MALFORMED
    for pairs in arguments:
        for pair in pairs if isinstance(pairs, list) else ():
            builder.budget.charge(ENTRY)
            if isinstance(pair, list) and len(pair) == 2:  # noqa: PLR2004
                table.add(pair[0], pair[1])
    return table


def _rebuild_from_type(builder: Builder, arguments: list[Value]) -> Value:
    function, _, inner = arguments[:3]
    if not isinstance(function, Global) or function.name not in _TENSORS:
        return OTHER_CLASS
    return builder.call(function, inner) if isinstance(inner, list) else MALFORMED


def _load_from_bytes(builder: Builder, arguments: list[Value]) -> Value:
    data = _data_of(arguments[0])
    if data is None or builder.read_nested is None:
        return MALFORMED
    if isinstance(data, Blob) and data.is_latin:
        builder.budget.charge_decoding(data.size)
    return builder.read_nested(data)


def _opaque(value: Opaque) -> Callable[[Builder, list[Value]], Value]:
    return lambda _builder, _arguments: value


_TENSORS: dict[str, Callable[[Builder, list[Value]], Value]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _rebuild_from_array,
    "torch._utils._rebuild_device_tensor_from_numpy": _rebuild_from_array,
    "torch._utils._rebuild_xla_tensor": _rebuild_from_array,
    "torch._utils._rebuild_sparse_tensor": _opaque(Opaque("a sparse tensor")),
    "torch._utils._rebuild_sparse_csr_tensor": _opaque(Opaque("a sparse tensor")),
    "torch._utils._rebuild_nested_tensor": _opaque(Opaque("a nested tensor")),
    "torch._utils._rebuild_qtensor": _opaque(QUANTIZED),
    "torch._utils._rebuild_meta_tensor_no_storage": _opaque(META),
    "torch._utils._rebuild_wrapper_subclass": _opaque(OTHER_CLASS),
}
_KNOWN: dict[str, Callable[[Builder, list[Value]], Value]] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type": _rebuild_from_type,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch._utils._rebuild_from_type": _rebuild_from_type,
    "torch._utils._rebuild_from_type_v2": _rebuild_from_type,
    "torch.storage._load_from_bytes": _load_from_bytes,
    "torch.jit._pickle.restore_type_tag": _rebuild_parameter,
    "torch.jit._pickle.build_intlist": _list,
    "torch.jit._pickle.build_doublelist": _list,
    "torch.jit._pickle.build_boollist": _list,
    "torch.jit._pickle.build_tensorlist": _list,
    "torch.Size": _list,
    "numpy.dtype": _numpy_type,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _table,
    "collections.defaultdict": _table,
    "copyreg._reconstructor": _instance,
    "copy_reg._reconstructor": _instance,
    "copyreg.__newobj__": _instance,
    "copy_reg.__newobj__": _instance,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct_array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_from_buffer for core in ("core", "_core")},
    **{
        f"{module}.{name}": function
        for module in ("builtins", "__builtin__")
        for name, function in (
            ("dict", _table),
            ("bytes", _bytes),
            ("bytearray", _bytes),
            ("list", _list),
            ("tuple", _list),
            ("set", _list),
            ("frozenset", _list),
        )
    },
}
