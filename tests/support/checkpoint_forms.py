"""The formats in which networks are saved: each writes the same weights, or raises an error."""

from __future__ import annotations

import argparse
import io
import pickle
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from toolchain.network.matting import MattingNetwork

State = dict[str, Tensor]
Writer = Callable[[State, Path], None]
COUNTER = "num_batches_tracked"


class Config(dict):  # type: ignore[type-arg]
    """A dictionary of a class of its own, as frameworks have them."""


class Ema:
    """An object that keeps weights in an attribute."""

    def __init__(self, state: State) -> None:
        self.decay = 0.999
        self.module_state = state


class Holder(nn.Module):
    """A module around the network, or of its parts."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Nothing is computed."""
        return x


def network_of(state: State) -> MattingNetwork:
    """The network with these weights."""
    network = MattingNetwork()
    network.load_state_dict(state)
    return network.eval()


def save_script(state: State, path: Path, name: str = "") -> None:
    """Write a TorchScript archive with the network's layers, below `name` if given."""
    parts = dict(network_of(state).named_children())
    holder = Holder({name: Holder(parts)} if name else parts).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(holder, torch.zeros(1)), path)  # type: ignore[no-untyped-call]


def with_prefix(prefix: str, state: State) -> State:
    """The same weights with a prefix before every key."""
    return {prefix + key: value for key, value in state.items()}


def cast(state: State, dtype: torch.dtype) -> State:
    """The same weights in another type."""
    return {key: value.to(dtype) if value.dim() else value for key, value in state.items()}


def optimizer_state(state: State) -> dict[str, Any]:
    """What an optimizer adds: two tensors for each weight."""
    moments = {
        index: {"step": torch.tensor(3.0), "exp_avg": value * 0, "exp_avg_sq": value * 0}
        for index, value in enumerate(list(state.values())[:20])
    }
    return {"state": moments, "param_groups": [{"lr": 1e-4, "params": list(moments)}]}


def _flat(state: State, path: Path) -> None:
    """All weights as views of one storage."""
    whole = torch.cat([value.reshape(-1).float() for value in state.values()])
    views, place = {}, 0
    for key, value in state.items():
        views[key] = whole[place : place + value.numel()].view(value.shape)
        place += value.numel()
    torch.save(views, path)


def _transposed(state: State, path: Path) -> None:
    """Every weight's memory in another order."""
    torch.save(
        {
            key: value.transpose(0, 1).contiguous().transpose(0, 1) if value.dim() > 1 else value
            for key, value in state.items()
        },
        path,
    )


def _big_endian(state: State, path: Path) -> None:
    """As torch.save writes it on a big-endian machine."""
    stream = io.BytesIO()
    torch.save(state, stream)
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(path, "w") as after:
        root = before.namelist()[0].partition("/")[0]
        sizes = {}
        for index, value in enumerate(state.values()):
            sizes[f"{root}/data/{index}"] = value.element_size()
        for name in before.namelist():
            data = before.read(name)
            if name in sizes:
                data = np.frombuffer(data, f"u{sizes[name]}").byteswap().tobytes()
            after.writestr(name, b"big" if name == f"{root}/byteorder" else data)


def _zipped_again(state: State, path: Path) -> None:
    """Unpacked and compressed by another program."""
    stream = io.BytesIO()
    torch.save(state, stream)
    with zipfile.ZipFile(stream) as before, zipfile.ZipFile(path, "w", 8, compresslevel=1) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))


