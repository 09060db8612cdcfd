"""Packages of unknown origin: `verify`, `unpack`, signatures, samples that are run."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign import models
from campaign.damage import damage, damage_json, text
from campaign.kinds import Door
from campaign.laws import Try
from toolchain.package.manifest import Manifest, make_entry

LAYOUTS = ("plain", "ovms", "huggingface", "omz")
Files = dict[str, tuple[bytes, str]]


@dataclass(frozen=True)
class Shared:
    """What the tries share: the files of a good package, its archive, keys and a signature."""

    files: Files
    archive: bytes
    private: bytes
    public: bytes
    signature: bytes


def _prepare() -> Shared:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    from toolchain.package.extract import extract
    from toolchain.package.signing import sign_folder

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = models.make_files(models.write_model(folder / "model"))
        archive = models.write_package(folder / "m.tar.gz", files)
        key = ec.generate_private_key(ec.SECP256R1())
        pkcs8, plain = form.PrivateFormat.PKCS8, form.NoEncryption()
        private = key.private_bytes(form.Encoding.PEM, pkcs8, plain)
        spki = form.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(form.Encoding.PEM, spki)
        (folder / "key").write_bytes(private)
        extract(archive, folder / "m-1")
        sign_folder(folder / "m-1", folder / "key", folder / "sig")
        return Shared(files, archive.read_bytes(), private, public, (folder / "sig").read_bytes())


DOOR = Door(
    "packages",
    ("toolchain.stages.unpack.unpack", "toolchain.stages.verify.verify", "model_signing"),
    _prepare,
    memory=96,
    disk=24,
)


def _verify_and_unpack(one: Try, name: str = "m.tar.gz", *, good: bool = False) -> None:
    """Both commands; nothing is unpacked unless it is good, and then it verifies."""
    layout = one.rng.choice(LAYOUTS)
    verified = one.run("matting", "verify", name, "-q", seconds=40)
    unpacked = one.run("matting", "unpack", name, "-o", "u", "--layout", layout, "-q", seconds=40)
    target = one.folder / "u"
    if unpacked.code == 0:
        one.expect(good or verified.code == 0, "wrong artefact", "unpacked, but it did not verify")
        again = one.run("matting", "verify", "u", "-q", seconds=40)
        one.expect(again.code == 0, "wrong artefact", f"does not verify: {again.errors[-200:]}")
        bad = [p for p in target.rglob(".*") if p.name != ".gitattributes"]
        one.expect(not bad, "wrong artefact", f"hidden files: {bad}")
    else:
        one.expect(not target.exists(), "wrong artefact", "files of a refused package")
    left = [path.name for path in one.folder.glob(".u.*")]
    one.expect(not left, "memory or disk", f"left {left}")
    outside = [p.name for p in one.folder.parent.iterdir() if p != one.folder]
    outside = [name for name in outside if not name.startswith("std")]
    one.expect(not outside, "wrong artefact", f"files outside: {outside}")


def _pack(entries: list[tuple[tarfile.TarInfo, bytes]], tail: bytes = b"") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue() + tail, 1)


def _entry(name: str, data: bytes, kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def _manifest(files: Files, facts: dict[str, Any] | None = None, **fields: str) -> bytes:
    entries = tuple(make_entry(path, *files[path]) for path in sorted(files))
    given = {"name": "m", "version": "1", "layout": "plain", **fields}
    return Manifest(**given, files=entries, facts=facts or {}).to_bytes()


def _write(one: Try, files: Files, facts: dict[str, Any] | None = None, **fields: str) -> None:
    entries = [_entry("m-1/manifest.json", _manifest(files, facts, **fields))]
    entries += [_entry(f"m-1/{path}", files[path][0]) for path in sorted(files)]
    one.write("m.tar.gz", _pack(entries))


@DOOR.kind("a good package")
def _good(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    _verify_and_unpack(one, good=True)
    one.expect((one.folder / "u").is_dir(), "lost file", "not unpacked")


@DOOR.kind("a damaged archive")
def _damaged(one: Try) -> None:
    one.write("m.tar.gz", damage(one.shared.archive, one.rng))
    _verify_and_unpack(one)


@DOOR.kind("a damaged tar inside a good gzip")
def _damaged_tar(one: Try) -> None:
    data = damage(gzip.decompress(one.shared.archive), one.rng)
    one.write("m.tar.gz", gzip.compress(data, 1))
    _verify_and_unpack(one)


@DOOR.kind("links, devices, sparse files and folders as entries")
def _entries(one: Try) -> None:
    files: Files = {"a": (b"x", "other")}
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    odd = (*kinds, tarfile.GNUTYPE_SPARSE, b"Z")
    entries = [_entry("m-1/manifest.json", _manifest(files))]
    for _ in range(one.rng.randint(1, 4)):
        name = one.rng.choice(("m-1/a", "m-1/b", "a", "../a", "/absolute/a", "m-1/../../a"))
        link = one.rng.choice(("/etc/passwd", "..", "a", "../../x"))
        entries.append(_entry(name, b"x", one.rng.choice(odd), link))
    entries.insert(one.rng.randrange(len(entries)), _entry("m-1/a", b"x"))
    one.write("m.tar.gz", _pack(entries, one.rng.choice((b"", b"tail" * 200))))
    _verify_and_unpack(one)


@DOOR.kind("declared names that are hidden, reserved, twins or outside")
def _names(one: Try) -> None:
    bad = (
        *(".git/config", "a/.git/hooks/x", ".GIT/config", "git~1/x", ".cache/huggingface/x"),
        *(".github/workflows/x.yml", ".hidden", "../x", "/x", "a\\b", "CON", "nul.txt", "a.", "a "),
        *("manifest.json", "MANIFEST.JSON", "model.sig", "x/../y", "a//b", "e\u0301", "\x1b[31m"),
    )
    files: Files = {"good": (b"x", "other"), one.rng.choice(bad): (b"y", "other")}
    if one.rng.random() < 0.3:
        files = {"Twin": (b"x", "other"), "twin": (b"y", "other")}
    elif one.rng.random() < 0.3:
        files = {"a": (b"x", "other"), text(one.rng).replace("\ud800", "") or ".": (b"y", "other")}
    is_bad = not files.keys() <= {"good", "a", "e\u0301"}
    _write(one, files)
    _verify_and_unpack(one)
    harmless = {"e\u0301"} | {name for name in files if name.isalnum()}
    if is_bad and not files.keys() <= harmless | {"good"} and "a" not in files:
        one.expect(not (one.folder / "u").exists(), "wrong artefact", f"unpacked {list(files)}")


@DOOR.kind("files that a layout maps onto one another")
def _collisions(one: Try) -> None:
    paths = ("openvino_model.xml", "FP16/a/x.bin", "FP16/b/x.bin", "FP16/m.xml", "FP16/m.bin")
    more = ("a.onnx", "b.onnx", "config.json", "about/m.xml", "onnx/model.onnx", "m", "public/m/x")
    roles = ("ir", "onnx", "other", "sample-output", "config", "doc")
    names = one.rng.sample((*paths, *more), one.rng.randint(2, 7))
    files: Files = {name: (name.encode(), one.rng.choice(roles)) for name in names}
    _write(one, files)
    _verify_and_unpack(one)


@DOOR.kind("facts of any form")
def _facts(one: Try) -> None:
    facts = models.copy(models.FACTS)
    for _ in range(one.rng.randint(1, 3)):
        changed = damage_json(facts, one.rng)
        facts = changed if isinstance(changed, dict) else facts
    facts = {key: facts[key] for key in facts if key not in ("schema", "name", "files", "layout")}
    try:
        _write(one, one.shared.files, facts)
    except (ValueError, UnicodeError):  # cannot be written as JSON in UTF-8
        return
    _verify_and_unpack(one)
    one.run("matting", "verify", "m.tar.gz", "--run", "-q", seconds=60)


@DOOR.kind("a manifest with another key or value anywhere")
def _manifests(one: Try) -> None:
    import json

    content = json.loads(_manifest(one.shared.files, models.FACTS))
    changed = damage_json(content, one.rng)
    data = json.dumps(changed, indent=2).encode("utf-8", "replace")
    entries = [_entry("m-1/manifest.json", data)]
    entries += [_entry(f"m-1/{p}", one.shared.files[p][0]) for p in sorted(one.shared.files)]
    one.write("m.tar.gz", _pack(entries))
    _verify_and_unpack(one)


@DOOR.kind("more bytes than declared")
def _more(one: Try) -> None:
    files: Files = {"a": (b"x", "other")}
    zeros = bytes(one.rng.choice((2, 64, 200)) << 20)
    way = one.rng.randrange(3)
    entries = [_entry("m-1/manifest.json", _manifest(files))]
    if way == 0:
        entries.append(_entry("m-1/a", zeros))
    elif way == 1:
        entries += [_entry("m-1/a", b"x"), _entry("m-1/b", zeros)]
    else:
        entries = [_entry("m-1/manifest.json", zeros)]
    one.write("m.tar.gz", _pack(entries))
    _verify_and_unpack(one)
    one.expect(not (one.folder / "u").exists(), "wrong artefact", "unpacked")


@DOOR.kind("a folder with links, devices, pipes and other files")
def _folder(one: Try) -> None:
    one.keep("m.tar.gz", one.shared.archive)
    one.run("matting", "unpack", "m.tar.gz", "-o", "f", "-q", seconds=40)
    folder = one.folder / "f"
    way = one.rng.randrange(6)
    if way == 0:
        (folder / "link").symlink_to("/etc/passwd")
    elif way == 1:
        os.mkfifo(folder / "pipe")
    elif way == 2:
        (folder / "README.md").unlink()
        os.mkfifo(folder / "README.md")
    elif way == 3:
        (folder / "manifest.json").unlink()
        os.mkfifo(folder / "manifest.json")
    elif way == 4:
        (folder / "FP32" / "m.bin").write_bytes(b"other")
    else:
        (folder / ".git").mkdir()
        (folder / ".git" / "config").write_text("[core]\n\tfsmonitor = touch ran\n")
    layout = one.rng.choice(LAYOUTS)
    outcome = one.run("matting", "unpack", "f", "-o", "u", "--layout", layout, "-q", seconds=40)
    if way < 5:
        one.refused(outcome)
    one.expect(not (one.folder / "u" / ".git").exists(), "wrong artefact", ".git was copied")


@DOOR.kind("a damaged signature or key")
def _signature(one: Try) -> None:
    shared = one.shared
    one.keep("m.tar.gz", shared.archive)
    signature, public = shared.signature, shared.public
    way = one.rng.randrange(3)
    if way == 0:
        signature = damage(signature, one.rng)
    elif way == 1:
        public = damage(public, one.rng)
    one.write("m.tar.gz.sig", signature)
    one.write("key.pub", public)
    outcome = one.run("matting", "verify", "m.tar.gz", "--verify-key", "key.pub", "-q", seconds=40)
    if way == 2:
        one.expect(outcome.code == 0, "lost file", f"refused: {outcome.errors[-200:]}")
    elif "signed   by the owner" in outcome.output:
        same = _decode(signature) == _decode(shared.signature)
        one.expect(way == 1 or same, "wrong artefact", "a damaged signature is accepted")


def _decode(signature: bytes) -> object:
    import json

    try:
        return json.loads(signature)["dsseEnvelope"]
    except (ValueError, KeyError, TypeError):
        return None


@DOOR.kind("an archive that is replaced while it is read")
def _swapped(one: Try) -> None:
    evil: Files = {**one.shared.files, "FP32/m.bin": (b"evil", "ir")}
    good = one.shared.archive
    one.write("good", good)
    models.write_package(one.folder / "evil", evil)
    one.write("m.tar.gz", good)
    one.write("m.tar.gz.sig", one.shared.signature)
    one.write("key.pub", one.shared.public)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("evil", "good"):
                shutil.copyfile(one.folder / name, one.folder / "copy")
                (one.folder / "copy").replace(one.folder / "m.tar.gz")
                time.sleep(one.rng.random() * 0.01)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        command = ("unpack", "m.tar.gz", "-o", "u", "--verify-key", "key.pub", "-q")
        one.run("matting", *command, seconds=40)
    finally:
        stop.set()
        thread.join()
    weights = one.folder / "u" / "FP32" / "m.bin"
    right = not weights.exists() or weights.read_bytes() == one.shared.files["FP32/m.bin"][0]
    one.expect(right, "wrong artefact", "the replaced file was published")


@DOOR.kind("a sample with other images")
def _sample(one: Try) -> None:
    import numpy as np

    path = one.rng.choice([name for name in one.shared.files if name.startswith("sample/")])
    data, role = one.shared.files[path]
    grey = np.zeros((models.SIZE[1], models.SIZE[0]), np.uint16)
    ways = (
        damage(data, one.rng),
        models.encode(grey),
        models.encode(grey.astype(np.uint8)),
        models.encode(np.zeros((3, 9000, 3), np.uint8)),
        models.encode(np.zeros((48, 64, 3), np.uint8), "BMP"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        _huge_png(),
    )
    _write(one, {**one.shared.files, path: (one.rng.choice(ways), role)}, models.FACTS)
    outcome = one.run("matting", "verify", "m.tar.gz", "--run", "-q", seconds=60)
    one.expect(outcome.code in (0, 1, 2), "traceback", f"exit code {outcome.code}")


def _huge_png() -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@DOOR.kind("a damaged IR behind a good manifest")
def _ir(one: Try) -> None:
    path = one.rng.choice(("FP32/m.xml", "FP32/m.xml", "FP32/m.bin"))
    data, role = one.shared.files[path]
    changed = damage(data, one.rng)
    if one.rng.random() < 0.4 and path.endswith("xml"):
        size = one.rng.choice((b"720000", b"0", b"-1", b"99999999999"))
        changed = data.replace(b"48", size)
    if one.rng.random() < 0.2 and path.endswith("xml"):
        changed = data.replace(b'name="src"', b'name="\x1b[31msrc&#10;"')
    _write(one, {**one.shared.files, path: (changed, role)}, models.FACTS)
    one.run("matting", "verify", "m.tar.gz", "--run", "-q", seconds=90)
