"""Selection of patches: the published rule on a model's own expected error, and on special ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.support.builds import SETTINGS, SIZE, broken_onnx, node
from toolchain.catalog.arguments import ExportSettings
from toolchain.definitions.arrays import Floats
from toolchain.frames.generated import composite
from toolchain.runtimes.base import Inference
from toolchain.runtimes.onnx_runtime import OnnxRuntime
from toolchain.runtimes.openvino_runtime import OpenVinoRuntime
from toolchain.runtimes.selection import (
    apply_published_rule,
    count_wrong_cells,
    load_ir_with_given_error,
    load_onnx_with_given_error,
    synthetic_errors,
)
from toolchain.stages.convert.convert import convert
from toolchain.stages.convert.request import ConvertRequest
from toolchain.stages.export.export import export
from toolchain.stages.export.request import ExportRequest
from toolchain.stages.validate.request import ValidateRequest

PATCHES = SIZE.sample_pixels // 16
CASES = dict(synthetic_errors(SIZE, 1))
TINY = ExportSettings(16, 8, sample_pixels=3 * 16)
Edit = Callable[[Any], None]


def tiny(*values: float) -> Floats:
    """An expected error of 2x4 cells, zero after the first `values`."""
    cells = np.zeros(8, np.float32)
    cells[: len(values)] = values
    return cells.reshape(1, 1, 2, 4)


def chosen(err: Floats, settings: ExportSettings = TINY) -> list[int]:
    cells, undecided = apply_published_rule(err, settings)
    assert not undecided.any()
    return np.flatnonzero(cells).tolist()


def test_the_rule_takes_the_highest_and_of_equal_ones_the_first() -> None:
    """Three patches are refined; only those with an expected error."""
    assert chosen(tiny(0.1, 0.4, 0.2, 0.3)) == [1, 2, 3]
    assert chosen(tiny(0.1, 0.2, 0.2, 0.2, 0.2, 0.3)) == [1, 2, 5]
    assert chosen(tiny(0.0, 0.5)) == [1]
    assert chosen(tiny()) == []


def test_the_rule_of_the_other_modes() -> None:
    """Thresholding takes what is above, not what is equal; full takes all."""
    thresholding = replace(TINY, mode="thresholding", threshold=0.25)
    assert chosen(tiny(0.25, 0.5, 0.0, 1.0), thresholding) == [1, 3]
    assert chosen(tiny(), replace(TINY, mode="full")) == list(range(8))


def test_only_near_the_cut_rounding_may_decide_after_a_resize() -> None:
    """An expected error of another size is resized first, in another order of sums."""
    settings = replace(SIZE, backbone_scale=0.5)
    err = np.random.default_rng(3).random((1, 1, 96, 160)).astype(np.float32)
    cells, undecided = apply_published_rule(err, settings)
    assert cells.sum() == PATCHES
    assert 0 < undecided.sum() < 10
    assert undecided[cells].any()


def test_special_expected_errors_are_what_real_frames_do_not_give() -> None:
    """No positive cell, a few, all equal, all one, and ties across the cut."""
    assert all(err.shape == (1, 1, 48, 80) for err in CASES.values())
    assert all(err.dtype == np.float32 for err in CASES.values())
    assert all(0 <= err.min() <= err.max() <= 1 for err in CASES.values())
    assert not CASES["all zero"].any()
    few = CASES["few above zero"]
    assert 0 < (few > 0).sum() < PATCHES
    assert few[0, 0, 0, 0] > 0
    assert few[0, 0, -1, -1] > 0
    assert set(CASES["constant"].ravel()) == {0.5}
    assert set(CASES["saturated"].ravel()) == {1.0}
    cells = CASES["ties"].ravel()
    lowest = np.sort(cells)[-PATCHES]
    assert (cells > lowest).sum() < PATCHES < (cells >= lowest).sum()


def test_wrong_cells_are_counted_one_by_one() -> None:
    """Against the rule on the model's own expected error, whatever the reference selects."""
    err = CASES["ties"]
    cells, _ = apply_published_rule(err, SIZE)
    outputs = np.zeros((192, 320)), np.zeros((192, 320, 3))
    ref = cells[None, None].astype(np.float32)
    found = Inference(*outputs, ref=cells, inner={"err_sm": err, "ref_sm": ref})
    assert count_wrong_cells(found, SIZE) == 0
    other = cells.copy()
    other.reshape(-1)[[0, 5]] ^= True
    assert count_wrong_cells(replace(found, ref=other), SIZE) == 2
    assert count_wrong_cells(replace(found, inner={}), SIZE) == 0


# Graphs


def frame_counts(path: Path, settings: ExportSettings = SIZE) -> dict[str, int]:
    """Wrong cells of a model by case: on a real frame, and on each special expected error."""
    frame = composite(2026, settings.width, settings.height)
    is_onnx = path.suffix == ".onnx"
    runtime: Any = OnnxRuntime(path) if is_onnx else OpenVinoRuntime(path, "f32")
    counts = {"real": count_wrong_cells(runtime.infer(frame.src, frame.bgr), settings)}
    run = load_onnx_with_given_error(path) if is_onnx else load_ir_with_given_error(path)
    assert run is not None
    for name, err in synthetic_errors(settings, 1):
        cells, undecided = apply_published_rule(err, settings)
        found = run(frame.src, frame.bgr, err)
        counts[name] = int(((found.ref != cells) & ~undecided).sum())
    return counts


