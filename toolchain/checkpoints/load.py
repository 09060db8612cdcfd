"""The weights of this network from a checkpoint file, and what a file holds in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolchain.checkpoints.formats import Contents, open_checkpoint
from toolchain.checkpoints.search import COUNTER, Findings, Mapped, Search
from toolchain.checkpoints.sources import DamagedError, Source
from toolchain.checkpoints.values import DenseTensor, Storage, Value
from toolchain.definitions.architecture import ARCHITECTURES, Architecture
from toolchain.errors import CheckpointError
from toolchain.network.matting import MattingNetwork, get_state_shapes
from toolchain.network.refiner import Selection
from toolchain.printable import printable, printable_list

_RIGHT_FILE = "Name a checkpoint of BackgroundMattingV2 with the MobileNetV2 backbone."
_REFINER = "refiner."  # what MattingBase lacks
_RESNET101_BLOCK = 22  # the last of its third layer; ResNet50's is 5


@dataclass(frozen=True)
class Checkpoint:
    """The weights of this network, and where in the file they were.

    Attributes:
        architecture: The network that it belongs to.
        state: All entries in the published order (MobileNetV2: 382), float32
            (`num_batches_tracked`: int64).
        format: Format of the file.
        container: Where in the file the mapping is, names joined by dots; "" for the top level.
        prefix: What its keys had before the network's own.
        found: The same and what was changed, for people.
        metadata: Texts that a safetensors file carries beside its tensors.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    format: str
    container: str
    prefix: str
    found: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Description:
    """What a file holds, without converting it.

    Attributes:
        path: The file.
        bytes: Its size.
        format: Its format; "" if it is no checkpoint.
        usable: Whether its weights are taken.
        found: Where they are and what is changed; "" if it is not usable.
        fault: Why it is not usable; "" if it is.
        hint: What to do then.
        mappings: Each mapping with keys of this network: name, container, prefix, dtypes, and the
            number of keys that fit, with the names of those that are missing, unexpected,
            misshapen or not of this network.
        tensors: Number of dense tensors.
        not_dense: Number of other tensors by kind.
        metadata: Texts that a safetensors file carries.
    """

    path: str
    bytes: int | None
    format: str = ""
    usable: bool = False
    found: str = ""
    fault: str = ""
    hint: str = ""
    mappings: tuple[Mapping[str, Any], ...] = ()
    tensors: int = 0
    not_dense: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the same for people, one fact a line."""
        size = "" if self.bytes is None else f", {self.bytes:,} bytes"
        lines = [f"file: {self.path}{size}"]
        if self.format:
            lines += [f"format: {self.format}", f"tensors: {self.tensors:,}"]
        lines += [f"other tensors: {count} x {kind}" for kind, count in self.not_dense.items()]
        for mapping in self.mappings:
            dtypes = ", ".join(f"{count} {dtype}" for dtype, count in mapping["dtypes"].items())
            state = "fits" if mapping["fits"] else "does not fit"
            place = (
                f"weights {mapping['name']}"
                if mapping["name"] != "."
                else "weights at the top level"
            )
            if mapping["prefix"]:
                place += f" (prefix {mapping['prefix']})"
            lines.append(f"{place}: {state}, {mapping['keys_that_fit']} keys ({dtypes})")
            lines += [
                f"  {kind.replace('_', ' ')}: {mapping[kind]}"
                for kind in ("missing", "unexpected", "misshapen", "not_of_this_network")
                if mapping[kind]
            ]
        lines += [f"metadata {name}: {text}" for name, text in self.metadata.items()]
        outcome = f"usable: {self.found}" if self.usable else f"not usable: {self.fault}"
        return [*lines, outcome, *([f"  {self.hint}"] if self.hint else [])]


@cache
def _shapes(architecture: Architecture) -> Mapping[str, tuple[int, ...]]:
    return get_state_shapes(architecture)


def _search(root: Value) -> Findings:
    return Search({key: _shapes(record) for key, record in ARCHITECTURES.items()}).run(root)


def load_checkpoint(path: Path, key: str = "") -> Checkpoint:
    """Read the weights of this network from any checkpoint, without running anything in it.

    Args:
        path: File of torch.save (weights, training checkpoint or whole model), TorchScript,
            safetensors, NumPy or pickle.
        key: Name of the mapping to take, or its end, as `--weights-key` takes it; "" for the only
            one.

    Raises:
        CheckpointError: The file is unreadable, or does not hold exactly one set of weights of
            this network, or their values are not finite.
        UnsafeCheckpointError: Its pickle asks to run code.
    """
    with open_checkpoint(path) as contents:
        chosen = _choose(_search(contents.root), contents, key)
        form, metadata = contents.format, contents.metadata
        del contents  # of a pickle only the chosen tensors are needed any longer
        state = _read_state(chosen)
    return Checkpoint(
        ARCHITECTURES[chosen.network],
        state,
        form,
        chosen.container,
        chosen.prefix,
        _describe_choice(chosen),
        metadata,
    )


def load_state_dict(path: Path, key: str = "") -> dict[str, Tensor]:
    """Return `Checkpoint.state` of `load_checkpoint`.

    Args:
        path: As in `load_checkpoint`.
        key: As in `load_checkpoint`.

    Raises:
        CheckpointError: As `load_checkpoint`.
    """
    return load_checkpoint(path, key).state


def load_network(
    path: Path,
    *,
    key: str = "",
    backbone_scale: float = 0.25,
    selection: Selection | None = None,
    static: bool = False,
) -> MattingNetwork:
    """Build the network with a checkpoint's weights, in evaluation mode, float32.

    Args:
        path: As in `load_checkpoint`.
        key: As in `load_checkpoint`.
        backbone_scale: As in `MattingNetwork`.
        selection: As in `MattingNetwork`.
        static: As in `MattingNetwork`.

    Raises:
        CheckpointError: As `load_checkpoint`.
    """
    checkpoint = load_checkpoint(path, key)
    network = MattingNetwork(
        backbone_scale, selection, architecture=checkpoint.architecture, static=static
    )
    network.load_state_dict(checkpoint.state)
    return network.eval()


def describe(path: Path, key: str = "") -> Description:
    """Say what a file holds; never raises for the content of a file.

    Args:
        path: Any file.
        key: As in `load_checkpoint`.
    """
    about: dict[str, Any] = {
        "path": str(path),
        "bytes": path.stat().st_size if path.is_file() else None,
    }
    try:
        with open_checkpoint(path) as contents:
            findings = _search(contents.root)
            about |= {
                "format": contents.format,
                "tensors": findings.tensors,
                "not_dense": dict(findings.opaque),
                "mappings": tuple(map(_describe_mapping, findings.mappings)),
                "metadata": {
                    printable(name): printable(text) for name, text in contents.metadata.items()
                },
            }
            chosen = _choose(findings, contents, key)
            del contents, findings
            _read_state(chosen)
        return Description(**about, usable=True, found=_describe_choice(chosen))
    except CheckpointError as error:
        return Description(**about, fault=error.message, hint=error.hint)


def _describe_mapping(mapping: Mapped) -> Mapping[str, Any]:
    types = Counter(_type_name(tensor.dtype) for tensor in mapping.tensors.values())
    return {
        "name": printable(mapping.name),
        "container": printable(mapping.container),
        "prefix": printable(mapping.prefix),
        "fits": mapping.fits,
        "keys_that_fit": len(mapping.tensors),
        "dtypes": dict(types),
        "missing": printable_list(mapping.missing),
        "unexpected": str(mapping.unexpected),
        "misshapen": printable_list(mapping.misshapen),
        "not_of_this_network": str(mapping.others),
    }


# Choosing


def _choose(findings: Findings, contents: Contents, key: str) -> Mapped:
    if key:
        return _choose_by_name(findings, key)
    fitting = findings.fitting
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise CheckpointError(
            f"holds {len(fitting)} sets of weights of this network: "
            + printable_list([mapping.name for mapping in fitting]),
            hint=f"Choose one, for example --weights-key {printable(fitting[0].name)}.",
        )
    raise _fault(findings, contents)


def _choose_by_name(findings: Findings, key: str) -> Mapped:
    known = {mapping.name: mapping for mapping in reversed(findings.mappings)}
    ends = [name for name in known if name.endswith(f".{key.strip('.')}")]
    chosen = known.get(key, known[ends[0]] if len(ends) == 1 else None)
    if chosen is None:
        names = [mapping.name for mapping in findings.fitting] or list(known)
        raise CheckpointError(
            f'--weights-key: no weights of this network under "{printable(key)}"; '
            + (f"found: {printable_list(names)}" if names else "found none at all"),
            hint="`matting info --weights FILE` lists what the file holds.",
        )
    if not chosen.fits:
        raise _mismatch(chosen)
    return chosen


def _mismatch(mapping: Mapped) -> CheckpointError:
    place = f" ({mapping.where})" if mapping.container or mapping.prefix else ""
    return CheckpointError(
        f"not of this network{place}: {mapping.faults}",
        hint=_RIGHT_FILE,
    )


def _fault(findings: Findings, contents: Contents) -> CheckpointError:
    """Say why nothing in the file fits."""
    closest = findings.closest
    if closest is not None:
        return _fault_of_network(closest)
    if findings.tensors:
        return CheckpointError(
            f"holds another network: {findings.tensors:,} tensors, none with a name of this "
            f"network ({printable_list(findings.samples, 3, findings.tensors)})",
            hint=_RIGHT_FILE,
        )
    if findings.opaque:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in findings.opaque.items())
        return CheckpointError(
            f"holds no dense tensors, but {kinds}",
            hint="Save the weights as plain tensors: `tensor.dequantize()`, `tensor.to_dense()`.",
        )
    if contents.format == "torchscript":
        return CheckpointError(
            "a frozen TorchScript archive: its weights have no names any more",
            hint="Name the archive from before torch.jit.freeze, or save `model.state_dict()`.",
        )
    return CheckpointError(
        "holds no tensors, expected a state dict",
        hint="Save `model.state_dict()` with torch.save.",
    )


def _fault_of_network(closest: Mapped) -> CheckpointError:
    """Say what keeps the closest mapping from fitting."""
    if closest.resnet_block >= 0:
        depth = 101 if closest.resnet_block >= _RESNET101_BLOCK else 50
        return CheckpointError(
            f"a checkpoint with the ResNet{depth} backbone; this toolchain converts networks with: "
            + ", ".join(ARCHITECTURES),
            hint="Name pytorch_mobilenetv2.pth, or a checkpoint that was trained from it.",
        )
    is_base = all(key.startswith(_REFINER) for key in closest.missing)
    if is_base and closest.missing and not closest.unexpected.count and not closest.misshapen:
        return CheckpointError(
            f"weights of MattingBase ({closest.where}): the refiner is missing",
            hint="Name a checkpoint of the second stage of the training, MattingRefine.",
        )
    count = len(_shapes(ARCHITECTURES[closest.network]))
    if len(closest.tensors) < count // 2:
        return CheckpointError(
            f"holds another network: {len(closest.tensors)} of {count} keys and "
            f"shapes fit; {closest.faults}",
            hint=_RIGHT_FILE,
        )
    return _mismatch(closest)


# Reading


def _read_state(mapping: Mapped) -> dict[str, Tensor]:
    """Read the chosen tensors, by their place in the file."""
    read: dict[str, Tensor] = {}
    broken = []
    tensors = mapping.tensors
    opened: tuple[Storage, Source] | None = None
    for key in sorted(tensors, key=lambda key: (id(tensors[key].storage), tensors[key].start)):
        storage = tensors[key].storage
        try:
            if opened is None or opened[0] is not storage:
                opened = None  # so that only one is in memory
                opened = storage, _open_storage(storage)
            value = _read_tensor(tensors[key], opened[1])
        except DamagedError as error:
            raise DamagedError(f"{printable(mapping.prefix + key)}: {error.message}") from error
        numbers, is_counter = value.numpy(), key.endswith(COUNTER)
        is_negative = (is_counter or key.endswith("running_var")) and bool((numbers < 0).any())
        if is_negative or not np.isfinite(numbers).all():
            broken.append(key)
        read[key] = value.to(torch.int64) if is_counter else value
    expected = _shapes(ARCHITECTURES[mapping.network])
    if broken:
        raise CheckpointError(
            "NaN, infinite or (variances) negative values in "
            + printable_list([key for key in expected if key in broken]),
            hint="These weights cannot give a matte; use an earlier checkpoint of the training.",
        )
    return {key: read[key] if key in read else torch.tensor(0) for key in expected}


def _open_storage(storage: Storage) -> Source:
    if storage.data is None:
        raise DamagedError("its data is missing")
    source = storage.data.open()
    if source.size != storage.size:
        raise DamagedError("its data has another size than its shape")
    return source


def _read_tensor(tensor: DenseTensor, source: Source) -> Tensor:
    """Read a tensor, contiguous: float32 if its type is a float, else int64."""
    data = source.read(tensor.start, tensor.spread)
    item = tensor.dtype.itemsize
    if tensor.storage.is_swapped and item > 1:
        np.frombuffer(data, f"u{item}").byteswap(inplace=True)
    values = torch.frombuffer(data, dtype=tensor.dtype).as_strided(tensor.shape, tensor.strides)
    kind = torch.float32 if tensor.dtype.is_floating_point else torch.int64
    return values.to(kind, copy=True, memory_format=torch.contiguous_format)


def _type_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _describe_choice(mapping: Mapped) -> str:
    """Where the weights were found, and what was changed or left out."""
    parts = [f"found {mapping.where}"]
    types = {
        _type_name(tensor.dtype)
        for key, tensor in mapping.tensors.items()
        if not key.endswith(COUNTER) and tensor.dtype != torch.float32
    }
    if types:
        parts.append(f"{' and '.join(sorted(types))} -> float32")
    if mapping.uncounted:
        parts.append(f"without {mapping.uncounted} {COUNTER}")
    if mapping.others.count:
        parts.append(
            f"ignored {mapping.others.count:,} that are not of this network: {mapping.others}"
        )
    return ", ".join(parts)
