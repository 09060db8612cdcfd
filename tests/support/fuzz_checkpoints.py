"""Mutated checkpoints: each must be refused in one sentence, or give the tensors that it holds.

Run many of them with

    python -m tests.support.fuzz_checkpoints --files 20000 --seed 1

on the small network below, or with `--network mobilenetv2` on the real one.  Every file can be made
again from the seed and its number: `--seed 1 --first 4711 --files 1 --keep DIR`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import pickle
import pickletools
import random
import re
import signal
import struct
import tempfile
import time
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.support.checkpoint_forms import FORMS, State
from toolchain.checkpoints.load import Checkpoint, load_checkpoint
from toolchain.definitions.architecture import ARCHITECTURES, MOBILENETV2, Architecture
from toolchain.errors import CheckpointError
from toolchain.network.backbones import BACKBONES
from toolchain.network.backbones.features import Features
from toolchain.network.matting import MattingNetwork

SECONDS = 5.0
MEMORY = (64 << 20) + 3 * MOBILENETV2.checkpoint_bytes
LONGEST_MESSAGE = 4_000
BASES = (
    *("plain", "legacy", "Lightning", "under ema", "whole model", "TorchScript", "one storage"),
    *("safetensors", "safetensors, prefix", "NumPy values", "pickle of arrays", "npz"),
    *("pickle of tensors", "zipped again", "no checksums", "part by part", "legacy float64"),
)
EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0xFF,
    0xFFFF,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


# A network of a few kilobytes


class SmallEncoder(nn.Module):
    """A backbone with the interface of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))
            for before, after in pairwise((6, 2, 2, 2, 3))
        )

    def forward(self, x: Tensor) -> Features:
        """Features of every stage."""
        maps = [x]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return Features(*maps)


SMALL = replace(
    MOBILENETV2,
    key="small",
    model_name="background-matting-small",
    encoder_channels=3,
    shortcut_channels=(2, 2, 2, 6),
    aspp_channels=2,
    decoder_channels=(2, 2, 2),
    hidden_channels=1,
)


@contextlib.contextmanager
def only_architecture(architecture: Architecture) -> Iterator[None]:
    """Let the toolchain know this network alone."""
    make = functools.partial(network, architecture)
    with (
        mock.patch.dict(ARCHITECTURES, {architecture.key: architecture}, clear=True),
        mock.patch.dict(BACKBONES, {SMALL.key: SmallEncoder}),
        mock.patch("tests.support.checkpoint_forms.MattingNetwork", make),
    ):
        yield


def network(architecture: Architecture) -> MattingNetwork:
    """The network without meaningful weights."""
    return MattingNetwork(architecture=architecture)


def random_state(architecture: Architecture) -> State:
    """Weights that all differ."""
    torch.manual_seed(0)
    state = {}
    for key, value in network(architecture).state_dict().items():
        state[key] = torch.rand(value.shape) if value.is_floating_point() else value + 5
    return state


# Mutations


def mutate(base: bytes, random_: random.Random) -> bytes:
    """Change a file in one of many ways, knowing its format or not."""
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_change_bytes, _change_ranges]
    if base.startswith(b"PK"):
        kinds += [_change_directory, _change_members, _change_members, _change_pickle_member] * 2
    elif base[8:9] == b"{":
        kinds += [_change_header] * 4
    else:
        kinds += [_change_pickle] * 4
    data = base
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        with contextlib.suppress(Exception):  # what was changed before no longer has this format
            data = random_.choice(kinds)(data, random_)
    return data


def _place(size: int, random_: random.Random) -> int:
    """A place in a file, more often near its ends."""
    near = random_.choice((64, 4096, 1 << 16, size))
    offset = random_.randrange(max(1, min(near, size)))
    return offset if random_.random() < 0.5 else max(0, size - 1 - offset)


