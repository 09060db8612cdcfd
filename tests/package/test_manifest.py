"""manifest.json: what it promises to whoever reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bundles import FILES, flipped, manifest_of
from toolchain.errors import BundleError
from toolchain.package.manifest import BYTES_LIMIT, FILE, SEAL, Manifest, entry_of, parsed

DATA = manifest_of(FILES).dumped()
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
    """A manifest comes back equal, with any facts beside its files."""
    entries = tuple(entry_of(f"d/{path}", data, "other") for path, data in files.items())
    made = Manifest("m", "1.0", "plain", entries, facts)
    assert parsed(made.dumped(), "here") == made


@settings(deadline=None)
@given(st.integers(0, len(DATA) * 8 - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    """Wherever it is, also in what no digest of a file covers."""
    with pytest.raises(BundleError, match="can't be trusted as a manifest"):
        parsed(flipped(DATA, bit), "here")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_none_are_refused(data: bytes) -> None:
    """With the one error that says so."""
    with pytest.raises(BundleError):
        parsed(data, "here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "../x"}, "has a part"),
        ({"path": "/etc/passwd"}, "is absolute"),
        ({"path": "a\\b"}, "backslash"),
        ({"path": "C:x"}, "not every system allows"),
        ({"path": "nul"}, "Windows reserves"),
        ({"path": "README.MD"}, "there twice"),
        ({"path": FILE}, "stands for another file"),
        ({"path": "model.sig"}, "stands for another file"),
        ({"path": "README.md/x"}, "below a file"),
        ({"size": -1}, "no proper size"),
        ({"size": True}, "no proper size"),
        ({"size": BYTES_LIMIT}, "the limit is"),
        ({"sha256": "0" * 63}, "sha256"),
        ({"sha384": "G" * 96}, "sha384"),
    ],
)
def test_files_that_can_not_be_safe_are_refused(change: dict[str, Any], said: str) -> None:
    """Even in a manifest that is sealed as it should be."""
    good = manifest_of(FILES)
    bad = replace(good.by_path()["m.onnx"], **change)
    rest = tuple(entry for entry in good.files if entry.path != "m.onnx")
    with pytest.raises(BundleError, match=said):
        parsed(replace(good, files=(*rest, bad)).dumped(), "here")


@pytest.mark.parametrize(
    "change", [{"name": "../m"}, {"name": "a/b"}, {"version": ".."}, {"name": ""}]
)
def test_names_that_lead_elsewhere_are_refused(change: dict[str, Any]) -> None:
    """Name and version make a folder's name."""
    with pytest.raises(BundleError, match="is no name"):
        parsed(replace(manifest_of(FILES), **change).dumped(), "here")


@pytest.mark.parametrize("key", ["schema", "name", "version", "layout", "files", SEAL])
def test_a_key_that_is_missing_is_told(key: str) -> None:
    """Never a traceback."""
    content = json.loads(DATA)
    del content[key]
    with pytest.raises(BundleError):
        parsed((json.dumps(content, indent=2) + "\n").encode(), "here")


def test_another_schema_is_told() -> None:
    """A manifest of a later version is not half understood."""
    content = json.loads(DATA)
    content["schema"] = 2
    with pytest.raises(BundleError, match="of schema 2, expected 1"):
        parsed(json.dumps(content).encode(), "here")
