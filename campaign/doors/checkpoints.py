"""Files of weights in every format."""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from campaign.damage import damage
from campaign.kinds import Door
from campaign.laws import Try

GROUPS = {
    "a damaged file of torch.save": ("plain", "Lightning", "under ema", "one storage"),
    "a damaged file of an old torch.save": ("legacy", "legacy float64"),
    "a damaged whole model or TorchScript": ("whole model", "TorchScript"),
    "a damaged safetensors file": ("safetensors", "safetensors, prefix"),
    "a damaged NumPy file": ("npz", "NumPy values"),
    "a damaged pickle": ("pickle of arrays", "pickle of tensors"),
}
PLAIN = "plain"


def _prepare() -> dict[str, bytes]:
    from tests.support import fuzz_checkpoints as fuzz

    with tempfile.TemporaryDirectory() as folder, fuzz.only_architecture(fuzz.SMALL):
        bases: dict[str, bytes] = fuzz.write_bases(Path(folder), fuzz.random_state(fuzz.SMALL))
    return bases


DOOR = Door("checkpoints", ("tests.support.fuzz_checkpoints",), _prepare, memory=256, disk=8)


def _read(one: Try, data: bytes) -> None:
    path = one.write("weights", data)
    one.run("function", "read_checkpoint", json.dumps({"path": str(path)}), seconds=30)


def _register(name: str, names: tuple[str, ...]) -> None:
    @DOOR.kind(name)
    def attempt(one: Try) -> None:
        base = one.shared[one.rng.choice(names)]
        if one.rng.random() < 0.5:
            _read(one, damage(base, one.rng))
            return
        from tests.support import fuzz_checkpoints as fuzz

        # Its mutations know the formats: names in a pickle, headers, offsets.
        _, data = fuzz.make({key: one.shared[key] for key in names}, 7, one.rng.randrange(1 << 32))
        _read(one, data)


for _name, _bases in GROUPS.items():
    _register(_name, _bases)


class _Evil:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (self._command,))


@DOOR.kind("a pickle that runs a command")
def _evil(one: Try) -> None:
    mark = one.folder / "ran"
    data = pickle.dumps({"x": _Evil(f"touch {mark}")}, protocol=one.rng.randrange(5))
    if one.rng.random() < 0.5:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
        data = packed.getvalue()
    _read(one, damage(data, one.rng, 1) if one.rng.random() < 0.3 else data)
    one.expect(not mark.exists(), "wrong artefact", "the command ran")


@DOOR.kind("a small archive of very large members")
def _bomb(one: Try) -> None:
    packed = io.BytesIO()
    zeros = bytes(1 << 20)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        name = one.rng.choice(("archive/data.pkl", "archive/data/0", "a.npy", "x/version"))
        with archive.open(name, "w", force_zip64=True) as member:
            member.write(b"\x80\x02N." if name.endswith("pkl") else b"")
            for _ in range(one.rng.choice((64, 256, 700))):
                member.write(zeros)
        archive.writestr("archive/version", "3\n")
    _read(one, packed.getvalue())


@DOOR.kind("control characters and long texts as names")
def _names(one: Try) -> None:
    name = one.rng.choice(("\x1b]0;owned\x07", "evil\nError: all is well", "A" * 200_000, "\u202e"))
    data = pickle.dumps({name: [1], "b": name}, protocol=one.rng.randrange(5))
    path = one.write("weights.pth", data)
    one.refused(one.run("matting", "info", "--weights", path, seconds=40))
