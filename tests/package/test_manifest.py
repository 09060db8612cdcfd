"""manifest.json: written, read, and refused where it is not valid."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.packages import MANIFEST, flip_bit
from toolchain.errors import PackageFormatError
from toolchain.package.manifest import BYTES_LIMIT, FILE, SEAL, Manifest, make_entry, parse_manifest

DATA = MANIFEST.to_bytes()
PARTS = st.text("ab0äжß", min_size=1, max_size=8)
TEXT = st.text('ab \n"\\\u2028\U0001f600', max_size=8)


@settings(deadline=None)
@given(
    st.dictionaries(PARTS.map(str.casefold), st.binary(max_size=20), max_size=5),
    st.dictionaries(
        PARTS.map(lambda key: f"x{key}"),
        st.recursive(st.none() | st.booleans() | st.integers() | TEXT, st.lists, max_leaves=5),
    ),
)
def test_what_was_written_is_read(files: dict[str, bytes], facts: dict[str, Any]) -> None:
    """A manifest is read back equal, with any other facts."""
    entries = tuple(make_entry(f"d/{path}", data, "other") for path, data in files.items())
    made = Manifest("m", "1.0", "plain", entries, facts)
    assert parse_manifest(made.to_bytes(), "here") == made


@settings(deadline=None)
@given(st.integers(0, len(DATA) * 8 - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    """Anywhere in the file."""
    with pytest.raises(PackageFormatError, match="not a valid manifest"):
        parse_manifest(flip_bit(DATA, bit), "here")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Any bytes raise the same error."""
    with pytest.raises(PackageFormatError):
        parse_manifest(data, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "../x"}, "has a part"),
        ({"path": "/etc/passwd"}, "is absolute"),
        ({"path": "a\\b"}, "backslash"),
        ({"path": "C:x"}, "some systems forbid"),
        ({"path": "nul"}, "device name on Windows"),
        ({"path": "README.MD"}, "duplicate or reserved"),
        ({"path": ".git/config"}, "settings or commands"),
        ({"path": "a/.GIT/hooks/x"}, "settings or commands"),
        ({"path": "git~1/config"}, "settings or commands"),
        ({"path": ".cache/huggingface/x"}, "settings or commands"),
        ({"path": ".github/workflows/ci.yml"}, "settings or commands"),
        ({"path": ".gitattributes"}, "is hidden"),
        ({"path": "a/.hidden"}, "is hidden"),
        ({"path": "CON.txt"}, "device name on Windows"),
        ({"path": "a /b"}, "ends with a dot or a space"),
        ({"path": "empty."}, "ends with a dot or a space"),
        ({"path": "README.m\u017f"[:-1] + "D"}, "duplicate or reserved"),
        ({"path": FILE}, "duplicate or reserved"),
        ({"path": "model.sig"}, "duplicate or reserved"),
        ({"path": "README.md/x"}, "below a file"),
        ({"size": -1}, "invalid size"),
        ({"size": True}, "invalid size"),
        ({"size": BYTES_LIMIT}, "the limit is"),
        ({"sha256": "0" * 63}, "sha256"),
        ({"sha384": "G" * 96}, "sha384"),
    ],
)
def test_unsafe_files_are_refused(change: dict[str, Any], message: str) -> None:
    """Even if the digest of the manifest is right."""
    bad = replace(MANIFEST.by_path()["m.onnx"], **change)
    rest = tuple(entry for entry in MANIFEST.files if entry.path != "m.onnx")
    with pytest.raises(PackageFormatError, match=message):
        parse_manifest(replace(MANIFEST, files=(*rest, bad)).to_bytes(), "here")


@pytest.mark.parametrize(
    "change", [{"name": "../m"}, {"name": "a/b"}, {"version": ".."}, {"name": ""}]
)
def test_unsafe_names_are_refused(change: dict[str, Any]) -> None:
    """Name and version are the name of a folder."""
    with pytest.raises(PackageFormatError, match=r"invalid (name|version)"):
        parse_manifest(replace(MANIFEST, **change).to_bytes(), "here")


SAMPLE = {
    "inputs": {"src": "empty", "bgr": "empty"},
    "expected": [
        {"ir": "FP16/m.xml", "precision": "FP16", "outputs": {"pha": "empty", "fgr": "empty"}}
    ],
}


@pytest.mark.parametrize(
    ("facts", "is_good"),
    [
        ({"sample": SAMPLE, "config": "empty", "parameters": {"ports": {"m.onnx": []}}}, True),
        ({"sample": None}, False),
        ({"sample": {**SAMPLE, "inputs": {"src": "../x", "bgr": "empty"}}}, False),
        ({"sample": {**SAMPLE, "inputs": {"src": "empty"}}}, False),
        ({"sample": {**SAMPLE, "expected": [7]}}, False),
        ({"sample": {**SAMPLE, "expected": [{**SAMPLE["expected"][0], "ir": ["x"]}]}}, False),
        ({"sample": {**SAMPLE, "expected": [{**SAMPLE["expected"][0], "different": 2.0}]}}, False),
        ({"config": "nowhere"}, False),
        ({"config": {}}, False),
        ({"parameters": []}, False),
        ({"parameters": {"ports": {"nowhere": []}}}, False),
    ],
)
def test_facts_that_are_used_are_checked(facts: dict[str, Any], is_good: bool) -> None:
    """Each has its form, and names only files that the manifest lists."""
    data = replace(MANIFEST, facts=facts).to_bytes()
    if is_good:
        assert parse_manifest(data, "here").facts == facts
        return
    with pytest.raises(PackageFormatError, match="or names a file that it does not list"):
        parse_manifest(data, "here")


def test_the_message_about_a_manifest_is_printable_and_short() -> None:
    """Also if its names have control characters or are very long."""
    for name in ("\x1b[31mm\n", "m" * 100_000 + "!"):
        with pytest.raises(PackageFormatError) as caught:
            parse_manifest(replace(MANIFEST, name=name).to_bytes(), "here")
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 1000


@pytest.mark.parametrize("key", ["schema", "name", "version", "layout", "files", SEAL])
def test_a_missing_key_is_an_error(key: str) -> None:
    """Any of the keys."""
    content = json.loads(DATA)
    del content[key]
    with pytest.raises(PackageFormatError):
        parse_manifest((json.dumps(content, indent=2) + "\n").encode(), "here")


def test_another_schema_is_refused() -> None:
    """A manifest of a later version is not read."""
    content = json.loads(DATA)
    content["schema"] = 2
    with pytest.raises(PackageFormatError, match="schema 2, expected 1"):
        parse_manifest(json.dumps(content).encode(), "here")
