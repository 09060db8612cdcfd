"""Small collections of models in the layout of Open Model Zoo."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.web_server import Answer, File, Server

TAR_MODES = {"tar": "w", "gztar": "w:gz", "bztar": "w:bz2", "xztar": "w:xz"}
HEAD = {"description": "d", "task_type": "detection", "license": "https://example.org/license"}
ONNX = {"framework": "onnx", "model_optimizer_args": [], "input_info": [{"name": "x"}]}


@dataclass(frozen=True)
class Served:
    """A file of a model.

    Attributes:
        data: Content of the file.
        answers: Answers of the server, one after the other; by default it sends `data`.
        size: Published size, by default that of `data`.
        sha384: Published digest, by default that of `data`; "" for none.
    """

    data: bytes
    answers: tuple[Answer, ...] = ()
    size: int | None = None
    sha384: str | None = None


def write_model(
    root: Path,
    subdirectory: str,
    files: Mapping[str, Served | bytes],
    server: Server | None = None,
    **keys: object,
) -> Path:
    """Write a model.yml below `root`.

    Args:
        root: Root of the collection.
        subdirectory: Folder of the model, with `/`.
        files: Its files by name.
        server: Web server that serves the files; without one, their source is unreachable.
        keys: Further keys of the model.yml.  The framework is "dldt" by default.

    Returns:
        The folder of the model.
    """
    folder = root.joinpath(*subdirectory.split("/"))
    folder.mkdir(parents=True)
    entries = []
    for name, file in files.items():
        served = Served(file) if isinstance(file, bytes) else file
        entry: dict[str, object] = {"name": name, "source": f"http://127.0.0.1:9/{name}"}
        if server is not None:
            answers = served.answers or (File(served.data),)
            entry["source"] = server.serve(f"/{subdirectory}/{name}", *answers)
        if served.sha384 != "":
            entry["size"] = len(served.data) if served.size is None else served.size
            entry["checksum"] = served.sha384 or hashlib.sha384(served.data).hexdigest()
        entries.append(entry)
    _write(folder / "model.yml", files=entries, **keys)
    return folder


def write_composite(root: Path, subdirectory: str, stages: list[str]) -> None:
    """Write the composite-model.yml of models in the folders below."""
    folder = root.joinpath(*subdirectory.split("/"))
    _write(folder / "composite-model.yml", stages_order=stages)


def _write(path: Path, **keys: object) -> None:
    content = {**HEAD, "framework": "dldt", **keys}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def create_archive(form: str, members: Iterable[tuple[Any, Any]]) -> bytes:
    """Create an archive.

    Args:
        form: Format by its name in `shutil`.
        members: Names and contents.  A name may be a ZipInfo, a content a finished TarInfo.

    Returns:
        The bytes of the archive.
    """
    stream = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(stream, "w") as packed:
            for name, data in members:
                packed.writestr(name, data)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode=TAR_MODES[form]) as packed:  # type: ignore[call-overload]
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                packed.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return stream.getvalue()
