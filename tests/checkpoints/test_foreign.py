"""What is no checkpoint is said in words, with what to do instead."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from toolchain.checkpoints.load import load_checkpoint
from toolchain.errors import CheckpointError


def archive(**members: bytes) -> bytes:
    """A zip archive of these files; "__" stands for a slash, "_dot_" for a dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return stream.getvalue()


def tarred(mode: str) -> bytes:
    """A tar archive around a checkpoint."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as made:  # type: ignore[call-overload]
        info = tarfile.TarInfo("weights.pth")
        info.size = 5
        made.addfile(info, io.BytesIO(b"bytes"))
    return stream.getvalue()


def onnx_model() -> bytes:
    """A small ONNX model."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    return bytes(helper.make_model(graph, producer_name="pytorch").SerializeToString())


def array() -> bytes:
    """One array of NumPy."""
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 20168692\n"
FILES: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "is empty", "Download it again"),
    "web page": (b"\n<!DOCTYPE html><html>...", "a web page", "downloads the file itself"),
    "web page of old": (b"\xef\xbb\xbf<HTML><body>...", "a web page", "downloads the file itself"),
    "LFS pointer": (LFS, "a Git LFS pointer", "git lfs pull"),
    "gzip": (gzip.compress(b"x" * 100), "compressed with gzip", "Unpack it"),
    "tar": (tarred("w"), "a tar archive", "Unpack it"),
    "tar.gz": (tarred("w:gz"), "compressed with gzip", "Unpack it"),
    "tar.bz2": (tarred("w:bz2"), "compressed with bzip2", "Unpack it"),
    "tar.xz": (tarred("w:xz"), "compressed with xz", "Unpack it"),
    "zip": (archive(weights_dot_pth=b"1"), "a zip archive around weights.pth", "Unpack it"),
    "other zip": (archive(readme=b"1", x=b"2"), "zip archive of readme and 1 more", "Name a"),
    "empty zip": (archive(), "an empty zip archive", "Download it again"),
    "ONNX": (onnx_model(), "an ONNX model", "exported from"),
    "IR": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "an OpenVINO IR", "made from"),
    "XML": (b'<?xml version="1.0"?>\n<Error>AccessDenied</Error>', "an XML file", "download"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file", "Name a file"),
    "GGUF": (b"GGUF" + bytes(100), "a GGUF file", "Name the PyTorch"),
    "array": (array(), "a single NumPy array", "numpy.savez"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture", "Name a file"),
    "text": (b'{"error": "not found"}', 'a text that begins "{"error"', "Name a file"),
    "noise": (bytes(range(255, 0, -1)) * 40, "of no known format", "Name a file"),
    "exported program": (archive(m__archive_format=b"pt2"), "torch.export", "state_dict"),
    "old script": (archive(m__model_dot_json=b"{}", m__tensors__0=b""), "before 1.3", "state_dict"),
    "package": (archive(m___dot_data__0_dot_storage=b"x"), "torch.package", "state_dict"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_has_a_sentence_of_its_own(name: str, tmp_path: Path) -> None:
    """What it is, and what to do."""
    data, message, hint = FILES[name]
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.message.isprintable()


def test_the_weights_of_an_ir_are_told_by_the_file_beside_them(tmp_path: Path) -> None:
    """They have no mark of their own."""
    (tmp_path / "model.xml").write_text("<net/>")
    (tmp_path / "model.bin").write_bytes(os.urandom(100))
    with pytest.raises(CheckpointError, match="weights file of an OpenVINO IR"):
        load_checkpoint(tmp_path / "model.bin")


def test_a_real_onnx_file_is_told(tmp_path: Path) -> None:
    """As PyTorch exports it."""
    path = tmp_path / "model.onnx"
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    )
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="an ONNX model"):
        load_checkpoint(path)


def test_an_exported_program_is_told(tmp_path: Path) -> None:
    """As torch.export writes it."""
    path = tmp_path / "x.pt2"
    exported = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(exported, path)
    with pytest.raises(CheckpointError, match=r"torch\.export"):
        load_checkpoint(path)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (str, "No such file"),
    "folder": (lambda path: path.mkdir(), "a folder"),
    "pipe": (os.mkfifo, "a named pipe"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "terminal": (lambda path: path.symlink_to("/dev/tty"), "a device"),
    "loop": (lambda path: path.symlink_to(path.name), "symbolic links"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and devices")
@pytest.mark.parametrize("name", SPECIAL)
def test_only_plain_files_are_opened(name: str, tmp_path: Path) -> None:
    """Everything else is refused at once."""
    make, message = SPECIAL[name]
    path = tmp_path / "weights.pth"
    make(path)
    with pytest.raises(CheckpointError, match=f"cannot be read: .*{message}"):
        load_checkpoint(path)


def test_a_file_that_is_far_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    """Nothing of it is read."""
    path = tmp_path / "large.pth"
    with path.open("wb") as stream:
        stream.truncate(600 << 20)
    with pytest.raises(CheckpointError, match="629,145,600 bytes"):
        load_checkpoint(path)


ATTACK = """
import re, sys
from pathlib import Path
from toolchain.checkpoints.load import load_checkpoint
from toolchain.errors import CheckpointError

def status(name):
    return int(re.search(rf"{name}:\\\\s+(\\\\d+)", Path("/proc/self/status").read_text())[1])

load_checkpoint(Path(sys.argv[1]))
for name in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    try:
        load_checkpoint(Path(name))
    except CheckpointError:
        pass
    print(Path(name).name, (status("VmHWM") - before) >> 10)
""".replace("\\\\", "\\")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_memory_is_bounded_whatever_a_file_says(checkpoint: Path, tmp_path: Path) -> None:
    """At most three times the network's tensors and 64 MiB: bombs, floods, and large headers."""
    head, wide = b"\x80\x04", b"a" * 999 + "\U0001f600".encode()
    floods = {
        "bomb": b"N." + bytes(300 << 20),
        "lists": b"](" + b"]" * 3_000_000 + b"e.",
        "few lists": b"](" + b"]" * 150_000 + b"e.",
        "nested": b"]" * 120_000 + b"a" * 119_999 + b".",
        "texts": b"](" + (b"X" + struct.pack("<I", 1003) + wide) * 6000 + b"e.",
    }  # fmt: skip
    paths = []
    for name, data in floods.items():
        paths.append(tmp_path / name)
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            made.writestr("a/data.pkl", head + data)
    paths.append(tmp_path / "header")
    text = b'{"a":[' + b"{}," * 340_000 + b"0]}"
    paths[-1].write_bytes(struct.pack("<Q", len(text)) + text)
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, checkpoint, *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(found) == len(paths)
    assert all(int(peak) <= 64 + 3 * 19 for peak in found.values()), found
