"""Pickles are read without importing or calling anything, and within a budget of memory."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import itertools
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.checkpoints import constructors
from toolchain.checkpoints.constructors import Builder, NumpyType
from toolchain.checkpoints.pickles import Budget, Interpreter
from toolchain.checkpoints.sources import DamagedError, Memory
from toolchain.checkpoints.values import Blob, DenseTensor, Global, Table, Value
from toolchain.errors import CheckpointError, UnsafeCheckpointError

PROTOCOLS = range(6)


def read(data: bytes) -> Value:
    """What the interpreter makes of a pickle."""
    budget = Budget()
    builder = Builder(budget, lambda identifier: ("persistent", identifier))
    return Interpreter(Memory(data), 0, builder, budget).run()


def plain(value: Value) -> Any:
    """Tables and lists as dictionaries and lists of Python."""
    if isinstance(value, Table):
        return {key: plain(item) for key, item in value.items.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Blob):
        data = bytes(value.open().read(0, value.open().size))
        return data.decode() if value.is_text else data
    return value


def listed(value: Any) -> Any:
    """A value of Python with lists for tuples."""
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [listed(item) for item in value]
    return value


texts = st.text(max_size=30) | st.text("ab\u00e9\u20ac\U0001f600", min_size=1020, max_size=1030)
atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=30)
)
trees = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(trees, st.sampled_from([2, 3, 4, 5]))
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    """Any tree of lists, tuples, dictionaries, texts, bytes and numbers."""
    found = plain(read(pickle.dumps(value, protocol)))
    expected = listed(value)
    assert found == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_read(protocol: int) -> None:
    """Also the oldest, which are text."""
    value = {"a": [1, -1, 1 << 40, 2.5, None, True, False], "b": ("x", "\u00e9\n"), "c": {"d": []}}
    assert plain(read(pickle.dumps(value, protocol))) == listed(value)


def test_shared_and_recursive_values_are_the_same_object() -> None:
    """A list that contains itself is read."""
    value: list[Any] = [{}]
    value.append(value)
    found = read(pickle.dumps(value))
    assert isinstance(found, list)
    assert found[1] is found


def test_instances_become_tables_with_their_attributes() -> None:
    """Of any class, known or not; nothing is imported."""
    data = pickle.dumps(decimal.Decimal("1.5")) + b""
    assert read(data).name == "decimal.Decimal"  # type: ignore[union-attr]
    when = read(pickle.dumps(dt.datetime(2024, 1, 2)))  # noqa: DTZ001
    assert isinstance(when, Table)
    missing = read(
        b"\x80\x02cno_such_module\nThing\n)\x81}X\x01\x00\x00\x00ak\x01sb.".replace(
            b"k\x01", b"K\x01"
        )
    )
    assert isinstance(missing, Table)
    assert missing.name == "no_such_module.Thing"
    assert missing.attributes is not None
    assert missing.attributes.items == {"a": 1}


def test_classes_are_only_names() -> None:
    """A function that is mentioned but not called is harmless."""
    assert read(pickle.dumps(OrderedDict)) == Global("collections.OrderedDict")
    assert read(b"cos\nsystem\n.") == Global("os.system")


CALLS = {
    "REDUCE": b"cos\nsystem\n(X\x02\x00\x00\x00idtR.",
    "INST": b"(X\x02\x00\x00\x00idios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nX\x02\x00\x00\x00ido.",
    "NEWOBJ": b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idt\x81.",
    "NEWOBJ_EX": b"\x80\x04cos\nsystem\n)}\x92.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93)R.",
    "builtin": b"cbuiltins\nexec\n(X\x01\x00\x00\x00atR.",
    "Python 2": b"c__builtin__\neval\n(X\x01\x00\x00\x00atR.",
    "dotted": b"\x80\x04\x8c\x02os\x8c\x0cpath.os.open\x93)R.",
    "import": b"cimportlib\nimport_module\n(X\x02\x00\x00\x00ostR.",
    "loader": b"ctorch\nload\n(X\x01\x00\x00\x00atR.",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_what_runs_code_is_refused(name: str) -> None:
    """By every opcode that calls."""
    with pytest.raises(UnsafeCheckpointError, match="run code"):
        read(CALLS[name])


@pytest.mark.parametrize("data", [
    b"", b".", b"N", b"(.", b"0.", b"R.", b"tR.", b"s.", b"(NNNu.", b"}(Nu.", b"h\x05.", b"a.",
    b"N(e.", b"\x80", b"X\xff\xff\xff\x7fa.", b"T\xff\xff\xff\xffa.", b"G\x00.", b"I1x\n.",
    b"Fx\n.", b"S'a\n.", b"Vab", b"cos\n.", b"\x93.", b"b.", b"Q.", b"o.", b"(o.", b"\x82\x01.",
    b"\x97.", b"\xff.", b"c\xff\n\xff\n.", b"X\x01\x00\x00\x00\xff.", b"Nq\x01(h\x01K\x02d.",
    b"\x8a\x02a.", b"p9999999999\n.", b"Np9999999999\n.", b"Nr\xff\xff\xff\xff.", b"N)R.", b"NNb0.",
    b"g\n.", b"I\n.", b"S\\\n.", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", b"2.", b"1.", b"\x81.",
])  # fmt: skip
def test_a_damaged_pickle_is_one_error(data: bytes) -> None:
    """Never another exception, whatever opcode it ends at."""
    try:
        read(data)
    except CheckpointError as error:
        assert error.message.isprintable()  # noqa: PT017


def test_every_opcode_ends_in_a_value_or_one_error() -> None:
    """With every other opcode before and after it."""
    frames = (b"%b%b.", b"N%b%b.", b"(N%bN%b.", b"](]%b)%b.", b"}}%b\x01\n%b\n.")
    for first, second, frame in itertools.product(range(256), range(256), frames):
        with contextlib.suppress(CheckpointError):
            read(frame % (bytes([first]), bytes([second])))


FLOODS = {
    "dictionaries": b"](" + b"}" * 3_000_000 + b"e.",
    "nested lists": b"]" * 3_000_000 + b"a" * 2_999_999 + b".",
    "nested tuples": b")" + b"\x85" * 3_000_000 + b".",
    "memo": b"]" + b"\x94" * 3_000_000 + b".",
    "references": b"]\x94(" + b"h\x00" * 3_000_000 + b"e.",
    "texts": b"](" + (b"X" + struct.pack("<I", 1000) + b"a" * 1000) * 100_000 + b"e.",
    "marks": b"(" * 3_000_000 + b".",
    "nothing": b"N0" * 3_000_000 + b".",
    "pairs again": b"]("
    + b"".join(b"X\x04\x00\x00\x00%04dN\x86" % index for index in range(1000))
    + b"e\x940]("
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 20_000
    + b"e.",
    "arguments again": b"(" + b"N" * 5000 + b"t\x940](" + b"cfoo\nbar\nh\x00R" * 50_000 + b"e.",
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_objects_is_refused(name: str) -> None:
    """However small each of them is in the file."""
    with pytest.raises(CheckpointError, match="more objects than any checkpoint"):
        read(FLOODS[name])


def test_a_long_text_is_not_read() -> None:
    """It stays in the file; its size is taken from its head, and compared with the file's."""

    class Whole(Memory):
        def read(self, start: int, size: int) -> bytearray:
            assert size < 100_000
            return super().read(start, size)

    data = b"X" + struct.pack("<I", 50_000_000) + b"a" * 50_000_000 + b"."
    budget = Budget()
    found = Interpreter(Whole(data), 0, Builder(budget, lambda _: None), budget).run()
    assert isinstance(found, Blob)
    assert found.size == 50_000_000
    with pytest.raises(DamagedError, match="truncated"):
        read(data[:1_000_000])


