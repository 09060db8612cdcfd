"""Checkpoint files into state dicts of exactly this network, without ever running a pickle's code.

Formats: `.pth` (torch.save, zip or legacy, read with `weights_only=True`), TorchScript archives,
safetensors.  Values: float16 or float32; always given back as float32.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from toolchain.errors import CheckpointError, UnsafeCheckpointError
from toolchain.network.matting_refine import (
    MattingNetwork,
    detect_architecture,
    get_state_shapes,
)
from toolchain.network.refiner import Selection

Format = Literal["torch", "torchscript", "safetensors"]
SIZE_LIMIT = 512 << 20  # the published file has 20 MB; anything near this is something else
SHOWN = 20  # how many keys a complaint names before it counts the rest
_KEPT = "The file was not changed."
# What a pickle of tensors imports; TorchScript's own classes live under __torch__.
_OF_TENSORS = re.compile(
    r"torch\.(_utils|_tensor|storage)\..*|torch\.\w+Storage|collections\.OrderedDict|__torch__\..*"
)


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the checkpoint at `path` strictly.

    Returns all 382 entries in the published order, float32 (`num_batches_tracked`: int64).
    Raises CheckpointError if it can't be read, if a key is missing, unexpected or misshapen, or
    if a value is not finite; UnsafeCheckpointError if its pickle asks for more than tensors.
    """
    return _strict(_read(path), path)


def verify_file(path: Path) -> None:
    """Raise what `load_state_dict` raises; keep nothing."""
    load_state_dict(path)


def load_network(
    path: Path,
    *,
    backbone_scale: float = 0.25,
    selection: Selection | None = None,
    static: bool = False,
) -> MattingNetwork:
    """The network with the checkpoint's weights, in evaluation mode, float32.

    Raises as `load_state_dict`.
    """
    state = load_state_dict(path)
    architecture = detect_architecture(state)
    network = MattingNetwork(backbone_scale, selection, architecture=architecture, static=static)
    network.load_state_dict(state)
    return network.eval()


def detect_format(path: Path) -> Format:
    """Which of the three formats `path` holds, by its content.  Raises OSError if unreadable."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        scripted = any(name.endswith("/constants.pkl") for name in names)
        return "torchscript" if scripted and any("/code/" in name for name in names) else "torch"
    with path.open("rb") as stream:
        head = stream.read(9)
    if len(head) == 9 and head[8:] == b"{":  # noqa: PLR2004 - eight bytes of length, then JSON
        (length,) = struct.unpack("<Q", head[:8])
        if length <= path.stat().st_size:
            return "safetensors"
    return "torch"


def _read(path: Path) -> object:
    try:
        size = path.stat().st_size
        if size > SIZE_LIMIT:
            raise CheckpointError(
                f"{path}: {size:,} bytes; a checkpoint of this network has about 20 million",
                kept=_KEPT,
                hint="Check that this is the right file.",
            )
        kind = detect_format(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: can't be read: {error}", hint="Check the path.") from error
    try:
        # Readers warn of their own future; nothing that a user of this file could act on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind == "safetensors":
                import safetensors.torch

                return safetensors.torch.load_file(path)
            if kind == "torchscript":
                return torch.jit.load(path, map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise _pickle_error(path) from error
    # Each format's reader has exceptions of its own for a damaged file, and they change between
    # versions: whatever it is, the file is the cause and the person must hear it in one line.
    except Exception as error:
        if kind == "torchscript" and _foreign_names(path):
            raise _pickle_error(path) from error
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path}: not a readable {kind} checkpoint: {first[0][:200]}",
            kept=_KEPT,
            hint="It may be truncated or of another kind; download it again or name another file.",
        ) from error


def _pickle_error(path: Path) -> CheckpointError:
    asked = _foreign_names(path)
    if not asked:
        return CheckpointError(
            f"{path}: not a checkpoint: its pickle is damaged",
            kept=_KEPT,
            hint="Download it again, or name another file.",
        )
    return UnsafeCheckpointError(
        f"{path}: refused: its pickle asks to run code ({_listed(asked)}); "
        "a checkpoint holds only tensors",
        kept="Nothing in it was run.",
        hint="Use a file from a source that you trust, or its tensors saved as safetensors.",
    )


def _foreign_names(path: Path) -> list[str]:
    return [name for name in names_in_pickle(path) if not _OF_TENSORS.fullmatch(name)]


def names_in_pickle(path: Path) -> list[str]:
    """What the pickles in a torch file would import, as "module.name", without running any."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            data = archive.read(inner[0]) if inner else b""
    else:
        data = path.read_bytes()
    stream = io.BytesIO(data)
    found: dict[str, None] = {}
    # A legacy file is several pickles after one another, then raw tensors, where the walk ends.
    with contextlib.suppress(Exception):
        while stream.tell() < len(data):
            for name in _imports(stream):
                found[name] = None
    return list(found)


