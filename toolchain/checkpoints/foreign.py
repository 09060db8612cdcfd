"""Files that are no checkpoint but are easily taken for one, each with what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from toolchain.checkpoints.numpy_files import SIGNATURE as NUMPY_SIGNATURE
from toolchain.checkpoints.sources import DamagedError, Source
from toolchain.errors import CheckpointError
from toolchain.printable import printable, printable_list

_PAGE = (
    "a web page, not a checkpoint",
    "The link leads to a page about the file; use the link that downloads the file itself.",
)
_COMPRESSED = "Unpack it, then name the file in it."
_PICTURE = ("a picture, not a checkpoint", "Name a file of torch.save or safetensors.")
_IR_HINT = "It is what this toolchain makes; name the PyTorch checkpoint that it was made from."
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer: it stands for the checkpoint and does not contain it",
        "Run `git lfs pull` in its repository, or download the file from its page.",
    ),
    (b"\x1f\x8b", "compressed with gzip", _COMPRESSED),
    (b"BZh", "compressed with bzip2", _COMPRESSED),
    (b"\xfd7zXZ", "compressed with xz", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _COMPRESSED),
    (b"\x04\x22\x4d\x18", "compressed with lz4", _COMPRESSED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _COMPRESSED),
    (b"Rar!", "a RAR archive", _COMPRESSED),
    (
        b"\x89HDF",
        "an HDF5 file (Keras or other), not a PyTorch checkpoint",
        "Name a file of torch.save or safetensors.",
    ),
    (b"GGUF", "a GGUF file, not a PyTorch checkpoint", "Name the PyTorch checkpoint."),
    (NUMPY_SIGNATURE, "a single NumPy array", "Save all weights: numpy.savez or safetensors."),
    (b"\x89PNG", *_PICTURE),
    (b"\xff\xd8\xff", *_PICTURE),
    (b"%PDF", "a PDF document, not a checkpoint", "Name a file of torch.save or safetensors."),
    (b"PK\x05\x06", "an empty zip archive", "Download it again."),
)
_TAR_PLACE, _TAR_SIGNATURE = 257, b"ustar"
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")
_TEXT_LIMIT = 60
# Fields of ONNX's ModelProto: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_ONNX_NUMBERS, _ONNX_TEXTS, _ONNX_GRAPH = (1, 5), (2, 3, 4, 6, 8, 14, 20, 25, 26), 7
_ONNX_FIELDS = 64  # that come before the graph
_VARINT, _BYTES = 0, 2
_INNER_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pkl", ".tar", ".onnx")


def refuse_other_files(head: bytes, source: Source, path: Path) -> None:
    """Raise for a file that is recognizably something else than a pickle.

    Args:
        head: Its first bytes.
        source: All of it.
        path: Its path; another file beside it may tell what it is.

    Raises:
        CheckpointError: What it is, and what to do.
    """
    if not head:
        raise CheckpointError("it is empty", hint="Download it again.")
    for signature, what, hint in _SIGNATURES:
        if head.startswith(signature):
            raise CheckpointError(f"it is {what}", hint=hint)
    if head[_TAR_PLACE:].startswith(_TAR_SIGNATURE):
        raise CheckpointError("it is a tar archive", hint=_COMPRESSED)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_PAGES) or (text.startswith(b"<!--") and b"<html" in text):
        raise CheckpointError(f"it is {_PAGE[0]}", hint=_PAGE[1])
    if text.startswith(b"<"):
        _refuse_xml(text)
    if _is_onnx(source):
        raise CheckpointError(
            "it is an ONNX model, not a checkpoint",
            hint="Name the PyTorch checkpoint that it was exported from.",
        )
    if path.suffix == ".bin" and path.with_suffix(".xml").exists():
        raise CheckpointError("it is the weights file of an OpenVINO IR", hint=_IR_HINT)
    if head[0] not in b"\x80L" and _is_text(head):
        shown = printable(head.decode("utf-8", "replace").strip(), _TEXT_LIMIT)
        raise CheckpointError(
            f'not a checkpoint: it is a text that begins "{shown}"',
            hint="Name a file of torch.save, a TorchScript archive or a safetensors file.",
        )


def _refuse_xml(text: bytes) -> NoReturn:
    if b"<net " in text:
        raise CheckpointError("it is an OpenVINO IR, not a checkpoint", hint=_IR_HINT)
    raise CheckpointError(
        "it is an XML file, not a checkpoint",
        hint="It may be a server's error message; download the checkpoint again.",
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[: len(head) - 4 if len(head) > 4 else None].decode("utf-8")  # noqa: PLR2004
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _is_onnx(source: Source) -> bool:
    """Whether the file is a protocol buffer with the fields of an ONNX model."""
    place = 0
    try:
        for _ in range(_ONNX_FIELDS):
            tag, place = _read_varint(source, place)
            field, kind = tag >> 3, tag & 7
            value, place = _read_varint(source, place)
            if kind == _BYTES and field == _ONNX_GRAPH:
                return place + value <= source.size
            if kind == _BYTES and field in _ONNX_TEXTS:
                place += value
            elif kind != _VARINT or field not in _ONNX_NUMBERS:
                return False
    except DamagedError:
        pass
    return False


def _read_varint(source: Source, place: int) -> tuple[int, int]:
    """A number of protocol buffers, and where it ends."""
    value = 0
    for index, byte in enumerate(source.read(place, min(10, source.size - place))):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            return value, place + index + 1
    raise DamagedError("not a number")


def refuse_other_archives(names: list[str]) -> NoReturn:
    """Raise for a zip archive without a pickle of tensors.

    Args:
        names: Files in it.

    Raises:
        CheckpointError: What it is, and what to do.
    """
    bases = {name.rpartition("/")[2] for name in names}
    if "archive_format" in bases or "serialized_exported_program.json" in bases:
        raise CheckpointError(
            "it is a program of torch.export, whose weights are not read",
            hint="Save `model.state_dict()` instead.",
        )
    if "model.json" in bases and any("/tensors/" in f"/{name}" for name in names):
        raise CheckpointError(
            "it is a TorchScript archive of PyTorch before 1.3",
            hint="Load it with that version and save `model.state_dict()`.",
        )
    if any(".data/" in name and name.endswith(".storage") for name in names):
        raise CheckpointError(
            "it is an archive of torch.package, whose weights are not read",
            hint="Load the model from it and save `model.state_dict()`.",
        )
    inner = [name for name in names if name.lower().endswith(_INNER_SUFFIXES)]
    if inner:
        raise CheckpointError(
            f"it is a zip archive around {printable_list(inner, 3)}", hint=_COMPRESSED
        )
    what = f"of {printable(names[0])} and {len(names) - 1:,} more" if names else "without files"
    raise CheckpointError(
        f"it is a zip archive {what}, not a checkpoint",
        hint="Name a file of torch.save, a TorchScript archive or a safetensors file.",
    )