def _change_bytes(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 8))):
        place, width = _place(len(changed), random_), random_.choice((1, 2, 4, 8))
        value = random_.choice((*EXTREMES, random_.getrandbits(64))) & ((1 << 8 * width) - 1)
        if random_.random() < 0.3 and place < len(changed):
            changed[place] ^= 1 << random_.randrange(8)
        else:
            piece = value.to_bytes(width, "little")[: len(changed) - place]
            changed[place : place + len(piece)] = piece
    return bytes(changed)


def _change_ranges(data: bytes, random_: random.Random) -> bytes:
    start = _place(len(data), random_)
    end = min(len(data), start + random_.choice((1, 4, 30, 46, 1000, len(data))))
    piece, other = data[start:end], _place(len(data), random_)
    return random_.choice(
        (
            data[:start],
            data[:start] + data[end:],
            data[:end] + piece + data[end:],
            data[:other] + piece + data[other:],
            data[:start] + random_.randbytes(min(100, end - start)) + data[end:],
            data + random_.randbytes(50),
            random_.randbytes(20) + data,
            data + data,
        )
    )


def _change_directory(data: bytes, random_: random.Random) -> bytes:
    """A field of an entry of the central directory, of its end, or of a local header."""
    signature = random_.choice(
        (b"PK\x01\x02", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x03\x04")
    )
    places = [match.start() for match in re.finditer(re.escape(signature), data)]
    changed, place = bytearray(data), random_.choice(places)
    offset, width = random_.randrange(4, 50), random_.choice((1, 2, 4, 8))
    value = random_.choice((*EXTREMES, random_.randrange(len(data)), random_.getrandbits(64)))
    piece = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    changed[place + offset : place + offset + width] = piece
    return bytes(changed)


def _members(data: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def _packed(members: list[tuple[zipfile.ZipInfo, bytes]], method: int | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for info, content in members:
            kind = info.compress_type if method is None else method
            archive.writestr(info.filename, content, kind, 1)
    return stream.getvalue()


def _change_members(data: bytes, random_: random.Random) -> bytes:
    """Members that are missing, renamed, exchanged, repeated, or of another size."""
    members = _members(data)
    index, other = random_.randrange(len(members)), random_.randrange(len(members))
    (info, content), (other_info, other_content) = members[index], members[other]
    match random_.randrange(7):
        case 0:
            del members[index]
        case 1:
            info.filename = random_.choice(
                (other_info.filename, "../x", "a/data.pkl", "\u00e9" * 9)
            )
        case 2:
            members[index], members[other] = (info, other_content), (other_info, content)
        case 3:
            members[index] = info, content[: random_.randrange(len(content) + 1)]
        case 4:
            members[index] = info, content + bytes(random_.choice((1, 64, 1000)))
        case 5:
            members[index] = info, _change_bytes(content, random_)
        case 6:
            return _packed(members, random_.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
    return _packed(members)


def _change_pickle_member(data: bytes, random_: random.Random) -> bytes:
    members = _members(data)
    for index, (info, content) in enumerate(members):
        if info.filename.endswith("data.pkl"):
            members[index] = info, _change_pickle(content, random_)
    return _packed(members)


def _change_pickle(data: bytes, random_: random.Random) -> bytes:
    """Opcodes that are missing, repeated, exchanged, replaced, or have other arguments."""
    places = []
    start = 0
    with contextlib.suppress(Exception):  # an old file ends in tensors, which are no opcodes
        while start < len(data):
            for _, _, place in pickletools.genops(data[start : start + (1 << 18)]):
                places.append(start + (place or 0))
            start = places[-1] + 1
    index = random_.randrange(len(places) - 1)
    start, end = places[index], places[index + 1]
    other = random_.choice(places[max(0, index - 20) : index + 20])
    piece = data[start:end]
    code = ord(random_.choice(pickletools.opcodes).code)
    number = random_.choice(EXTREMES)
    return random_.choice(
        (
            data[:start] + data[end:],
            data[:end] + piece + data[end:],
            data[:other] + piece + data[other:],
            data[:start] + bytes([code]) + data[start + 1 :],
            data[:start] + bytes([code]) + data[start:],
            data[:start] + b"\x8a\x09" + number.to_bytes(9, "little") + data[end:],
            data[:start] + b"J" + struct.pack("<i", -random_.randrange(1 << 31)) + data[end:],
            data[:start] + b"X" + struct.pack("<I", number & 0xFFFFFFFF) + data[end:],
            data[:start] + b"K" + bytes([random_.randrange(256)]) + data[end:],
        )
    )


def _change_header(data: bytes, random_: random.Random) -> bytes:
    """Fields of a safetensors header, with its length kept right or not."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    entry = header[random_.choice([key for key in header if key != "__metadata__"])]
    number: Any = random_.choice((*EXTREMES, -1, 1.5, None, "x", [], {}))
    match random_.randrange(7):
        case 0:
            entry["data_offsets"][random_.randrange(2)] = number
        case 1:
            entry["shape"] = random_.choice(([], [number], [*entry["shape"], 1], number))
        case 2:
            entry["dtype"] = random_.choice(("F64", "F16", "BF16", "I32", "F8_E4M3", "", number))
        case 3:
            del entry[random_.choice(list(entry))]
        case 4:
            header["__metadata__"] = random_.choice((number, {"a": number}))
        case 5:
            header[random_.choice(("x", "refiner.x", "\x1b[31m"))] = random_.choice((entry, number))
        case 6:
            keys = random_.sample(list(header), 2)
            header[keys[0]], header[keys[1]] = header[keys[1]], header[keys[0]]
    text = json.dumps(header).encode()
    length = len(text) if random_.random() < 0.9 else random_.choice(EXTREMES)
    return struct.pack("<Q", length) + text + data[8 + size :]


# What a file holds, by other readers


class _Reference(pickle.Unpickler):
    """CPython's unpickler, which knows tensors and calls nothing else."""

    def __init__(self, stream: Any, load: Callable[[Any], Any]) -> None:
        super().__init__(stream)
        self.persistent_load = load  # type: ignore[method-assign]

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module == "torch" and name.endswith("Storage"):
            return ("storage type", name)
        if full in _REFERENCES:
            return _REFERENCES[full]
        return type(name, (_Anything,), {})


class _Anything:
    def __init__(self, *arguments: object, **_: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


def _reference_tensor(*parts: Any) -> Callable[[], Tensor]:
    """A tensor that is read when it is looked at: others may be damaged."""

    def make() -> Tensor:
        storage, offset, size, stride, *_ = parts
        return torch.as_strided(storage(), tuple(size), tuple(stride), offset)

    return make


def _reference_storage(data: bytes) -> Callable[[], Tensor]:
    def make() -> Tensor:
        tensor: Tensor = _reference_legacy(io.BytesIO(data))()
        return tensor

    return make


_REFERENCES: dict[str, Any] = {
    "torch._utils._rebuild_tensor_v2": _reference_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "collections.OrderedDict": OrderedDict,
    "numpy.core.multiarray._reconstruct": np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    "numpy._core.multiarray._reconstruct": np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
    "_codecs.encode": __import__("_codecs").encode,
    "torch.storage._load_from_bytes": _reference_storage,
}
_TYPES = {"Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Bool": "?"}


def _flat(data: bytes, kind: Any, count: int, order: str = "<") -> Tensor:
    code = _TYPES[kind[1].removesuffix("Storage")]
    return torch.from_numpy(np.frombuffer(data, order + code, count).astype(code))


def reference(path: Path) -> Any:
    """Everything in a file, as other readers read it."""
    data = path.read_bytes()
    if data[8:9] == b"{":
        return safetensors.torch.load(data)
    if not data.startswith(b"PK"):
        stream = io.BytesIO(data)
        try:
            return _reference_legacy(stream)
        except Exception:  # noqa: BLE001 - not of torch.save
            return _Reference(io.BytesIO(data), lambda _: None).load()
    with mock.patch.object(zipfile, "MAX_EXTRACT_VERSION", 255):  # nothing depends on it
        archive = zipfile.ZipFile(io.BytesIO(data))
    names = archive.namelist()
    if all(name.endswith(".npy") for name in names):
        return dict(np.load(path))
    root = next(name for name in names if name.endswith("data.pkl")).removesuffix("data.pkl")
    is_big = f"{root}byteorder" in names and b"big" in _content(archive, f"{root}byteorder")

    def load(identifier: Any) -> Any:
        def make() -> Tensor:
            _, kind, key, _, count = identifier
            content = _content(archive, f"{root}data/{key}")
            return _flat(content, kind, count, ">" if is_big else "<")

        return make

    return _Reference(io.BytesIO(_content(archive, f"{root}data.pkl")), load).load()


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        member._expected_crc = None  # type: ignore[attr-defined]  # some writers leave it out
        return member.read()


def _reference_legacy(stream: io.BytesIO) -> Any:
    storages: dict[Any, Any] = {}
    found: dict[Any, Tensor] = {}

    def load(identifier: Any) -> Any:
        if identifier[0] == "module":
            return identifier[1]
        storages[identifier[2]] = identifier[1]
        return lambda: found[identifier[2]]

    values = [_Reference(stream, load).load() for _ in range(5)]
    assert values[0] == 0x1950A86A20F9469CFC6C
    for key in values[4]:
        (count,) = struct.unpack("<q", stream.read(8))
        item = np.dtype(_TYPES[storages[key][1].removesuffix("Storage")]).itemsize
        found[key] = _flat(stream.read(count * item), storages[key], count)
    return values[3]


def _mappings(value: Any, depth: int = 0) -> Iterator[dict[Any, Any]]:
    """Every dictionary in a tree, also flattened."""
    if depth > 40:
        return
    if isinstance(value, dict):
        yield value
        yield dict(_leaves(value, ""))
        for item in value.values():
            yield from _mappings(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _mappings(item, depth + 1)
    elif isinstance(value, _Anything):
        yield dict(_leaves(value, ""))
        yield from _mappings(vars(value), depth + 1)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _Anything):
        value = getattr(value, "state", None)
    if not isinstance(value, dict):
        yield path[:-1], value
        return
    if "_modules" in value:
        value = {**value["_parameters"], **value["_buffers"], **value["_modules"]}
    if len(path) < 200:
        for key, item in value.items():
            yield from _leaves(item, f"{path}{key}.")


def _agrees(checkpoint: Checkpoint, path: Path) -> bool:
    """Whether another reader finds these tensors under these names."""
    for mapping in _mappings(reference(path)):
        with contextlib.suppress(Exception):
            if all(
                _equal(value, mapping[checkpoint.prefix + key])
                for key, value in checkpoint.state.items()
                if checkpoint.prefix + key in mapping or value.dim()
            ):
                return True
    return False


def _equal(value: Tensor, other: Any) -> bool:
    other = torch.as_tensor(other() if callable(other) else other)
    return value.shape == other.shape and torch.equal(value, other.to(value.dtype))


# Running


@dataclass(frozen=True)
class Result:
    """What a file led to.

    Attributes:
        kind: "refused", "right", "right as written", or a failure: "traceback", "hang", "memory",
            "message", "wrong".
        detail: What happened.
        seconds: CPU time that it took.
        memory: Largest memory above that before it, in bytes.
    """

    kind: str
    detail: str
    seconds: float
    memory: int

    @property
    def is_failure(self) -> bool:
        """Whether it must not happen."""
        return self.kind not in ("refused", "right", "right as written")


def check(path: Path, state: State, tolerance: float = 0.0) -> Result:
    """Read a file and check the result."""
    before, started = _start_measuring(), time.process_time()  # other processes may use the CPU
    checkpoint: Checkpoint | None = None
    kind, detail = "refused", ""
    try:
        with _alarm(12 * SECONDS):
            checkpoint = load_checkpoint(path)
    except CheckpointError as error:
        detail = " | ".join(error.lines())
        if not detail.isprintable() or len(detail) > LONGEST_MESSAGE or not error.hint:
            kind = "message"
    except Exception as error:  # noqa: BLE001 - this is what must not happen
        kind, detail = "traceback", repr(error)
    seconds, memory = time.process_time() - started, _stop_measuring(before)
    if checkpoint is not None:
        kind, detail = _judge(checkpoint, path, state, tolerance)
    if seconds > SECONDS:
        kind = "hang"
    elif memory > MEMORY:
        kind = "memory"
    return Result(kind, detail, seconds, memory)


def _judge(checkpoint: Checkpoint, path: Path, state: State, tolerance: float) -> tuple[str, str]:
    found = checkpoint.state
    if list(found) == list(state) and all(
        found[key].shape == value.shape
        and bool(torch.isclose(found[key].double(), value.double(), tolerance, 0.0).all())
        for key, value in state.items()
    ):
        return "right", checkpoint.found
    try:
        return ("right as written" if _agrees(checkpoint, path) else "wrong"), checkpoint.found
    except Exception as error:  # noqa: BLE001 - another reader refuses what was accepted
        return "wrong", f"{checkpoint.found}; the other reader: {error!r}"


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0


def _start_measuring() -> int:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew; Linux only
        return _status("VmRSS")
    return -1


def _stop_measuring(before: int) -> int:
    return _status("VmHWM") - before if before >= 0 else 0


def write_bases(folder: Path, state: State) -> dict[str, bytes]:
    """One good file of each format."""
    bases = {}
    for name in BASES:
        path = folder / "base"
        FORMS[name].write(state, path)
        bases[name] = path.read_bytes()
    return bases


def make(bases: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """File `number` of a run: which base it was made from, and its content."""
    random_ = random.Random(f"{seed}:{number}")
    name = random_.choice(list(bases))
    return name, mutate(bases[name], random_)


def main() -> int:
    """Run the fuzzer; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--network", choices=("small", "mobilenetv2"), default="small")
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of zipfile, when a mutated archive has a name twice
    architecture = {"small": SMALL, "mobilenetv2": MOBILENETV2}[options.network]
    counts: Counter[str] = Counter()
    worst = Result("", "", 0.0, 0), Result("", "", 0.0, 0)
    with only_architecture(architecture), tempfile.TemporaryDirectory() as name:
        state, path = random_state(architecture), Path(name, "checkpoint")
        bases = write_bases(Path(name), state)
        for number in range(options.first, options.first + options.files):
            base, data = make(bases, options.seed, number)
            path.write_bytes(data)
            result = check(path, state)
            counts[result.kind] += 1
            worst = (
                max(worst[0], result, key=lambda one: one.seconds),
                max(worst[1], result, key=lambda one: one.memory),
            )
            if result.is_failure:
                print(f"{number} ({base}): {result.kind}: {result.detail[:300]}", flush=True)
            if options.keep and (result.is_failure or options.files == 1):
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / str(number)).write_bytes(data)
            if number % 5_000 == 4_999:
                print(f"{number + 1}: {dict(counts)}", flush=True)
    failures = sum(counts[kind] for kind in counts if Result(kind, "", 0, 0).is_failure)
    print(
        f"{options.files:,} files, {options.network}, seed {options.seed}: {dict(counts)}; "
        f"slowest {worst[0].seconds:.2f} s, most memory {worst[1].memory / (1 << 20):.1f} MiB; "
        f"{failures} failures"
    )
    return int(failures > 0)


if __name__ == "__main__":
    raise SystemExit(main())
