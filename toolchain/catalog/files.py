"""Files in a model.yml: names, sizes, digests, sources, postprocessing."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from toolchain.catalog.fields import (
    read_choice,
    read_integer,
    read_list,
    read_mapping,
    read_nonempty,
    read_relative_path,
    read_text,
    suggest,
)
from toolchain.catalog.names import fold
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
from toolchain.catalog.yaml_nodes import Node, describe, quote

# A published model.yml has the misspelt key; both are only information.
IGNORED_FILE_KEYS = ("original_source", "oroginal_source")
FILE_KEYS = ("name", "size", "checksum", "source", "mirrors", *IGNORED_FILE_KEYS)
PATTERN_LIMIT = 10_000  # characters
ARCHIVES = ("zip", "tar", "gztar", "bztar", "xztar")
_URL = re.compile(r"https?://(?:[^\s/?#@]*@)?[^\s/?#@:]+(?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_IPV6 = re.compile(r"https?://\[[0-9a-f:.]+\](?::\d{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)
_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")
_HEX = re.compile(r"[0-9a-fA-F]*")


class FileNames:
    """The file names of one folder; no two may be the same file on any operating system."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    def take(self, node: Node, name: str) -> None:
        """Add a name.  Raises CatalogError if it, or a folder of it, is a file already."""
        folded = name if node.lenient and sys.platform == "linux" else fold(name)
        for taken, line in self._lines.items():
            if taken == folded:
                wrong = f"duplicate file name {quote(name)}, first on line {line}"
                raise node.error(wrong, "each name once, whatever its case")
            if taken.startswith(folded + "/") or folded.startswith(taken + "/"):
                wrong = f"{quote(name)} and {quote(taken)} (line {line})"
                raise node.error(f"{wrong} use one name for a file and a folder", "different names")
        self._lines[folded] = node.line


def read_file(node: Node, what: str, taken: FileNames) -> ModelFile:
    """Read a file: `name` and `source`, optionally `size`, `checksum` and `mirrors`."""
    found = read_mapping(node, what, FILE_KEYS, ("name", "source"))
    name = read_relative_path(found["name"], "name")
    taken.take(found["name"], name)
    sources = [_source(found["source"])]
    if "mirrors" in found:
        sources += [_source(mirror) for mirror in read_list(found["mirrors"], "mirrors")]
    return ModelFile(
        name=name,
        size=read_integer(found["size"], "size") if "size" in found else None,
        digest=_digest(found["checksum"]) if "checksum" in found else None,
        sources=tuple(dict.fromkeys(sources)),
    )


def _digest(node: Node) -> Digest:
    algorithm: DigestAlgorithm = "sha384"
    if node.kind == "mapping":
        found = read_mapping(node, "checksum", ("$type", "value"), ("$type", "value"))
        algorithm = read_choice(found["$type"], "$type of checksum", tuple(DIGEST_LENGTHS))
        node = found["value"]
    length = DIGEST_LENGTHS[algorithm]
    expected = f"{length} hexadecimal digits ({algorithm})"
    # A digest of only decimal digits is an integer in YAML; its digits are in `written`.
    if node.kind not in ("text", "integer", "number"):
        raise node.error(f"checksum is {describe(node)}", expected)
    if not _HEX.fullmatch(node.written):
        other = re.search("[^0-9a-fA-F]", node.written)
        assert other is not None
        raise node.error(f"checksum has {quote(other[0])} at digit {other.start() + 1}", expected)
    if len(node.written) != length:
        raise node.error(f"checksum has {len(node.written)} digits", expected)
    return Digest(algorithm, node.written.lower())


def _source(node: Node) -> Source:
    if node.kind != "mapping":
        return _source_of_text(node)
    type_node = node.value.get("$type", (None, None))[1]
    if type_node is None:
        raise node.error("source has no $type", f"$type, one of {', '.join(_SOURCES)}")
    key, read = _SOURCES[read_choice(type_node, "$type of source", tuple(_SOURCES))]
    return read(read_mapping(node, "source", ("$type", key), (key,))[key])


def _source_of_text(node: Node) -> Source:
    value = read_nonempty(node, "source")
    return _file_url(node, value) if value.lower().startswith("file:") else _http(node)