def test_numbers_of_any_length_take_no_time() -> None:
    """A number too long for a size is not computed."""
    assert isinstance(
        read(b"\x8b" + struct.pack("<i", 10_000_000) + b"\x7f" * 10_000_000 + b"."), Table
    )
    assert isinstance(read(b"L" + b"9" * 1000 + b"L\n."), Table)


def test_a_path_is_an_object_like_any_other(tmp_path: Path) -> None:
    """Harmless classes of the standard library are not called code."""
    for value in (tmp_path, slice(1, 2), range(3), complex(1, 2), {1, 2}, frozenset("a"), b"x"):
        read(pickle.dumps(value, 2))
        read(pickle.dumps(value))


@pytest.mark.parametrize(
    ("version", "is_fortran", "is_array"),
    [
        *(((1,), 0, True), ((0,), 1, True), ((), True, True), ((1,), 2**31, False)),
        *(((1,), -1, False), ((2,), 0, False), (("1",), 0, False), ((), "F", False)),
    ],
)
def test_a_state_that_numpy_refuses_is_no_array(version, is_fortran, is_array) -> None:
    """An order of axes other than 0 and 1 would be a guess, as would another version."""
    state = [*version, [1], NumpyType(torch.float32), is_fortran, bytes(4)]
    assert isinstance(constructors._array(state), DenseTensor) == is_array