def _without_checksums(state: State, path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(True)


def _pickled(value: Any, path: Path, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps(value, protocol))


def _arrays(state: State) -> dict[str, Any]:
    return {key: value.numpy() for key, value in state.items()}


def _nested(state: State) -> dict[str, Any]:
    """One dictionary for each part of the network."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        parts.setdefault(first, {})[rest] = value
    return parts


@dataclass(frozen=True)
class Form:
    """One way of saving.

    Attributes:
        write: Writes it.
        where: What the reader has to say about the place.
        tolerance: Largest relative difference that its type causes.
    """

    write: Writer
    where: str = "found at the top level"
    tolerance: float = 0.0


def _saved(make: Callable[[State], Any], **options: Any) -> Writer:
    return lambda state, path: torch.save(make(state), path, **options)


_LEGACY = {"_use_new_zipfile_serialization": False}
WRAPPERS = (
    *("model", "model_state_dict", "net", "params", "params_ema", "model_state", "ema", "network"),
    *("weights", "generator", "checkpoint", "state", "state_dict", "module"),
)
PREFIXES = ("module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "a.b.c.", "x_")
FORMS: dict[str, Form] = {
    "plain": Form(_saved(dict)),
    "legacy": Form(_saved(dict, **_LEGACY)),
    "ordered": Form(_saved(OrderedDict)),
    "shuffled": Form(_saved(lambda s: dict(reversed(s.items())))),
    "protocol 5": Form(_saved(dict, pickle_protocol=5)),
    "legacy protocol 4": Form(_saved(dict, pickle_protocol=4, **_LEGACY)),
    **{
        f"prefix {prefix}": Form(
            _saved(lambda s, p=prefix: with_prefix(p, s)),
            f'found at the top level, prefix "{prefix}"',
        )
        for prefix in PREFIXES
    },
    **{
        f"under {name}": Form(
            _saved(lambda s, n=name: {n: s, "epoch": 7, "optimizer": optimizer_state(s)}),
            f'found under "{name}"',
        )
        for name in WRAPPERS
    },
    "Lightning": Form(
        _saved(
            lambda s: {
                "epoch": 3,
                "pytorch-lightning_version": "2.2.0",
                "state_dict": {**with_prefix("model.", s), "loss.weight": torch.ones(3)},
                "optimizer_states": [optimizer_state(s)],
                "hyper_parameters": argparse.Namespace(lr=1e-4, loss=types.SimpleNamespace(a=1)),
                "callbacks": {"best": np.float64(0.25), "path": Path("a/b")},
            }
        ),
        'found under "state_dict", prefix "model."',
    ),
    "legacy training": Form(
        _saved(
            lambda s: {"state_dict": s, "best": np.float32(1), "o": optimizer_state(s)}, **_LEGACY
        ),
        'found under "state_dict"',
    ),
    "tuple": Form(_saved(lambda s: (s, optimizer_state(s))), 'found under "0"'),
    "list of pairs": Form(_saved(lambda s: list(s.items()))),
    "part by part": Form(_saved(_nested)),
    "dictionary of a class": Form(_saved(lambda s: Config(weights=Config(s))), 'under "weights"'),
    "defaultdict": Form(_saved(lambda s: defaultdict(list, s))),
    "object": Form(_saved(lambda s: {"ema": Ema(s)}), 'found under "ema.module_state"'),
    "same twice": Form(_saved(lambda s: {"a": s, "b": OrderedDict(s)}), 'found under "a"'),
    "extra tensor": Form(
        _saved(lambda s: {**s, "epoch": torch.tensor(4)}), "not of this network: epoch"
    ),
    "no counters": Form(
        _saved(lambda s: {key: value for key, value in s.items() if COUNTER not in key}),
        f"without 63 {COUNTER}",
    ),
    "int32 counters": Form(
        _saved(lambda s: {k: v.int() if COUNTER in k else v for k, v in s.items()})
    ),
    "float counters": Form(
        _saved(lambda s: {k: v.float() if COUNTER in k else v for k, v in s.items()})
    ),
    "half": Form(_saved(lambda s: cast(s, torch.float16)), "float16 -> float32", 1e-3),
    "bfloat16": Form(_saved(lambda s: cast(s, torch.bfloat16)), "bfloat16 -> float32", 1e-2),
    "float64": Form(_saved(lambda s: cast(s, torch.float64)), "float64 -> float32"),
    "legacy float64": Form(
        _saved(lambda s: cast(s, torch.float64), **_LEGACY), "float64 -> float32"
    ),
    "parameters": Form(
        _saved(lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()})
    ),
    "channels last": Form(
        _saved(
            lambda s: {
                k: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v
                for k, v in s.items()
            }
        )
    ),
    "transposed": Form(_transposed),
    "one storage": Form(_flat),
    "big-endian": Form(_big_endian),
    "zipped again": Form(_zipped_again),
    "no checksums": Form(_without_checksums),
    "whole model": Form(_saved(network_of)),
    "whole model, legacy": Form(_saved(network_of, **_LEGACY)),
    "whole model in DataParallel": Form(_saved(lambda s: nn.DataParallel(network_of(s))), "module"),
    "whole model in a checkpoint": Form(
        _saved(lambda s: {"epoch": 1, "model": network_of(s)}), 'found under "model"'
    ),
    "TorchScript": Form(save_script),
    "TorchScript around it": Form(lambda s, p: save_script(s, p, "model"), 'found under "model"'),
    "safetensors": Form(safetensors.torch.save_file),
    "safetensors, half": Form(
        lambda s, p: safetensors.torch.save_file(cast(s, torch.float16), p), "float16", 1e-3
    ),
    "safetensors, bfloat16": Form(
        lambda s, p: safetensors.torch.save_file(cast(s, torch.bfloat16), p), "bfloat16", 1e-2
    ),
    "safetensors, prefix": Form(
        lambda s, p: safetensors.torch.save_file(with_prefix("module.", s), p), 'prefix "module."'
    ),
    "NumPy values": Form(_saved(_arrays)),
    "NumPy values, protocol 5": Form(_saved(_arrays, pickle_protocol=5)),
    "pickle of arrays": Form(lambda s, p: _pickled(_arrays(s), p)),
    "pickle of arrays, protocol 2": Form(lambda s, p: _pickled(_arrays(s), p, 2)),
    "pickle of tensors": Form(_pickled),
    "pickle of tensors, protocol 2": Form(lambda s, p: _pickled(s, p, 2)),
    "pickle of Fortran arrays": Form(
        lambda s, p: _pickled({k: v.numpy().copy(order="F") for k, v in s.items()}, p)
    ),
    "npz": Form(lambda s, p: p.write_bytes(_npz(s, np.savez))),
    "npz, compressed": Form(lambda s, p: p.write_bytes(_npz(s, np.savez_compressed))),
}


def _npz(state: State, save: Callable[..., None]) -> bytes:
    stream = io.BytesIO()
    save(stream, **_arrays(state))
    return stream.getvalue()
