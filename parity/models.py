"""Small collections in the incumbent's layout, whose files a loopback server gives."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.web_server import Answer, File, Server

TAR_MODES = {"tar": "w", "gztar": "w:gz", "bztar": "w:bz2", "xztar": "w:xz"}
HEAD = {"description": "d", "task_type": "detection", "license": "https://example.org/license"}


@dataclass(frozen=True)
class Served:
    """One file: what is published about it, and how the server answers (soundly by default)."""

    data: bytes
    answers: tuple[Answer, ...] = ()
    size: int | None = None
    sha384: str | None = None


def write_model(
    root: Path,
    subdirectory: str,
    files: Mapping[str, Served],
    server: Server | None,
    **more: object,
) -> Path:
    """Write a model.yml below `root` and have `server` give its files; returns its folder."""
    folder = root.joinpath(*subdirectory.split("/"))
    folder.mkdir(parents=True)
    entries = []
    for name, served in files.items():
        url = f"http://127.0.0.1:9/{name}"
        if server is not None:
            url = server.serve(f"/{subdirectory}/{name}", *(served.answers or (File(served.data),)))
        size = len(served.data) if served.size is None else served.size
        checksum = served.sha384 or hashlib.sha384(served.data).hexdigest()
        entries.append({"name": name, "size": size, "checksum": checksum, "source": url})
    content = {**HEAD, "framework": "dldt", "files": entries, **more}
    (folder / "model.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def write_composite(root: Path, subdirectory: str, stages: list[str]) -> None:
    """Write the composite-model.yml of models that lie below it already."""
    content = {**HEAD, "framework": "dldt", "stages_order": stages}
    path = root.joinpath(*subdirectory.split("/"), "composite-model.yml")
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def archive(kind: str, files: Mapping[str, bytes]) -> bytes:
    """An archive of `files`, of a format as `shutil` names it."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as packed:
            for name, data in files.items():
                packed.writestr(name, data)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode=TAR_MODES[kind]) as packed:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def tree(folder: Path) -> dict[str, str]:
    """Digest by relative name of every file that is not hidden, nor in a hidden folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha384(path.read_bytes()).hexdigest()[:12]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }
