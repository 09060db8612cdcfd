"""Properties of the reader, on generated and on damaged models."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.catalog.builtin import builtin_config
from toolchain.catalog.names import find_path_fault
from toolchain.catalog.reader import read_model
from toolchain.catalog.records import Digest, HttpSource
from toolchain.errors import CatalogError

PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, blacklist_categories=("Cc", "Cs")),
    min_size=1,
)
PARTS = st.from_regex(r"[a-z0-9_][a-z0-9_.-]{0,8}[a-z0-9_]", fullmatch=True)
NAMES = (
    st.lists(PARTS, min_size=1, max_size=3).map("/".join).filter(lambda n: not find_path_fault(n))
)
FILES = st.fixed_dictionaries(
    {"name": NAMES, "source": PARTS.map("https://example.org/{}".format)},
    optional={
        "size": st.integers(0, 2**63 - 1),
        "checksum": st.text("0123456789abcdefABCDEF", min_size=96, max_size=96),
        "mirrors": st.lists(PARTS.map("http://mirror.example.org/{}".format), max_size=2),
    },
)


def _apart(files: list[dict[str, Any]]) -> bool:
    names = [file["name"] for file in files]
    return not any(
        a == b or a.startswith(b + "/")
        for i, a in enumerate(names)
        for b in names[:i] + names[i + 1 :]
    )


MODELS = st.fixed_dictionaries(
    {
        "description": PRINTABLE,
        "task_type": st.sampled_from(["background_matting", "detection"]),
        "framework": st.sampled_from(["onnx", "tf"]),
        "license": PRINTABLE,
        "files": st.lists(FILES, max_size=3).filter(_apart),
        "model_optimizer_args": st.lists(PRINTABLE, max_size=3),
    },
    optional={
        "name": PARTS,
        "input_info": st.lists(
            st.fixed_dictionaries(
                {"name": PARTS},
                optional={
                    "shape": st.lists(st.integers(1, 4096), max_size=5),
                    "layout": st.text("NCHW", max_size=4),
                },
            ),
            max_size=3,
            unique_by=lambda item: item["name"],
        ),
    },
)


def read(data: bytes) -> Any:
    """The model in `data`, or the CatalogError, whose format is checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.yml")
        path.write_bytes(data)
        try:
            return read_model(path, name="some-model")
        except CatalogError as error:
            (line,) = error.lines()
            assert line.startswith(f"{path}:")
            assert line.isprintable()
            assert re.match(r":[1-9]\d*:[1-9]\d*: .+; expected .+", line.removeprefix(str(path)))
            return error


@settings(deadline=None)
@given(model=MODELS, flow=st.booleans())
def test_a_valid_model_keeps_its_values(model: dict[str, Any], *, flow: bool) -> None:
    """The records have the values of the YAML, in either style."""
    text = yaml.safe_dump(model, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    found = read(text.encode())
    assert not isinstance(found, CatalogError), found
    assert found.description == model["description"]
    assert found.license_url == model["license"]
    assert found.model_optimizer_args == tuple(model["model_optimizer_args"])
    assert len(found.files) == len(model["files"])
    for file, written in zip(found.files, model["files"], strict=True):
        assert file.name == written["name"]
        assert file.size == written.get("size")
        urls = [written["source"], *written.get("mirrors", [])]
        assert file.sources == tuple(dict.fromkeys(map(HttpSource, urls)))
        digest = written.get("checksum")
        assert file.digest == (digest and Digest("sha384", digest.lower()))
    assert [(i.name, list(i.shape), i.layout) for i in found.input_info] == [
        (i["name"], i.get("shape", []), i.get("layout", "")) for i in model.get("input_info", [])
    ]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_file_is_a_model_or_an_error(data: st.DataObject) -> None:
    """With bytes inserted, removed or changed; the error is one line with its place."""
    damaged = bytearray(builtin_config().read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        cut = data.draw(st.integers(0, 8))
        damaged[at : at + cut] = data.draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"&a ", b"*a", b"!!python/name:os ", b"[", b"{", b"- ", b"\n", b": "]
            )
        )
    read(bytes(damaged))


@settings(deadline=None)
@given(
    st.binary(max_size=64) | st.text("&*a[]{}:,-!|>'\"\n #?%@0.~<=", max_size=40).map(str.encode)
)
def test_arbitrary_bytes_are_an_error(data: bytes) -> None:
    """Never another exception."""
    assert isinstance(read(data), CatalogError)


@settings(deadline=None)
@given(st.text(st.sampled_from("0aAfFgG -_x\u0660\uff11"), max_size=100) | st.text(max_size=100))
def test_only_96_hexadecimal_digits_are_a_digest(digest: str) -> None:
    """ASCII digits of either case."""
    file = {"name": "a", "source": "http://h/", "checksum": digest}
    head = {"description": "", "task_type": "detection", "framework": "onnx", "license": ""}
    model = {**head, "files": [file], "model_optimizer_args": []}
    found = read(yaml.safe_dump(model, default_style='"').encode())
    valid = re.fullmatch("[0-9a-fA-F]{96}", digest) is not None
    assert isinstance(found, CatalogError) is not valid


@settings(max_examples=400)
@given(st.text(st.sampled_from("ab./\\: ~$\0\nCONnul1*é"), max_size=12) | st.text(max_size=30))
def test_an_accepted_name_stays_inside_its_folder(name: str) -> None:
    """By the rules of this operating system and of Windows."""
    if find_path_fault(name):
        return
    root = Path("/some/root").resolve()
    inside = (root / name).resolve()
    assert inside.is_relative_to(root)
    assert inside != root
    windows = PureWindowsPath("C:/some/root") / name
    assert windows.parts[:3] == ("C:\\", "some", "root")
    assert len(windows.parts) > 3
    assert ".." not in windows.parts


@pytest.mark.parametrize("name", ["a", "a/b.c", "FP16/model.xml", "ä ö.bin", ".hidden", "console"])
def test_ordinary_names_are_accepted(name: str) -> None:
    """Names that every operating system allows."""
    assert find_path_fault(name) == ""