def _http(node: Node) -> HttpSource:
    value = read_nonempty(node, "url")
    is_url = _URL.fullmatch(value) or _IPV6.fullmatch(value) or node.lenient
    if not value.isprintable() or not is_url:  # of other models, it fails when it is requested
        raise node.error(f"url is {quote(value)}", "http://HOST/... or https://HOST/...")
    return HttpSource(value)


def _file_url(node: Node, value: str) -> FileSource:
    rest = value[len("file:") :]
    if rest.startswith("//"):
        host, slash, below = rest[2:].partition("/")
        if host.lower() not in ("", "localhost") or not slash:
            raise node.error(
                f"file URL {quote(value)} has a host", "file:///absolute/path or file:path"
            )
        rest = "/" + below
    return _path(node, unquote(rest[1:] if _DRIVE.match(rest) else rest))


def _file(node: Node) -> FileSource:
    return _path(node, read_nonempty(node, "path"))


def _path(node: Node, value: str) -> FileSource:
    if not value or not value.isprintable():
        raise node.error(f"path is {quote(value)}", "the path of a file")
    return FileSource(node.path.parent / Path(value))


def _google_drive(node: Node) -> GoogleDriveSource:
    value = read_nonempty(node, "id")
    if not re.fullmatch(r"[0-9A-Za-z_-]+", value):
        raise node.error(f"id is {quote(value)}", "letters, digits, - and _")
    return GoogleDriveSource(value)


def _package(node: Node) -> PackageSource:
    return PackageSource(read_relative_path(node, "path"))


_SOURCES: dict[str, tuple[str, Callable[[Node], Source]]] = {
    "http": ("url", _http),
    "google_drive": ("id", _google_drive),
    "file": ("path", _file),
    "package": ("path", _package),
}


def read_postprocessing(node: Node) -> tuple[Postprocessing, ...]:
    """Read the list under `postprocessing`."""
    return tuple(_step(item) for item in read_list(node, "postprocessing"))


def _step(node: Node) -> Postprocessing:
    what = "a step of postprocessing"
    known = ("$type", "file", "pattern", "replacement", "count", "format")
    kind = read_text(read_mapping(node, what, known, ("$type",))["$type"], "$type")
    if kind == "unpack_archive":
        found = read_mapping(node, what, ("$type", "file", "format"), ("file", "format"))
        archive = read_choice(found["format"], "format", ARCHIVES)
        return UnpackArchive(read_relative_path(found["file"], "file"), archive)
    if kind == "regex_replace":
        required = ("file", "pattern", "replacement")
        found = read_mapping(node, what, ("$type", *required, "count"), required)
        pattern, replacement = _regex(found["pattern"], found["replacement"])
        count = read_integer(found["count"], "count") if "count" in found else 0
        return RegexReplace(read_relative_path(found["file"], "file"), pattern, replacement, count)
    expected = suggest(kind, ("regex_replace", "unpack_archive"))
    raise node.value["$type"][1].error(f"$type of postprocessing is {quote(kind)}", expected)


def _regex(pattern_node: Node, replacement_node: Node) -> tuple[str, str]:
    pattern = read_text(pattern_node, "pattern")
    replacement = read_text(replacement_node, "replacement")
    for node, text in ((pattern_node, pattern), (replacement_node, replacement)):
        if len(text) > PATTERN_LIMIT:
            raise node.error(f"{len(text):,} characters", f"at most {PATTERN_LIMIT:,}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unusual but valid patterns
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            wrong = f"invalid pattern: {error}"
            raise pattern_node.error(wrong, "a regular expression") from None
        try:
            _make_groups(compiled).sub(replacement, "")
        except (re.error, IndexError, OverflowError, ValueError) as error:
            wrong = f"invalid replacement: {error}"
            raise replacement_node.error(wrong, "a template for pattern") from None
    return pattern, replacement


def _make_groups(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return a pattern with the same groups that matches at once, whatever `pattern` is."""
    names = {number: f"?P<{name}>" for name, number in pattern.groupindex.items()}
    return re.compile("".join(f"({names.get(n, '')})" for n in range(1, pattern.groups + 1)))
