"""Places of the files in each layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import PackageFormatError
from toolchain.package.layouts import LAYOUTS, Layout, list_precisions, plan_layout
from toolchain.package.manifest import Entry, Manifest, make_entry, parse_manifest

FORMS = ("FP16", "FP32", "FP16-INT8")
OTHERS = ("README.md", "LICENSE", "model.yml", "sample/src.png", "sample/bgr.png")


def plain(forms: tuple[str, ...], name: str) -> Manifest:
    """Make the manifest of a plain package with these precisions."""
    roles = {f"{name}.onnx": "onnx", **dict.fromkeys(OTHERS, "other")}
    for form in forms:
        roles |= {f"{form}/{name}{suffix}": "ir" for suffix in (".xml", ".bin")}
        roles |= {f"sample/{form}/{port}.png": "sample-output" for port in ("pha", "fgr")}
    files: list[Entry] = [make_entry(path, path.encode(), role) for path, role in roles.items()]
    expected = [
        {
            "precision": form,
            "ir": f"{form}/{name}.xml",
            "outputs": {port: f"sample/{form}/{port}.png" for port in ("pha", "fgr")},
        }
        for form in forms
    ]
    inputs = {port: f"sample/{port}.png" for port in ("src", "bgr")}
    facts = {
        "config": "model.yml",
        "parameters": {"ports": {f"{form}/{name}.xml": [] for form in forms}},
        "sample": {"inputs": inputs, "expected": expected},
    }
    return Manifest(name, "1", "plain", tuple(sorted(files, key=lambda e: e.path)), facts)


@settings(deadline=None)
@given(
    forms=st.lists(st.sampled_from(FORMS), min_size=1, unique=True),
    name=st.sampled_from(("m", "FP16", "model", "a.b-c")),
    layout=st.sampled_from(LAYOUTS),
)
def test_every_file_has_one_place_and_keeps_its_content(
    forms: list[str], name: str, layout: Layout
) -> None:
    """The new manifest is valid, has the same digests, and refers only to its own files."""
    manifest = plain(tuple(forms), name)
    out = plan_layout(manifest, layout)
    assert parse_manifest(out.manifest.to_bytes(), "here") == out.manifest
    placed = out.manifest.by_path()
    assert placed.keys() == out.sources.keys()
    known = manifest.by_path()
    for path, source in out.sources.items():
        if isinstance(source, str):
            assert replace(placed[path], path=source) == known[source]
    kept = [source for source in out.sources.values() if isinstance(source, str)]
    assert len(kept) == len(set(kept))
    assert layout == "ovms" or set(kept) == set(known)
    sample = out.manifest.facts["sample"]
    named = [*sample["inputs"].values(), out.manifest.facts["config"]]
    for row in sample["expected"]:
        named += [row["ir"], *row["outputs"].values()]
    assert set(named) | out.manifest.facts["parameters"]["ports"].keys() <= placed.keys()


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        ("huggingface", {"FP16/m.xml": "ir", "openvino_model.xml": "doc"}),
        ("huggingface", {"FP16/a/x.bin": "ir", "FP16/b/x.bin": "ir", "FP16/m.xml": "ir"}),
        ("huggingface", {"a.onnx": "onnx", "b.onnx": "onnx"}),
        ("huggingface", {"FP16/m.xml": "ir", "OPENVINO_MODEL.XML": "doc"}),
        ("huggingface", {"FP16/m.xml": "ir", "openvino_model.xml/x": "doc"}),
        ("ovms", {"FP16/m.xml": "ir", "FP16/a/m.xml": "ir"}),
    ],
)
def test_two_files_never_get_one_place(layout: Layout, files: dict[str, str]) -> None:
    """Whatever names and roles a package declares, the layout is refused instead."""
    entries = tuple(make_entry(path, path.encode(), role) for path, role in sorted(files.items()))
    with pytest.raises(PackageFormatError, match="cannot be unpacked in the layout"):
        plan_layout(Manifest("m", "1", "plain", entries), layout)


@given(
    st.dictionaries(
        st.sampled_from(("m.xml", "FP16/m", "FP16/m.xml", "FP32/a/m.bin", "x.onnx", "config.json")),
        st.sampled_from(("ir", "onnx", "sample-output", "quantization", "config", "other")),
    ),
    st.sampled_from(LAYOUTS),
)
def test_any_names_and_roles_are_placed_or_refused(files: dict[str, str], layout: Layout) -> None:
    """A layout that can be planned has a valid manifest."""
    entries = tuple(make_entry(path, path.encode(), role) for path, role in sorted(files.items()))
    facts = {"config": next(iter(sorted(files)))} if files else {}
    try:
        out = plan_layout(Manifest("m", "1", "plain", entries, facts), layout)
    except PackageFormatError:
        return
    assert parse_manifest(out.manifest.to_bytes(), "here") == out.manifest


@given(st.lists(st.sampled_from(FORMS), min_size=1, unique=True))
def test_fp16_is_served_by_default(forms: list[str]) -> None:
    """Else FP32, else any other; files of other precisions are left out."""
    out = plan_layout(plain(tuple(forms), "m"), "ovms")
    served = next(form for form in (*FORMS[:2], forms[0]) if form in forms)
    assert out.sources["m/1/m.xml"] == f"{served}/m.xml"
    assert [row["precision"] for row in out.manifest.facts["sample"]["expected"]] == [served]
    outputs = {path for path in out.sources if path.startswith("about/sample/")}
    assert outputs == {
        "about/sample/src.png",
        "about/sample/bgr.png",
        f"about/sample/{served}/pha.png",
        f"about/sample/{served}/fgr.png",
    }
    assert set(list_precisions(plain(tuple(forms), "m"))) == set(forms)
