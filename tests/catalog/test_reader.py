"""The reader of model.yml: what is accepted, and the place of each error."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from toolchain.catalog import yaml_nodes
from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import (
    Digest,
    FileSource,
    GoogleDriveSource,
    HttpSource,
    InputInfo,
    Limit,
    Limits,
    PackageSource,
    RegexReplace,
    Tolerance,
    UnpackArchive,
)
from toolchain.definitions.variants import Variant
from toolchain.errors import CatalogError

SHA384 = "Ab" * 48
SHA256 = "0123456789abcdef" * 4
VALID = f"""\
description: A model
task_type: background_matting
framework: onnx
license: https://example.org/LICENSE
files:
  - name: weights/a.onnx
    size: 12
    checksum: {SHA384}
    source: https://example.org/a.onnx
model_optimizer_args:
  - --scale=255
input_info:
  - name: src
    shape: [1, 3, 8, 8]
    layout: NCHW
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "some-model" / "model.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_error(folder: Path, text: str | bytes) -> tuple[int, int, str]:
    """Line, column and message of the error for `text` as a model.yml."""
    path = write(folder, text)
    with pytest.raises(CatalogError) as caught:
        read_model(path)
    (line,) = caught.value.lines()
    assert "\n" not in line
    assert line.startswith(f"{path}:")
    found = re.fullmatch(r":(\d+):(\d+): (.*; expected .*)", line.removeprefix(str(path)))
    assert found, line
    return int(found[1]), int(found[2]), found[3]


def test_the_shipped_model_is_read() -> None:
    """The built-in model.yml has the matting model with all its parts."""
    model = read_model(builtin_config())
    assert model.name == "background-matting-mobilenetv2"
    assert model.subdirectory == "public/background-matting-mobilenetv2"
    assert model.framework == "pytorch"
    assert model.precisions == {"FP16", "FP32"}
    assert [file.digest for file in model.files] == [None]
    assert len(model.files[0].sources) == 3
    assert [file.digest.algorithm for file in model.alternatives] == ["sha256"]
    assert model.bundled is not None
    assert isinstance(model.bundled.sources[0], PackageSource)
    assert model.cross_check[0].size == 20006715
    assert model.input_info[1] == InputInfo("bgr", (1, 3, 720, 1280), "NCHW")


def test_every_notation_of_every_part_is_read(tmp_path: Path) -> None:
    """Sources, digests, postprocessing, tolerances and model_info."""
    text = f"""\
name: my.model
description: A model
task_type: background_matting
framework: pytorch
license: MIT
files:
  - name: a.pth
    source: HTTPS://example.org:8080/a.pth?x=1
    original_source: {{$type: google_drive, id: x}}
    mirrors:
      - {{$type: http, url: "http://[::1]:80/a"}}
      - {{$type: google_drive, id: a_B-1}}
      - file:///top/a%20b.pth
      - file:near.pth
      - {{$type: file, path: sub/near.pth}}
      - {{$type: package, path: sub/a.pth}}
  - name: b.bin
    size: 0
    checksum: {{$type: sha256, value: {SHA256}}}
    source: http://u:p@example.org/b
  - name: c.bin
    checksum: {{$type: sha384, value: {"1" * 96}}}
    source: http://example.org
  - name: d.bin
    checksum: {"1" * 96}
    source: http://example.org
postprocessing:
  - {{$type: regex_replace, file: a.py, pattern: '(a)', replacement: '\\1b', count: 2}}
  - {{$type: unpack_archive, file: a.zip, format: zip}}
conversion_to_onnx_args: [--refine-mode=full]
model_optimizer_args: []
model_info: {{model_type: SSD, threshold: 0.5, labels: [a, b], shown: true, sizes: [1, 2.5]}}
tolerances:
  - {{form: FP32, hint: f32, pha_max_abs: 2e-5, fgr_max_abs: 2.0e-5, reason: " Rounding. "}}
  - {{form: FP32, hint: default, different_patches: 0, reason: bf16}}
"""
    path = write(tmp_path, text)
    model = read_model(path)
    here = path.parent
    assert model.name == "my.model"
    assert model.files[0].size is None
    assert model.files[0].sources == (
        HttpSource("HTTPS://example.org:8080/a.pth?x=1"),
        HttpSource("http://[::1]:80/a"),
        GoogleDriveSource("a_B-1"),
        FileSource(here / Path("/top/a b.pth")),
        FileSource(here / "near.pth"),
        FileSource(here / "sub" / "near.pth"),
        PackageSource("sub/a.pth"),
    )
    assert [file.digest for file in model.files[1:]] == [
        Digest("sha256", SHA256),
        Digest("sha384", "1" * 96),
        Digest("sha384", "1" * 96),
    ]
    assert model.files[1].size == 0
    assert model.postprocessing == (
        RegexReplace("a.py", "(a)", "\\1b", 2),
        UnpackArchive("a.zip", "zip"),
    )
    assert model.model_optimizer_args == ()
    assert dict(model.model_info) == {
        "model_type": "SSD",
        "threshold": 0.5,
        "labels": ("a", "b"),
        "shown": True,
        "sizes": (1.0, 2.5),
    }
    assert model.tolerances == (
        Tolerance(
            Variant("FP32", "f32"),
            Limits({"pha_max_abs": Limit(2e-5), "fgr_max_abs": Limit(2e-5)}, "Rounding."),
        ),
        Tolerance(Variant("FP32", "default"), Limits({"different_patches": Limit(0.0)}, "bf16")),
    )


