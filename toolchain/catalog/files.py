"""The parts of a model.yml that are about files: names, sizes, digests, sources, postprocessing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

from toolchain.catalog.fields import choice, entries, filled, items, nearest, safe_path, text, whole
from toolchain.catalog.positions import Node, article, shown
from toolchain.catalog.records import (
    DIGEST_LENGTHS,
    Digest,
    DigestAlgorithm,
    FileSource,
    GoogleDriveSource,
    HttpSource,
    ModelFile,
    PackageSource,
    Postprocessing,
    RegexReplace,
    Source,
    UnpackArchive,
)

# The misspelt key stands in a published model.yml; like its correct form it is information only.
IGNORED_FILE_KEYS = ("original_source", "oroginal_source")
FILE_KEYS = ("name", "size", "checksum", "source", "mirrors", *IGNORED_FILE_KEYS)
ARCHIVES = ("zip", "tar", "gztar", "bztar", "xztar")
_URL = re.compile(r"https?://(?:[^\s/?#@]*@)?[^\s/?#@:]+(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_IPV6 = re.compile(r"https?://\[[0-9a-f:.]+\](?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")
_HEX = re.compile(r"[0-9a-fA-F]*")


class FileNames:
    """The names taken so far in one folder; no two may be one file on any system."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def take(self, node: Node, name: str) -> None:
        """Note `name`, or raise CatalogError if it, or a folder of it, is a file already."""
        folded = name.casefold()
        for taken, line in self._lines.items():
            if taken == folded:
                wrong = f"file name {shown(name)} stands here again, first in line {line}"
                raise node.error(wrong, "each name once, whatever its case")
            if taken.startswith(folded + "/") or folded.startswith(taken + "/"):
                wrong = f"{shown(name)} and {shown(taken)} (line {line})"
                raise node.error(f"{wrong} make one name a file and a folder", "different names")
        self._lines[folded] = node.line


def read_file(node: Node, what: str, taken: FileNames) -> ModelFile:
    """One file record: `name`, `source`, and if known `size`, `checksum`, `mirrors`."""
    found = entries(node, what, FILE_KEYS, ("name", "source"))
    name = safe_path(found["name"], "name")
    taken.take(found["name"], name)
    sources = [_source(found["source"])]
    if "mirrors" in found:
        sources += [_source(mirror) for mirror in items(found["mirrors"], "mirrors")]
    return ModelFile(
        name=name,
        size=whole(found["size"], "size") if "size" in found else None,
        digest=_digest(found["checksum"]) if "checksum" in found else None,
        sources=tuple(dict.fromkeys(sources)),
    )


def _digest(node: Node) -> Digest:
    algorithm: DigestAlgorithm = "sha384"
    if node.kind == "mapping":
        found = entries(node, "checksum", ("$type", "value"), ("$type", "value"))
        algorithm = choice(found["$type"], "$type of checksum", tuple(DIGEST_LENGTHS))
        node = found["value"]
    length = DIGEST_LENGTHS[algorithm]
    expected = f"{length} hexadecimal digits ({algorithm})"
    # A digest of decimal digits alone is an integer to YAML, but what was written still counts.
    if node.kind not in ("text", "integer", "number"):
        raise node.error(f"checksum is {article(node)}", expected)
    if not _HEX.fullmatch(node.written):
        other = re.search("[^0-9a-fA-F]", node.written)
        assert other is not None
        raise node.error(f"checksum has {shown(other[0])} at digit {other.start() + 1}", expected)
    if len(node.written) != length:
        raise node.error(f"checksum has {len(node.written)} digits", expected)
    return Digest(algorithm, node.written.lower())


def _source(node: Node) -> Source:
    if node.kind != "mapping":
        return _source_of_text(node)
    type_node = node.value.get("$type", (None, None))[1]
    if type_node is None:
        raise node.error("source has no $type", f"$type, one of {', '.join(_SOURCES)}")
    key, read = _SOURCES[choice(type_node, "$type of source", tuple(_SOURCES))]
    return read(entries(node, "source", ("$type", key), (key,))[key])


def _source_of_text(node: Node) -> Source:
    value = filled(node, "source")
    return _file_url(node, value) if value.lower().startswith("file:") else _http(node)


def _http(node: Node) -> HttpSource:
    value = filled(node, "url")
    if not value.isprintable() or not (_URL.fullmatch(value) or _IPV6.fullmatch(value)):
        raise node.error(f"url is {shown(value)}", "http://HOST/... or https://HOST/...")
    return HttpSource(value)


def _file_url(node: Node, value: str) -> FileSource:
    from urllib.parse import unquote

    rest = value[len("file:") :]
    if rest.startswith("//"):
        host, slash, below = rest[2:].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            raise node.error(
                f"file URL {shown(value)} names a host", "file:///absolute/path or file:path"
            )
        rest = "/" + below
    return _path(node, unquote(rest[1:] if _DRIVE.match(rest) else rest))


def _file(node: Node) -> FileSource:
    return _path(node, filled(node, "path"))


def _path(node: Node, value: str) -> FileSource:
    if not value or not value.isprintable():
        raise node.error(f"path is {shown(value)}", "the path of a file")
    return FileSource(node.path.parent / Path(value))


def _google_drive(node: Node) -> GoogleDriveSource:
    value = filled(node, "id")
    if not re.fullmatch(r"[0-9A-Za-z_-]+", value):
        raise node.error(f"id is {shown(value)}", "letters, digits, - and _")
    return GoogleDriveSource(value)


def _package(node: Node) -> PackageSource:
    return PackageSource(safe_path(node, "path"))


_SOURCES: dict[str, tuple[str, Callable[[Node], Source]]] = {
    "http": ("url", _http),
    "google_drive": ("id", _google_drive),
    "file": ("path", _file),
    "package": ("path", _package),
}


def read_postprocessing(node: Node) -> tuple[Postprocessing, ...]:
    """The list under `postprocessing`."""
    return tuple(_step(item) for item in items(node, "postprocessing"))


def _step(node: Node) -> Postprocessing:
    what = "a step of postprocessing"
    known = ("$type", "file", "pattern", "replacement", "count", "format")
    kind = text(entries(node, what, known, ("$type",))["$type"], "$type")
    if kind == "unpack_archive":
        found = entries(node, what, ("$type", "file", "format"), ("file", "format"))
        archive = choice(found["format"], "format", ARCHIVES)
        return UnpackArchive(safe_path(found["file"], "file"), archive)
    if kind == "regex_replace":
        required = ("file", "pattern", "replacement")
        found = entries(node, what, ("$type", *required, "count"), required)
        pattern, replacement = _regex(found["pattern"], found["replacement"])
        count = whole(found["count"], "count") if "count" in found else 0
        return RegexReplace(safe_path(found["file"], "file"), pattern, replacement, count)
    expected = nearest(kind, ("regex_replace", "unpack_archive"))
    raise node.value["$type"][1].error(f"$type of postprocessing is {shown(kind)}", expected)


def _regex(pattern_node: Node, replacement_node: Node) -> tuple[str, str]:
    pattern = text(pattern_node, "pattern")
    replacement = text(replacement_node, "replacement")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd but valid patterns are the author's business
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            wrong = f"pattern can't be compiled: {error}"
            raise pattern_node.error(wrong, "a regular expression") from None
        try:
            compiled.sub(replacement, "")
        except (re.error, IndexError, OverflowError, ValueError) as error:
            wrong = f"replacement can't be used: {error}"
            raise replacement_node.error(wrong, "a template for pattern") from None
    return pattern, replacement