def faulty(counts: dict[str, int]) -> set[str]:
    return {name for name, count in counts.items() if count}


def test_correct_files_select_as_published(small_build: ValidateRequest) -> None:
    """ONNX, FP32 and FP16 alike, in every case."""
    for path in (small_build.onnx, *(xml for _, xml in small_build.irs)):
        assert faulty(frame_counts(path)) == set()


@pytest.mark.parametrize(
    "settings",
    [
        replace(SIZE, mode="thresholding"),
        replace(SIZE, backbone_scale=0.5),
        replace(SIZE, sample_pixels=16_000),
    ],
    ids=["thresholding", "half scale", "whole frame"],
)
def test_correct_files_of_other_settings_select_as_published(
    settings: ExportSettings, checkpoint: Path, tmp_path: Path
) -> None:
    """Another rule, an expected error of another size, and refining without a mosaic."""
    path, xml = tmp_path / "m.onnx", tmp_path / "m.xml"
    export(ExportRequest(checkpoint, path, settings, ()))
    convert(ConvertRequest(path, xml, "FP16", SETTINGS, ()))
    assert faulty(frame_counts(path, settings)) == set()
    assert faulty(frame_counts(xml, settings)) == set()


def test_a_model_that_refines_everything_selects_nothing(checkpoint: Path, tmp_path: Path) -> None:
    """There is nothing to check then."""
    path, xml = tmp_path / "m.onnx", tmp_path / "m.xml"
    export(ExportRequest(checkpoint, path, replace(SIZE, mode="full"), ()))
    convert(ConvertRequest(path, xml, "FP32", SETTINGS, ()))
    assert load_onnx_with_given_error(path) is None
    assert load_ir_with_given_error(xml) is None


@pytest.mark.parametrize("patches", [1, 50])
def test_a_wrong_number_of_patches_is_found(patches: int, checkpoint: Path, tmp_path: Path) -> None:
    """One patch too few is one wrong cell, 50 are 50; where few have an error none is wrong."""
    settings = replace(SIZE, sample_pixels=SIZE.sample_pixels - 16 * patches)
    path = tmp_path / "m.onnx"
    export(ExportRequest(checkpoint, path, settings, ()))
    counts = frame_counts(path)
    assert counts.pop("all zero") == counts.pop("few above zero") == 0
    assert set(counts.values()) == {patches}


def without_mask(model: Any) -> None:
    """Patches are refined whatever their expected error is."""
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-1), "minimum"))
    node(model, "frame/Greater_2").input[1] = "minimum"


def last_of_ties(model: Any) -> None:
    """Of equal expected errors the last ones are taken."""
    (reverse,) = (item for item in node(model, "frame/CumSum").attribute if item.name == "reverse")
    reverse.i = 1


def lowest(model: Any) -> None:
    """The lowest expected errors are taken."""
    top = node(model, "frame/TopK")
    negative = helper.make_node("Neg", [top.input[0]], ["negative"], "negative")
    place = list(model.graph.node).index(top)
    for name in ("frame/TopK", "frame/Greater", "frame/Equal"):
        node(model, name).input[0] = "negative"
    model.graph.node.insert(place, negative)


@pytest.mark.parametrize(
    ("edit", "cases"),
    [
        (without_mask, {"all zero", "few above zero"}),
        (last_of_ties, {"constant", "saturated", "ties", "few above many equal"}),
        (lowest, {"real", "few above zero", "ties", "few above many equal"}),
    ],
    ids=["no mask", "last of ties", "lowest"],
)
def test_a_wrong_rule_is_found_in_onnx_and_ir(
    edit: Edit, cases: set[str], small_build: ValidateRequest, tmp_path: Path
) -> None:
    """Some faults show only on special expected errors: that is why these are tried."""
    path, xml = tmp_path / "m.onnx", tmp_path / "m.xml"
    broken_onnx(small_build.onnx, path, edit)
    convert(ConvertRequest(path, xml, "FP32", SETTINGS, ()))
    assert faulty(frame_counts(path)) == cases
    assert faulty(frame_counts(xml)) == cases


def test_a_threshold_that_is_kept_is_found_as_wrong(checkpoint: Path, tmp_path: Path) -> None:
    """Cells whose expected error equals the threshold are not refined."""
    settings = replace(SIZE, mode="thresholding", threshold=0.5)
    path = tmp_path / "m.onnx"
    export(ExportRequest(checkpoint, path, settings, ()))
    assert faulty(frame_counts(path, settings)) == set()

    def keep(model: Any) -> None:
        for item in model.graph.node:
            if item.op_type == "Greater":
                item.op_type = "GreaterOrEqual"

    bad = broken_onnx(path, tmp_path / "bad.onnx", keep)
    assert {"constant", "ties"} <= faulty(frame_counts(bad, settings))