def _imports(stream: io.BytesIO) -> Iterator[str]:
    """The names that the next pickle in `stream` imports; memoised strings are followed."""
    strings: list[str] = []
    memo: dict[int, str | None] = {}
    last: str | None = None  # what the opcode before pushed, if it was a string
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = last
            continue
        if opcode.name.endswith("PUT"):
            memo[cast("int", argument)] = last
            continue
        if opcode.name in ("GLOBAL", "INST"):
            last = None
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            last = None
            yield ".".join(strings[-2:])
        elif opcode.name.endswith("GET"):
            last = memo.get(cast("int", argument))
        else:
            last = argument if isinstance(argument, str) else None
        if last is not None:
            strings.append(last)


def _strict(found: object, path: Path) -> dict[str, Tensor]:
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]  # what training frameworks wrap around it
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(found).__name__}, expected a state dict",
            kept=_KEPT,
            hint="Save `model.state_dict()`, not the model.",
        )
    expected = get_state_shapes(detect_architecture(found))
    wrong = _key_complaints(expected, found)
    if wrong:
        hint = "Name a checkpoint of BackgroundMattingV2 with the MobileNetV2 backbone."
        if found and all(str(key).startswith("module.") for key in found):
            hint = "Save `model.module.state_dict()`: the keys carry DataParallel's prefix."
        raise CheckpointError(
            f"{path}: not of this network: {'; '.join(wrong)}", kept=_KEPT, hint=hint
        )
    state = {}
    broken = []
    for key in expected:
        value = found[key].detach()
        if value.is_floating_point():
            value = value.to(torch.float32)
            negative = key.endswith("running_var") and bool((value < 0).any())
            if negative or not bool(torch.isfinite(value).all()):
                broken.append(key)
        state[key] = value.contiguous()
    if broken:
        raise CheckpointError(
            f"{path}: NaN, infinite or (variances) negative values in {_listed(broken)}",
            kept=_KEPT,
            hint="These weights can't give a matte; use an earlier checkpoint of the training.",
        )
    return state


def _key_complaints(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[object, object]
) -> list[str]:
    complaints = []
    missing = [key for key in expected if key not in found]
    unexpected = [str(key) for key in found if key not in expected]
    misshapen = []
    for key, shape in expected.items():
        value = found.get(key)
        if value is None:
            continue
        if not isinstance(value, Tensor):
            misshapen.append(f"{key} (a {type(value).__name__})")
        elif tuple(value.shape) != shape:
            misshapen.append(f"{key} (expected {_shape(shape)}, found {_shape(value.shape)})")
        elif shape and value.dtype not in (torch.float16, torch.float32):
            misshapen.append(f"{key} (expected float16 or float32, found {value.dtype})")
    if missing:
        complaints.append(f"{len(missing)} missing: {_listed(missing)}")
    if unexpected:
        complaints.append(f"{len(unexpected)} unexpected: {_listed(unexpected)}")
    if misshapen:
        complaints.append(f"{len(misshapen)} misshapen: {_listed(misshapen)}")
    return complaints


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _listed(keys: list[str]) -> str:
    rest = len(keys) - SHOWN
    return ", ".join(keys[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The `__metadata__` of a safetensors file; empty for any other format."""
    if detect_format(path) != "safetensors":
        return {}
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    metadata = header.get("__metadata__", {})
    return {str(key): str(value) for key, value in metadata.items()}
