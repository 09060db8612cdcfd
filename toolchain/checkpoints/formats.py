"""Open a checkpoint of any known format as a tree of inert values.  Nothing in it is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from toolchain.checkpoints.foreign import refuse_other_archives, refuse_other_files
from toolchain.checkpoints.numpy_files import read_array
from toolchain.checkpoints.safetensors_files import read_safetensors
from toolchain.checkpoints.sources import DamagedError, FileSource, Source, check_file_size
from toolchain.checkpoints.torch_files import read_archive, read_pickle
from toolchain.checkpoints.values import Table, Value
from toolchain.checkpoints.zips import SIGNATURE, Archive, MemberData
from toolchain.errors import CheckpointError
from toolchain.workspace.plain_file import open_plain_file

Format = Literal["torch", "torchscript", "safetensors", "pickle", "numpy"]
_NOT_CHANGED = "The file was not changed."
_HEAD = 1 << 12  # bytes by which a format is recognized
_ARRAY_SUFFIX = ".npy"


@dataclass(frozen=True)
class Contents:
    """An open checkpoint.

    Attributes:
        format: Its format.
        root: Everything in it.
        metadata: Texts that a safetensors file carries beside its tensors.
    """

    format: Format
    root: Value
    metadata: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Contents]:
    """Open the file; its tensors can be read until the context ends.

    Raises:
        CheckpointError: It cannot be opened, is no checkpoint, or is damaged; also what the body of
            the context raises, with the path before the message.
        UnsafeCheckpointError: Its pickle asks to run code.
    """
    try:
        with open_plain_file(path) as descriptor:
            source = FileSource(descriptor)
            yield _open(source, path)
    except CheckpointError as error:
        _raise_with_path(error, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}",
            hint="Name the file of a checkpoint.",
        ) from error


def _raise_with_path(error: CheckpointError, path: Path) -> NoReturn:
    kind = CheckpointError if isinstance(error, DamagedError) else type(error)
    raise kind(
        f"{path}: {error.message}",
        kept=error.kept or _NOT_CHANGED,
        hint=error.hint or "Download it again, or name another file.",
    ) from error


def _open(source: Source, path: Path) -> Contents:
    check_file_size(source.size)
    head = bytes(source.read(0, min(_HEAD, source.size)))
    if head.startswith(SIGNATURE):
        return _open_archive(source)
    if head[8:9] == b"{":  # eight bytes of length, then JSON
        root, metadata = read_safetensors(source)
        return Contents("safetensors", root, metadata)
    refuse_other_files(head, source, path)
    is_torch, value = read_pickle(source)
    return Contents("torch" if is_torch else "pickle", value)


def _open_archive(source: Source) -> Contents:
    archive = Archive(source)
    names = list(archive.members)
    pickles = [name for name in names if name.count("/") <= 1 and f"/{name}".endswith("/data.pkl")]
    if len(pickles) > 1:
        raise DamagedError("it holds several pickles of tensors")
    if pickles:
        root = pickles[0].removesuffix("data.pkl")
        is_script = f"{root}constants.pkl" in names
        return Contents("torchscript" if is_script else "torch", read_archive(archive, root))
    if not names or not all(name.endswith(_ARRAY_SUFFIX) for name in names):
        refuse_other_archives(names)
    table = Table()
    for name in names:
        table.items[name.removesuffix(_ARRAY_SUFFIX)] = read_array(MemberData(archive, name))
    return Contents("numpy", table)
