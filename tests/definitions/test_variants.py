"""Every precision and every variant of the tables is known wherever one has to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SMALL_CONFIG
from toolchain.api.model_files import find_model
from toolchain.catalog.reader import read_model
from toolchain.definitions.variants import (
    BUILT,
    CONVERTED_FORMS,
    FORMS,
    PRECISIONS,
    PREFERRED,
    QUANTIZED_FROM,
    Precision,
    Variant,
    hints_of,
)
from toolchain.errors import UsageError
from toolchain.package.layouts import LAYOUTS, list_precisions, plan_layout
from toolchain.package.manifest import Manifest, make_entry
from toolchain.workspace.layout import Layout

each_precision = pytest.mark.parametrize("precision", PRECISIONS, ids=lambda row: row.name)
VARIANTS = [Variant(form, hint) for form in FORMS for hint in hints_of(form)]


def write_ir_config(folder: Path, precision: str) -> Path:
    """A model.yml that publishes an IR of this precision."""
    head, _, tail = SMALL_CONFIG.partition("files:\n")
    files = "".join(
        f"  - name: {precision}/small-matting.{ending}\n    source: file:///m.{ending}\n"
        for ending in ("xml", "bin")
    )
    inputs = tail[tail.index("input_info") : tail.index("conversion_to_onnx_args")]
    path = folder / "model.yml"
    text = head.replace("pytorch", "dldt") + f"files:\n{files}" + inputs
    path.write_text(text.replace("{{", "{").replace("}}", "}"))
    return path


@each_precision
def test_the_catalog_reads_every_precision(precision: Precision, tmp_path: Path) -> None:
    """Of a published IR, from the folder in its file names."""
    assert read_model(write_ir_config(tmp_path, precision.name)).precisions == {precision.name}


@each_precision
def test_an_ir_of_every_precision_is_located(precision: Precision, tmp_path: Path) -> None:
    """By folder, and by its name among others; it is reported as this precision."""
    for name in ("other", precision.name):
        for ending in ("xml", "bin"):
            path = tmp_path / name / f"m.{ending}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"")
    found = find_model(tmp_path, precision.name)
    assert (found.xml, found.precision) == (tmp_path / precision.name / "m.xml", precision.name)
    assert find_model(tmp_path) == found
    with pytest.raises(UsageError, match="INT4 not found"):
        find_model(tmp_path, "INT4")


@each_precision
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_a_package_has_a_place_for_every_precision(
    layout: str, precision: Precision
) -> None:
    """As the only precision it is the one that is served."""
    paths = [f"{precision.name}/m.{ending}" for ending in ("xml", "bin")]
    files = tuple(make_entry(path, path.encode(), "ir") for path in paths)
    manifest = Manifest("m", "1", "plain", files)
    assert list_precisions(manifest) == (precision.name,)
    sources = plan_layout(manifest, layout).sources  # type: ignore[arg-type]
    assert set(paths) <= set(sources.values())


@each_precision
def test_a_quantized_precision_has_a_source_that_is_converted(precision: Precision) -> None:
    """And the same type for the weights that are not quantized."""
    if precision.source:
        (source,) = (row for row in PRECISIONS if row.name == precision.source)
        assert source.made_by == "convert"
        assert source.is_half == precision.is_half
        assert QUANTIZED_FROM[precision.name] == source.name
    assert bool(precision.source) == (precision.made_by in ("quantize", "omz_quantizer"))


def test_what_a_build_makes_is_preferred_where_none_is_asked_for() -> None:
    """Each exactly once; a build validates these and the ONNX."""
    assert sorted(PREFERRED) == sorted(BUILT)
    assert ("ONNX", *BUILT) == CONVERTED_FORMS


@pytest.mark.parametrize("precision", BUILT)
def test_a_build_has_a_path_for_every_precision(precision: str, tmp_path: Path) -> None:
    """In a folder of its own name."""
    assert Layout(tmp_path, "m", "m").ir(precision).parent == tmp_path / "m" / precision


@pytest.mark.parametrize("variant", [*VARIANTS, Variant("FP16", "default", "GPU.1")], ids=str)
def test_a_variant_is_read_back_from_its_record(variant: Variant) -> None:
    """Records of all stages name it by the same three keys."""
    assert Variant.from_json(variant.as_json()) == variant
    assert variant.anywhere == Variant(variant.form, variant.hint)


def test_identifiers_and_labels_of_variants_are_distinct() -> None:
    """Also between devices."""
    variants = [*VARIANTS, *(Variant(one.form, one.hint, "GPU") for one in VARIANTS)]
    for values in ({one.id for one in variants}, {one.label() for one in variants}):
        assert len(values) == len(variants)


def test_only_irs_run_at_the_device_s_default() -> None:
    """PyTorch and ONNX Runtime compute at f32."""
    assert [form for form in FORMS if len(hints_of(form)) == 1] == ["original", "ONNX"]


@pytest.mark.parametrize(
    "record", [{"form": "FP64", "hint": "f32"}, {"form": "FP32", "hint": "fast"}]
)
def test_an_unknown_variant_is_an_error(record: dict[str, str]) -> None:
    """The message has form and hint."""
    with pytest.raises(ValueError, match=f"'{record['form']}' at '{record['hint']}'"):
        Variant.from_json(record)
