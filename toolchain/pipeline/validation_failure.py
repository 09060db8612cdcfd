"""The error of a build whose verdict is not a pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from toolchain.definitions.ports import OUTPUTS
from toolchain.definitions.variants import FP16, FP32, ONNX, Variant
from toolchain.errors import ValidationError
from toolchain.workspace.layout import Layout

Json = Mapping[str, Any]
CHECK_WEIGHTS = (
    "Check that these are trained weights of this network; BatchNorm statistics that do not fit "
    "the weights are the usual cause."
)


def create_validation_error(layout: Layout) -> ValidationError:
    """Build the error from validation.json: what failed, why, what to do next."""
    record = json.loads(layout.validation.read_text(encoding="utf-8"))
    if record["verdict"] == "undecidable":
        return _undecidable(record, layout)
    lines = [f"{_name(run)}: {failure}" for run in record["runs"] for failure in run["failures"]]
    causes = [
        f"{_name(run)}: {row['hypothesis']}. {row['found']}: {row['figure']} falls from "
        f"{_number(row['before'])} to {_number(row['after'])}."
        for run in record["runs"]
        for row in run.get("explanations", ())
        if row["convinces"]
    ]
    if causes:
        lines += ["", "probable causes:", *causes]
    hint = f"All figures are in {layout.validation}."
    if _only_rounded_weights_fail(record):
        hint = (
            "The float32 conversion is correct; only rounding the weights to float16 exceeds "
            f"the limits. Use FP32: --precisions {FP32}. {hint}"
        )
    elif not causes and not layout.layers.is_file():
        hint += " `matting validate --layers` names the first tensor that differs."
    return ValidationError(
        "the converted model differs from the original by more than the limits:\n  "
        + "\n  ".join(lines),
        kept="The verdict in validation.json is fail; do not use the files.",
        hint=hint,
        verdict=record,
    )


def _undecidable(record: Json, layout: Layout) -> ValidationError:
    own = record["reference"]["own_error"]
    worst = max(own[name]["max"] or float("inf") for name in OUTPUTS)
    return ValidationError(
        f"undecidable: ill-conditioned weights: PyTorch at float32 itself is off by {worst:.1e} "
        "from the network in float64, so that a comparison at float32 cannot distinguish rounding "
        "from a fault",
        kept="The verdict in validation.json is undecidable; the files are not validated.",
        hint=f"{CHECK_WEIGHTS} All figures are in {layout.validation}.",
        verdict=record,
    )


def _only_rounded_weights_fail(record: Json) -> bool:
    failed = {run["form"] for run in record["runs"] if run["verdict"] != "pass"}
    passed = {
        run["form"] for run in record["runs"] if run["verdict"] == "pass" and run["hint"] == "f32"
    }
    rounded_only = not any(
        "not the checkpoint's" in failure or "with float32 weights" in failure
        for run in record["runs"]
        for failure in run["failures"]
    )
    return failed == {FP16} and {ONNX, FP32} <= passed and rounded_only


def _name(run: Json) -> str:
    return f"{Variant.from_json(run)} ({run['executed']})"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"
