"""The error of a build without a pass: what failed, probable causes, what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolchain.errors import ValidationError
from toolchain.pipeline.validation_failure import create_validation_error
from toolchain.workspace.layout import Layout

Json = dict[str, Any]
ALL = (("ONNX", "f32"), ("FP32", "f32"), ("FP32", "default"), ("FP16", "f32"), ("FP16", "default"))
ONLY_ROUNDED = "only rounding the weights to float16 exceeds the limits"


def run_of(form: str, hint: str, *failures: str) -> Json:
    executed = "f32" if hint == "f32" else "bf16"
    return {
        "form": form,
        "hint": hint,
        "device": "CPU",
        "executed": executed,
        "verdict": "fail" if failures else "pass",
        "failures": list(failures),
    }


def error_for(
    folder: Path, runs: list[Json], verdict: str = "fail", **more: Any
) -> ValidationError:
    layout = Layout(folder, "public/m", "m")
    layout.folder.mkdir(parents=True)
    layout.validation.write_text(json.dumps({"verdict": verdict, "runs": runs, **more}))
    return create_validation_error(layout)


def runs_with(failures: dict[tuple[str, str], str]) -> list[Json]:
    return [run_of(*key, *([failures[key]] if key in failures else [])) for key in ALL]


def test_a_failure_names_variants_and_what_explains_them(tmp_path: Path) -> None:
    """Only convincing explanations; with one there is no need to look at layers."""
    runs = runs_with({("FP32", "f32"): "pha_max_error is 0.5, the limit is 2e-06"})
    row = {"found": "with RGB", "figure": "pha_max_error", "before": 0.5, "after": 1e-6}
    runs[1]["explanations"] = [
        {"hypothesis": "swapped channels", "convinces": True, **row},
        {"hypothesis": "missing /255", "convinces": False, **row},
    ]
    error = error_for(tmp_path, runs)
    assert "FP32 at f32 (f32): pha_max_error is 0.5, the limit is 2e-06" in error.message
    assert "swapped channels. with RGB: pha_max_error falls from 0.5 to 1e-06." in error.message
    assert "missing /255" not in error.message
    assert "ONNX" not in error.message
    assert "--layers" not in error.hint
    assert ONLY_ROUNDED not in error.hint


def test_what_nothing_explains_is_to_be_sought_in_the_layers(tmp_path: Path) -> None:
    """The next step is named."""
    error = error_for(tmp_path, runs_with({("ONNX", "f32"): "fgr has NaN or infinite values"}))
    assert "matting validate --layers" in error.hint


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ({("FP16", "f32"): "pha_rms_error is 0.1, the limit is 0.01"}, True),
        ({("FP16", "default"): "pha_rms_error is 0.1, the limit is 0.01"}, True),
        ({("FP16", "f32"): "with float32 weights: pha_max_error is 1, the limit is 0"}, False),
        ({("FP16", "f32"): "x: 1 of 9 values are not the checkpoint's"}, False),
        ({("FP16", "f32"): "a", ("FP32", "f32"): "b"}, False),
        ({("FP16", "f32"): "a", ("ONNX", "f32"): "b"}, False),
    ],
    ids=["f32", "default", "graph", "weight", "FP32 too", "ONNX too"],
)
def test_fp32_is_advised_where_only_rounded_weights_fail(
    failures: dict[tuple[str, str], str], expected: bool, tmp_path: Path
) -> None:
    """Not where the graph or a weight is wrong, or another form fails."""
    error = error_for(tmp_path, runs_with(failures))
    assert (ONLY_ROUNDED in error.hint) == expected
    assert ("--precisions FP32" in error.hint) == expected


@pytest.mark.parametrize(
    ("largest", "text"), [(0.25, "off by 2.5e-01"), (None, "off by inf")], ids=["number", "nan"]
)
def test_undecidable_is_about_the_weights_and_not_the_conversion(
    largest: float | None, text: str, tmp_path: Path
) -> None:
    """The error of float32 itself is in the message, the usual cause in the hint."""
    own = {"pha": {"max": largest, "rms": 0.1}, "fgr": {"max": 1e-6, "rms": 1e-7}}
    runs = runs_with({("FP32", "f32"): "pha_max_error is 0.5, the limit is 2e-06"})
    error = error_for(tmp_path, runs, "undecidable", reference={"own_error": own})
    assert error.message.startswith("undecidable: ill-conditioned weights")
    assert text in error.message
    assert "the limit is" not in error.message
    assert "BatchNorm" in error.hint
    assert (
        error.kept == "The verdict in validation.json is undecidable; the files are not validated."
    )