def test_names_come_from_argument_key_or_folder(tmp_path: Path) -> None:
    """In this order of precedence; `..` in a path is resolved."""
    path = write(tmp_path, VALID)
    inner = path.parent / "inner"
    inner.mkdir()
    assert read_model(path).name == "some-model"
    assert read_model(inner / ".." / "model.yml").name == "some-model"
    named = write(tmp_path, VALID + "name: other\n")
    assert read_model(named).name == "other"
    assert read_model(named, name="third", subdirectory="a/b").subdirectory == "a/b"
    assert read_model(named, name="third").subdirectory == "public/third"


def test_digests_are_lower_case(tmp_path: Path) -> None:
    """Upper-case digits are the same digest; names keep their case."""
    (file,) = read_model(write(tmp_path, VALID)).files
    assert file.digest == Digest("sha384", SHA384.lower())
    assert file.name == "weights/a.onnx"


def test_precisions_of_a_ready_ir_come_from_its_file_names(tmp_path: Path) -> None:
    """FP16/<name>.xml and .bin are FP16; one of them alone or an unknown folder is an error."""

    def ir(*names: str) -> str:
        files = "".join(f"  - {{name: {name}, source: http://h/x}}\n" for name in names)
        head = VALID[: VALID.index("files:")].replace("onnx", "dldt")
        return f"{head}files:\n{files}"

    text = ir("FP16/some-model.xml", "FP16/some-model.bin", "readme", "FP16/deeper/x")
    assert read_model(write(tmp_path, text)).precisions == {"FP16"}
    line, column, message = read_error(tmp_path, ir("FP16/some-model.xml"))
    assert (line, column) == (6, 12)
    assert "no bin file" in message
    assert read_error(tmp_path, ir("FP8/some-model.xml"))[:2] == (6, 12)


