"""An interpreter of pickles that cannot import or call anything.

It knows every opcode of protocols 0 to 5.  Classes and functions become names; what would call one
becomes a record of the call, which `constructors` turns into a tensor, an array or a table where it
knows the name.  Long texts and byte strings stay in the file.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
from collections.abc import Callable
from typing import Protocol

from toolchain.checkpoints.limits import DECODED_BYTES, DECODED_TOTAL, NAME_BYTES, PICKLE_BYTES
from toolchain.checkpoints.sources import DamagedError, Source
from toolchain.checkpoints.values import Blob, Global, Opaque, Table, Value
from toolchain.errors import CheckpointError

# Estimated bytes of memory, rounded up.
_OPCODE = 40  # an int or float, and its place on the stack
ENTRY = 110  # one more entry of a dictionary
_LIST = 100
_TABLE = 280
_RECORD = 500  # a tensor, an array, a storage or the record of a call
_CHUNK = 1 << 14
_HIGHEST_PROTOCOL = 5
_LONGEST_NUMBER = 64  # bytes of an int; more is no size, offset or count


class Budget:
    """Memory that the pickles of one file may take together."""

    def __init__(self, size: int = PICKLE_BYTES) -> None:
        self.left = size
        self._left_to_decode = DECODED_TOTAL

    def charge(self, size: int) -> None:
        """Take `size` bytes.

        Raises:
            CheckpointError: Nothing is left.
        """
        self.left -= size
        if self.left < 0:
            raise self._exceeded()

    def charge_decoding(self, size: int) -> None:
        """Decode a text of `size` bytes that stands for bytes.

        Raises:
            CheckpointError: It is longer than any tensor, or all of them together are.
        """
        self._left_to_decode -= size
        if size > DECODED_BYTES or self._left_to_decode < 0:
            raise self._exceeded()

    @staticmethod
    def _exceeded() -> CheckpointError:
        return CheckpointError(
            "its pickle describes more objects than any checkpoint of this network has",
            hint="Save only `model.state_dict()`, or name another file.",
        )


class Builder(Protocol):
    """What gives values their meaning; see `constructors`."""

    def call(self, function: Value, arguments: list[Value]) -> Value:
        """Return the value that stands for a call."""

    def set_state(self, value: Value, state: Value) -> Value:
        """Return what stands for `value` after its state was set."""

    def load_persistent(self, identifier: Value) -> Value:
        """Return what a persistent id refers to."""


class _Mark:
    pass


_MARK = _Mark()


class Interpreter:
    """Reads one pickle.

    Args:
        source: Where the pickle is.
        start: Its first byte.
        builder: Gives calls, states and persistent ids their meaning.
        budget: Shared by all pickles of a file.

    Attributes:
        end: First byte after the pickle, once `run` returned.
    """

    def __init__(self, source: Source, start: int, builder: Builder, budget: Budget) -> None:
        self._source, self._builder, self._budget = source, builder, budget
        self._buffer, self._base, self._position = b"", start, 0
        self._stack: list[Value] = []
        self._memo: dict[int, Value] = {}
        self._frame_end = 0
        self.end = start

    def run(self) -> Value:
        """Read the pickle up to its end.

        Raises:
            DamagedError: It is not a pickle, or damaged.
            CheckpointError: It describes too many objects.
        """
        steps, budget = _STEPS, self._budget
        while True:
            code = self._take(1)[0]
            budget.left -= _OPCODE
            if budget.left < 0:
                budget.charge(0)
            if code == _STOP:
                self.end = self._base + self._position
                return self._pop()
            step = steps.get(code)
            if step is None:
                raise self._damaged()
            try:
                step(self)
            except (IndexError, TypeError, ValueError, struct.error, OverflowError) as error:
                raise self._damaged() from error

    def _damaged(self) -> DamagedError:
        return DamagedError(f"its pickle is damaged at byte {self._base + self._position:,}")

    # The stream

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._buffer):
            self._fill(size)
            end = size
        piece = self._buffer[self._position : end]
        self._position = end
        return piece

    def _fill(self, size: int) -> None:
        """Have at least `size` bytes at the beginning of the buffer."""
        self._base += self._position
        self._position = 0
        available = self._source.size - self._base
        if size > available:
            raise DamagedError("its pickle is truncated")
        self._buffer = bytes(self._source.read(self._base, min(max(size, _CHUNK), available)))

    def _skip(self, size: int) -> int:
        """Pass over `size` bytes; returns where they begin."""
        start = self._base + self._position
        if start + size > self._source.size:
            raise DamagedError("its pickle is truncated")
        if self._position + size <= len(self._buffer):
            self._position += size
        else:
            self._buffer, self._base, self._position = b"", start + size, 0
        return start

    def _line(self) -> bytes:
        end = self._buffer.find(b"\n", self._position)
        if end < 0:
            available = self._source.size - self._base - self._position
            self._fill(min(NAME_BYTES, available))
            end = self._buffer.find(b"\n")
        if end < 0 or end - self._position > NAME_BYTES:
            raise self._damaged()
        return self._take(end + 1 - self._position)[:-1]

    def _number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        if value < 0:
            raise self._damaged()
        return int(value)

    # The stack

    def _push(self, value: Value) -> None:
        self._stack.append(value)

    def _pop(self) -> Value:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged()
        return self._stack.pop()

    def _top(self) -> Value:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._damaged()
        return self._stack[-1]

    def _pop_mark(self) -> list[Value]:
        stack = self._stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                self._budget.charge(8 * len(items))
                return items
        raise self._damaged()

    # Opcodes: plain values

    def _push_text(self, size: int) -> None:
        if size > NAME_BYTES:
            self._budget.charge(_RECORD)
            self._push(Blob(self._source, self._skip(size), size, is_text=True))
            return
        self._budget.charge(80 + 4 * size)
        self._push(self._take(size).decode("utf-8", "surrogatepass"))

    def _push_bytes(self, size: int, *, is_text: bool = False) -> None:
        if size > NAME_BYTES:
            self._budget.charge(_RECORD)
            self._push(Blob(self._source, self._skip(size), size, is_text=False))
            return
        self._budget.charge(80 + size)
        data = self._take(size)
        # Python 2 wrote texts and bytes alike; latin-1 keeps either.
        self._push(data.decode("latin-1") if is_text else data)

    def _push_number(self, size: int) -> None:
        if size > _LONGEST_NUMBER:
            self._skip(size)
            self._push(Table("a number"))
            return
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _int_line(self) -> None:
        line = self._line()
        if line in (b"00", b"01"):
            self._push(line == b"01")
        elif len(line) > _LONGEST_NUMBER:
            self._push(Table("a number"))
        else:
            self._push(int(line.rstrip(b"L")))

    def _string_line(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):  # noqa: PLR2004
            raise self._damaged()
        self._budget.charge(80 + len(line))
        self._push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))

    def _unicode_line(self) -> None:
        line = self._line()
        self._budget.charge(80 + 4 * len(line))
        self._push(line.decode("raw-unicode-escape"))

    # Opcodes: containers

    def _push_list(self, items: list[Value]) -> None:
        self._budget.charge(_LIST + 8 * len(items))
        self._push(items)

    def _push_table(self, items: list[Value]) -> None:
        self._budget.charge(_TABLE)
        self._push(Table())
        self._set_items(items)

    def _set_items(self, items: list[Value]) -> None:
        table = self._top()
        if len(items) % 2:
            raise self._damaged()
        if isinstance(table, Opaque):
            return
        if not isinstance(table, Table):
            raise self._damaged()
        self._budget.charge(ENTRY * (len(items) // 2))
        for index in range(0, len(items), 2):
            table.add(items[index], items[index + 1])

    def _append(self, items: list[Value]) -> None:
        target = self._top()
        self._budget.charge(16 * len(items))
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Table):
            for item in items:
                target.add_other(item)
        elif not isinstance(target, Opaque):
            raise self._damaged()

    def _tuple(self, size: int) -> None:
        items = [self._pop() for _ in range(size)]
        self._push_list(items[::-1])

    # Opcodes: memo

    def _put(self, index: int) -> None:
        # Picklers count from 0, so that no index exceeds the number of opcodes.
        if index > PICKLE_BYTES // _OPCODE:
            raise self._damaged()
        self._budget.charge(ENTRY)
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._damaged()
        self._push(self._memo[index])

    # Opcodes: names and calls

    def _push_global(self, module: Value, name: Value) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self._damaged()
        self._budget.charge(_LIST + 4 * (len(module) + len(name)))
        self._push(Global(f"{module}.{name}"))

    def _global_line(self) -> None:
        module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        self._push_global(module, name)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push_global(module, name)

    def _call(self, function: Value, arguments: Value) -> None:
        if not isinstance(function, (Global, Table)) or not isinstance(arguments, list):
            raise self._damaged()
        self._budget.charge(_RECORD)
        self._push(self._builder.call(function, arguments))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _new_with_keywords(self) -> None:
        keywords, arguments, function = self._pop(), self._pop(), self._pop()
        if not isinstance(arguments, list):
            raise self._damaged()
        self._budget.charge(8 * len(arguments))
        self._call(function, [*arguments, keywords])

    def _instance_line(self) -> None:
        self._global_line()
        function = self._pop()
        self._call(function, self._pop_mark())

    def _object(self) -> None:
        items = self._pop_mark()
        self._call(items[0], items[1:])

    def _build(self) -> None:
        state = self._pop()
        value = self._pop()
        if value is None or isinstance(value, (int, float, str, bytes, Global)):
            raise self._damaged()
        self._budget.charge(_TABLE)
        self._push(self._builder.set_state(value, state))

    def _persistent(self) -> None:
        identifier = self._pop()
        self._budget.charge(_RECORD)
        self._push(self._builder.load_persistent(identifier))

    def _persistent_line(self) -> None:
        self._line()
        self._push(Table("a reference to another file"))

    def _check_buffer(self) -> None:
        if not isinstance(self._top(), (bytes, Blob)):
            raise self._damaged()

    def _check_frame(self) -> None:
        start = self._base + self._position - 1
        size = self._number("<Q")
        if start < self._frame_end:  # frames follow one another
            raise self._damaged()
        self._frame_end = self._base + self._position + size
        if self._frame_end > self._source.size:
            raise DamagedError("its pickle is truncated")

    def _check_protocol(self) -> None:
        if self._take(1)[0] > _HIGHEST_PROTOCOL:
            raise DamagedError("its pickle is of a later protocol than 5")

    def _refuse_extension(self) -> None:
        raise DamagedError("its pickle uses extension codes, whose meaning is not in the file")


_Step = Callable[[Interpreter], object]
# ruff: noqa: SLF001 - one class in two parts: its methods, and which opcode means which
_NAMED: dict[str, _Step] = {
    "PROTO": Interpreter._check_protocol,
    "FRAME": Interpreter._check_frame,
    "MARK": lambda i: i._push(_MARK),
    "POP": lambda i: i._stack.pop(),
    "POP_MARK": lambda i: i._pop_mark(),
    "DUP": lambda i: i._push(i._top()),
    "NONE": lambda i: i._push(None),
    "NEWTRUE": lambda i: i._push(True),
    "NEWFALSE": lambda i: i._push(False),
    "INT": Interpreter._int_line,
    "LONG": Interpreter._int_line,
    "BININT": lambda i: i._push(struct.unpack("<i", i._take(4))[0]),
    "BININT1": lambda i: i._push(i._take(1)[0]),
    "BININT2": lambda i: i._push(i._number("<H")),
    "LONG1": lambda i: i._push_number(i._number("<B")),
    "LONG4": lambda i: i._push_number(i._number("<i")),
    "FLOAT": lambda i: i._push(float(i._line())),
    "BINFLOAT": lambda i: i._push(struct.unpack(">d", i._take(8))[0]),
    "STRING": Interpreter._string_line,
    "BINSTRING": lambda i: i._push_bytes(i._number("<i"), is_text=True),
    "SHORT_BINSTRING": lambda i: i._push_bytes(i._number("<B"), is_text=True),
    "BINBYTES": lambda i: i._push_bytes(i._number("<I")),
    "SHORT_BINBYTES": lambda i: i._push_bytes(i._number("<B")),
    "BINBYTES8": lambda i: i._push_bytes(i._number("<Q")),
    "BYTEARRAY8": lambda i: i._push_bytes(i._number("<Q")),
    "UNICODE": Interpreter._unicode_line,
    "BINUNICODE": lambda i: i._push_text(i._number("<I")),
    "SHORT_BINUNICODE": lambda i: i._push_text(i._number("<B")),
    "BINUNICODE8": lambda i: i._push_text(i._number("<Q")),
    "EMPTY_LIST": lambda i: i._push_list([]),
    "EMPTY_TUPLE": lambda i: i._push_list([]),
    "EMPTY_SET": lambda i: i._push_list([]),
    "EMPTY_DICT": lambda i: i._push_table([]),
    "LIST": lambda i: i._push_list(i._pop_mark()),
    "TUPLE": lambda i: i._push_list(i._pop_mark()),
    "FROZENSET": lambda i: i._push_list(i._pop_mark()),
    "DICT": lambda i: i._push_table(i._pop_mark()),
    "TUPLE1": lambda i: i._tuple(1),
    "TUPLE2": lambda i: i._tuple(2),
    "TUPLE3": lambda i: i._tuple(3),
    "APPEND": lambda i: i._append([i._pop()]),
    "APPENDS": lambda i: i._append(i._pop_mark()),
    "ADDITEMS": lambda i: i._append(i._pop_mark()),
    "SETITEM": lambda i: i._set_items([i._pop(), i._pop()][::-1]),
    "SETITEMS": lambda i: i._set_items(i._pop_mark()),
    "PUT": lambda i: i._put(int(i._line())),
    "BINPUT": lambda i: i._put(i._number("<B")),
    "LONG_BINPUT": lambda i: i._put(i._number("<I")),
    "MEMOIZE": lambda i: i._put(len(i._memo)),
    "GET": lambda i: i._get(int(i._line())),
    "BINGET": lambda i: i._get(i._number("<B")),
    "LONG_BINGET": lambda i: i._get(i._number("<I")),
    "GLOBAL": Interpreter._global_line,
    "STACK_GLOBAL": Interpreter._stack_global,
    "REDUCE": Interpreter._reduce,
    "NEWOBJ": Interpreter._reduce,
    "NEWOBJ_EX": Interpreter._new_with_keywords,
    "INST": Interpreter._instance_line,
    "OBJ": Interpreter._object,
    "BUILD": Interpreter._build,
    "BINPERSID": Interpreter._persistent,
    "PERSID": Interpreter._persistent_line,
    "EXT1": Interpreter._refuse_extension,
    "EXT2": Interpreter._refuse_extension,
    "EXT4": Interpreter._refuse_extension,
    "READONLY_BUFFER": Interpreter._check_buffer,
}
_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
_STEPS: dict[int, _Step] = {_CODES[name]: step for name, step in _NAMED.items()}
_STOP = _CODES["STOP"]
PROTOCOL = bytes([_CODES["PROTO"]])
"""First byte of every pickle of protocol 2 or later."""
