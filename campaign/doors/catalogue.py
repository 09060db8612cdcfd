"""model.yml, collections, lists of patterns."""

from __future__ import annotations

import hashlib
from pathlib import Path

from campaign.damage import damage, text
from campaign.kinds import Door
from campaign.laws import Try
from toolchain.catalog.builtin import builtin_config

DOOR = Door("catalogue", memory=576, disk=8)
TEXT = b"import torch\n" + b"a" * 60 + b"b\n"
REGEX = """\
description: d
task_type: detection
framework: onnx
license: x
model_optimizer_args: []
name: m
files:
  - name: net.txt
    size: {size}
    checksum: {sha384}
    source: 'file:source.txt'
postprocessing:
  - $type: regex_replace
    file: net.txt
    pattern: {pattern}
    replacement: {replacement}
"""
HOSTILE = (
    *(
        "(a+)+$",
        "(a|a)*$",
        "(a|b|ab)*c",
        "(.*a){25}",
        "((a{1000}){1000}){1000}",
        "(a?){4294967294}",
    ),
    *("(?:x?){0,65535}(?:x?){0,65535}", "(((((a*)*)*)*)*)*$", "(?i)[\\0-\\U0010ffff]*$", "[[[[["),
    *("(?P<n>a)(?P=n)*\\1+$", "(?<=a{60000})b", "a" * 20_000, "(" * 3000, "\\N{BELL}", "(?#", "*"),
)


@DOOR.kind("a damaged model.yml")
def _damaged(one: Try) -> None:
    one.write("model.yml", damage(builtin_config().read_bytes(), one.rng, 6))
    _read(one)


@DOOR.kind("a model.yml of any bytes")
def _any(one: Try) -> None:
    rng = one.rng
    data = rng.choice(
        (rng.randbytes(2000), text(rng, 3000).encode("utf-16", "replace"), b"\xff\xfe")
    )
    one.write("model.yml", data)
    _read(one)


@DOOR.kind("deep, repeated and referring YAML")
def _bomb(one: Try) -> None:
    size = one.rng.randint(10, 60_000)
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    texts = (
        "[" * size,
        "{a: " * size,
        f"a0: &a0 [x]\n{levels}",
        "- " * size,
        "? " * size,
        "&a [*a]",
    )
    one.write("model.yml", (one.rng.choice(texts) + "\nname: x").encode())
    _read(one)


@DOOR.kind("a pattern that needs any time or memory")
def _pattern(one: Try) -> None:
    pattern = one.rng.choice(HOSTILE)
    replacement = one.rng.choice(("x", "\\\\g<0>" * 50, "\\\\9", "\\\\g<n>", "y" * 9000))
    digest = hashlib.sha384(TEXT).hexdigest()
    quoted = "'" + pattern.replace("'", "''") + "'"
    config = REGEX.format(
        size=len(TEXT), sha384=digest, pattern=quoted, replacement=f"'{replacement}'"
    )
    one.write("model.yml", config.encode())
    one.keep("source.txt", TEXT)
    one.run("omz_downloader", "--all", "--config", "model.yml", "-o", "out", seconds=60)


@DOOR.kind("file names that leave the folder or that tools obey")
def _names(one: Try) -> None:
    names = (
        *("../x", "/etc/x", "a/../../x", "C:x", ".git/config", "a/.GIT/hooks/post-checkout", "nul"),
        *("git~1/config", ".github/workflows/x.yml", "x.", "x ", "COM1.txt", text(one.rng, 30)),
    )
    name = one.rng.choice(names).replace("'", "").replace("\n", "").replace("\0", "")
    config = REGEX.format(size=3, sha384="0" * 96, pattern="x", replacement="y")
    config = config.replace("net.txt", f"'{name}'")
    one.write("model.yml", config.encode("utf-8", "replace"))
    one.write("source.txt", b"abc")
    one.refused(
        one.run("omz_downloader", "--all", "--config", "model.yml", "-o", "out", seconds=30)
    )
    paths = one.folder.rglob("*")
    left = [path for path in paths if path.is_file() and path.suffix != ".lock"]
    known = {"model.yml", "source.txt"}
    one.expect({path.name for path in left} <= known, "wrong artefact", f"wrote {left}")


@DOOR.kind("a damaged collection")
def _collection(one: Try) -> None:
    data = builtin_config().read_bytes()
    for name in ("public/m/model.yml", "public/c/composite-model.yml", "public/c/c-1/model.yml"):
        mutated = damage(data, one.rng) if one.rng.random() < 0.5 else data
        one.write(name, mutated)
    (one.folder / "public" / "loop").symlink_to("..")
    one.run("omz_info_dumper", "--all", "--models_root", ".", seconds=30)


@DOOR.kind("patterns of any text")
def _patterns(one: Try) -> None:
    rng = one.rng
    words = ("[" * 60_000, "*" * 500 + "x", "[!" * 3000, text(rng, 200), "'unclosed", "\x1b[31m")
    pattern = rng.choice(words).replace("\0", "")
    if rng.random() < 0.5:
        one.write("list", pattern.encode("utf-8", "replace"))
        one.run("omz_info_dumper", "--list", "list", seconds=20)
    else:
        safe = pattern.encode("utf-8", "replace").decode()
        one.run("omz_info_dumper", f"--name={safe}", seconds=20)


@DOOR.kind("arguments of a conversion of any text")
def _arguments(one: Try) -> None:
    config = builtin_config().read_text(encoding="utf-8")
    lines = [line for line in config.splitlines() if line.strip().startswith("- --")]
    line = one.rng.choice(lines)
    new = text(one.rng, 60).replace("'", "").encode("utf-8", "replace").decode()
    changed = config.replace(line, f"{line.partition('=')[0]}={new}", 1)
    one.write("model.yml", changed.encode())
    _read(one)
    one.run(
        "matting", "build", "--config", "model.yml", "--weights", "bundled", "--dry-run", seconds=40
    )


def _read(one: Try) -> None:
    one.run("omz_info_dumper", "--all", "--config", "model.yml", seconds=20)
    one.run("omz_downloader", "--print_all", "--config", Path("model.yml"), seconds=20)