def test_the_slow_parser_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libyaml, records and places of errors are the same."""
    path = write(tmp_path, VALID)
    with_libyaml = read_model(path), read_model(builtin_config())
    place = read_error(tmp_path, VALID.replace("size: 12", "size: -1"))
    monkeypatch.setattr(yaml_nodes, "LOADER", yaml.SafeLoader)
    write(tmp_path, VALID)
    assert (read_model(path), read_model(builtin_config())) == with_libyaml
    assert read_error(tmp_path, VALID.replace("size: 12", "size: -1")) == place


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


NAME = "weights/a.onnx"
URL = "https://example.org/a.onnx"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)
TOLERANCE = "tolerances:\n  - "
STEP = "postprocessing:\n  - "
FP32 = VALID + TOLERANCE + "{form: FP32, hint: f32, reason: x"
MISTAKES: dict[str, tuple[str | bytes, int, int, str]] = {
    "unknown key": (changed("task_type:", "task_typ:"), 2, 1, '"task_type"'),
    "unknown key, nothing near": (VALID + "zzz: 1\n", 16, 1, "description"),
    "unknown key of a file": (changed("    size:", "    sise:"), 7, 5, '"size"'),
    "missing key": (changed("license: https://example.org/LICENSE\n", ""), 1, 1, "license"),
    "missing key of a file": (changed(f"    source: {URL}\n", ""), 6, 5, "source"),
    "wrong type of text": (changed("A model", "12"), 1, 14, "the integer 12"),
    "a date for text": (changed("A model", "2020-01-01"), 1, 14, "quotes"),
    "nothing for text": (changed("A model", ""), 1, 13, "empty"),
    "wrong type of list": (changed("  - --scale=255", "  --scale=255"), 11, 3, "a list"),
    "wrong type of mapping": (changed("  - name: src", "  - 7\n  - name: src"), 13, 5, "integer 7"),
    "unknown framework": (changed("onnx\nlic", "onx\nlic"), 3, 12, '"onnx"'),
    "unknown task": (changed("background_matting", "matting"), 2, 12, "background_matting"),
    "digest too short": (changed(SHA384, SHA384[:-1]), 8, 15, "95 digits"),
    "digest not hex": (changed(SHA384, "g" + SHA384[1:]), 8, 15, '"g" at digit 1'),
    "digest of decimals": (changed(SHA384, "1" * 95), 8, 15, "95 digits"),
    "digest of a type": (changed(SHA384, "{$type: md5, value: x}"), 8, 23, "sha256 or sha384"),
    "digest a list": (changed(SHA384, "[a]"), 8, 15, "a list"),
    "size negative": (changed("size: 12", "size: -1"), 7, 11, "-1"),
    "size boolean": (changed("size: 12", "size: yes"), 7, 11, "boolean"),
    "size fraction": (changed("size: 12", "size: 1.0"), 7, 11, "number 1.0"),
    "size text": (changed("size: 12", "size: '1'"), 7, 11, "text"),
    "size huge": (changed("size: 12", "size: " + "9" * 5000), 7, 11, "integer from 0"),
    "size over 63 bits": (changed("size: 12", f"size: {2**63}"), 7, 11, "integer from 0"),
    "number without digits": (changed("size: 12", "size: 0x_"), 7, 11, "not a valid integer"),
    "parent in name": (changed(NAME, "a/../../b"), 6, 11, '".."'),
    "absolute name": (changed(NAME, "/a"), 6, 11, "absolute"),
    "empty name": (changed(NAME, "''"), 6, 11, "empty"),
    "backslash in name": (changed(NAME, "a\\b"), 6, 11, "backslash"),
    "drive in name": (changed(NAME, "C:/b"), 6, 11, "(:)"),
    "device name": (changed(NAME, "a/nul.txt"), 6, 11, "device"),
    "dot at the end": (changed(NAME, "a./b"), 6, 11, "ends with a dot"),
    "empty part": (changed(NAME, "a//b"), 6, 11, "empty part"),
    "long name": (changed(NAME, "a" * 300), 6, 11, "longer"),
    "invisible name": (changed(NAME, '"a\\u202eb"'), 6, 11, "non-printable"),
    "name twice": (
        changed("model_opt", "  - {name: Weights/A.onnx, source: http://h/}\nmodel_opt"),
        10, 12, "first on line 6",
    ),
    "name a folder too": (
        changed("model_opt", "  - {name: weights, source: http://h/}\nmodel_opt"),
        10, 12, "a file and a folder",
    ),
    "key twice": (VALID + "framework: onnx\n", 16, 1, "first on line 3"),
    "key twice below": (changed("    size: 12", "    size: 12\n    size: 12"), 8, 5, "line 7"),
    "key no text": (VALID + "1: 2\n", 16, 1, "a key"),
    "merge key": (VALID + "<<: {}\n", 16, 1, '"<<"'),
    "syntax": (VALID + "x: [1,\n", 17, 1, "invalid YAML"),
    "tab": (changed("  - name: src", "\t- name: src"), 13, 1, "invalid YAML"),
    "undefined alias": (changed("A model", "*a"), 1, 14, "undefined alias"),
    "endless alias": (VALID + "model_info: &a {b: [*a]}\n", 16, 21, "contains itself"),
    "bomb": (BOMB, 6, 11, "more than 100000"),
    "deep": ("a: " + "[" * 100_000, 1, 23, "deep"),
    "deep blocks": ("- " * 100_000, 1, 41, "deep"),
    "python object": (
        changed("A model", "!!python/object/apply:os.getcwd []"), 1, 14, "python/object",
    ),
    "own tag": (changed("A model", "!mine x"), 1, 14, '"!mine"'),
    "binary": (changed("A model", "!!binary aGk="), 1, 14, "binary"),
    "tag that lies": (changed("A model", "!!int x"), 1, 14, "not a valid integer"),
    "NUL": (changed("A model", "A\0model"), 1, 15, "U+0000"),
    "escaped NUL": (changed("A model", '"\\0"'), 1, 14, "U+0000"),
    "control character": (changed("A model", "A\x1bmodel"), 1, 15, "U+001B"),
    "second document": (VALID + "---\na: 1\n", 16, 1, "second document"),
    "not UTF-8": (VALID.encode().replace(b"12", b"\xff2"), 7, 11, "0xFF"),
    "not UTF-8 after a mark": (b"\xef\xbb\xbfa: \xe4\n", 1, 4, "0xE4"),
    "UTF-16": (VALID.encode("utf-16"), 1, 1, "not UTF-8"),
    "empty": (b"", 1, 1, "empty"),
    "comments alone": ("# nothing\n", 1, 1, "empty"),
    "not a mapping": ("- a\n", 1, 1, "a list"),
    "scalar": ("hello\n", 1, 1, "the text"),
    "too long": ("#" * (1 << 20) + "\n", 1, 1, "too long"),
    "url": (changed(URL, "ftp://example.org/a"), 9, 13, "ftp"),
    "url with a space": (changed(URL, "https://a b/"), 9, 13, "https://HOST"),
    "url without host": (changed(URL, "https:///a"), 9, 13, "https://HOST"),
    "file URL with host": (changed(URL, "file://server/a"), 9, 13, "has a host"),
    "source type": (changed(URL, "{$type: htp, url: x}"), 9, 21, '"http"'),
    "source without type": (changed(URL, "{url: x}"), 9, 13, "$type"),
    "source key": (changed(URL, "{$type: http, id: x}"), 9, 27, "unknown key"),
    "drive id": (changed(URL, "{$type: google_drive, id: a/b}"), 9, 39, "letters"),
    "package path": (changed(URL, "{$type: package, path: ../b}"), 9, 36, '".."'),
    "mirrors no list": (changed("    size", "    mirrors: x\n    size"), 7, 14, "a list"),
    "postprocessing type": (VALID + "postprocessing: [{$type: zip}]\n", 16, 26, "unpack_archive"),
    "bad pattern": (
        VALID + STEP + "{$type: regex_replace, file: a, pattern: '(', replacement: b}", 17, 46,
        "invalid pattern",
    ),
    "bad replacement": (
        VALID + STEP + "{$type: regex_replace, file: a, pattern: a, replacement: '\\2'}", 17, 62,
        "replacement",
    ),
    "long pattern": (
        VALID + STEP + "{$type: regex_replace, file: a, pattern: '" + "a" * 20_000
        + "', replacement: b}", 17, 46, "at most 10,000",
    ),
    "reserved folder": (changed(NAME, ".git/config"), 6, 11, "settings or commands"),
    "archive": (VALID + STEP + "{$type: unpack_archive, file: a, format: rar}", 17, 46, "rar"),
    "shape": (changed("[1, 3, 8, 8]", "[1, 3, true, 8]"), 14, 19, "boolean"),
    "shape of zero": (changed("[1, 3, 8, 8]", "[1, 0, 8, 8]"), 14, 16, "from 1"),
    "input twice": (VALID + "  - name: src\n", 16, 11, "duplicate input"),
    "model_info NaN": (VALID + "model_info: {a: .nan}\n", 16, 17, "finite"),
    "model_info inf": (VALID + "model_info: {a: -.inf}\n", 16, 17, "finite"),
    "model_info nested": (VALID + "model_info: {a: {b: 1}}\n", 16, 17, "a mapping"),
    "model_info mixed": (VALID + "model_info: {a: [1, b]}\n", 16, 17, "one kind"),
    "bad name": (VALID + "name: a/b\n", 16, 7, "letters"),
    "name of dots": (VALID + "name: ..\n", 16, 7, '".."'),
    "pytorch without arguments": (changed("onnx\nlic", "pytorch\nlic"), 1, 1, "conversion_to_onnx"),
    "arguments for pytorch only": (VALID + "conversion_to_onnx_args: [x]\n", 16, 26, "pytorch"),
    "no conversion": (
        changed("model_optimizer_args:\n  - --scale=255\n", ""), 1, 1, "model_optimizer_args",
    ),
    "argument no text": (changed("--scale=255", "255"), 11, 5, "quotes"),
    "tolerance form": (VALID + TOLERANCE + "{form: FP64, hint: f32, reason: x}", 17, 12, "FP16"),
    "tolerance hint": (VALID + TOLERANCE + "{form: FP32, hint: f16, reason: x}", 17, 24, "f32"),
    "tolerance negative": (
        FP32 + ", pha_max_abs: -1}", 17, 53, "negative",
    ),
    "tolerance infinite": (
        FP32 + ", pha_max_abs: 1e999}", 17, 53, "finite",
    ),
    "tolerance boolean": (
        FP32 + ", pha_max_abs: on}", 17, 53, "boolean",
    ),
    "limit without a bound": (
        FP32 + ", pha_max_abs: {}}", 17, 53, "absolute, relative or both",
    ),
    "limit with an unknown bound": (
        FP32 + ", pha_max_abs: {relativ: 1}}", 17, 54, '"relative"',
    ),
    "tolerance of nothing": (
        FP32 + "}", 17, 5, "limits nothing",
    ),
    "tolerance without reason": (
        VALID + TOLERANCE + "{form: FP32, hint: f32, pha_max_abs: 1}", 17, 5, "reason",
    ),
    "tolerance with empty reason": (
        VALID + TOLERANCE + "{form: FP32, hint: f32, pha_max_abs: 1, reason: ' '}", 17, 53, "empty",
    ),
    "tolerance twice": (
        VALID + TOLERANCE + "&a {form: FP32, hint: f32, pha_max_abs: 1, reason: x}\n  - *a\n",
        18, 5, "duplicate limits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_an_error_is_one_line_with_its_place(tmp_path: Path, case: str) -> None:
    """File, line, column, what is wrong and what was expected."""
    text, line, column, word = MISTAKES[case]
    found = read_error(tmp_path, text)
    assert found[:2] == (line, column), found
    assert word in found[2]


def test_a_limit_may_be_relative(tmp_path: Path) -> None:
    """A number is absolute; a mapping has an absolute bound, a relative one, or both."""
    limits = "fgr_max_abs: 1, alpha_grad_worse: {absolute: 0.5, relative: 0.8}"
    text = VALID + TOLERANCE + f"{{form: FP32, hint: f32, {limits}, reason: x}}\n"
    (tolerance,) = read_model(write(tmp_path, text)).tolerances
    assert tolerance.limits.by_figure == {
        "fgr_max_abs": Limit(1.0),
        "alpha_grad_worse": Limit(0.5, 0.8),
    }


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """A missing file, a folder and an invalid path are reported like any other error."""
    for path in (tmp_path / "missing" / "model.yml", tmp_path, Path("a\0b")):
        with pytest.raises(CatalogError) as caught:
            read_model(path)
        (line,) = caught.value.lines()
        assert ":1:1: cannot be read: " in line
        assert line.isprintable()


def test_a_pattern_is_not_applied_while_it_is_read(tmp_path: Path) -> None:
    """One that would need gigabytes for an empty text is read at once, with its template."""
    step = "{$type: regex_replace, file: a, pattern: '%s', replacement: '%s'}"
    for pattern, replacement in (("(a?){4294967294}", r"\1"), ("(?P<n>(?:x?){0,65535})", r"\g<n>")):
        (tmp_path / "model.yml").write_text(VALID + STEP + step % (pattern, replacement))
        (found,) = read_model(tmp_path / "model.yml").postprocessing
        assert isinstance(found, RegexReplace)
        assert found.pattern == pattern


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A file that is none is an error at once."""
    os.mkfifo(tmp_path / "model.yml")
    with pytest.raises(CatalogError, match="not a plain file"):
        read_model(tmp_path / "model.yml")


def test_a_folder_name_that_is_not_a_model_name_is_an_error(tmp_path: Path) -> None:
    """A folder with a space, for example; the message names the key `name`."""
    folder = tmp_path / "my models"
    folder.mkdir()
    path = folder / "model.yml"
    path.write_text(VALID, encoding="utf-8")
    with pytest.raises(CatalogError, match="or the key name"):
        read_model(path)
    assert read_model(path, name="mine").name == "mine"
    path.write_text(VALID + "name: mine\n", encoding="utf-8")
    assert read_model(path).name == "mine"


def test_aliases_are_replaced_by_their_values(tmp_path: Path) -> None:
    """Unless they contain themselves."""
    text = changed("A model", "&text A model") + "model_info: {a: *text}\n"
    assert read_model(write(tmp_path, text)).model_info == (("a", "A model"),)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """The records are the same."""
    plain = read_model(write(tmp_path, VALID))
    assert read_model(write(tmp_path, b"\xef\xbb\xbf" + VALID.encode())) == plain
